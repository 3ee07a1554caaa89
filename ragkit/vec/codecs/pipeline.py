"""A codec as settings: steps in a row, then a quantizer."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ragkit.errors import InvalidInputError
from ragkit.vec.codecs.arrays import Vectors, checked_vectors, halves
from ragkit.vec.codecs.bits import Binary, ResidualBinary
from ragkit.vec.codecs.codec import Codec, FitRecord, errors_of
from ragkit.vec.codecs.fitted import Fitted
from ragkit.vec.codecs.graded import Graded
from ragkit.vec.codecs.integers import Int2, Int4, Int8
from ragkit.vec.codecs.quantizers import Float8, Float16, Float32, Quantizer
from ragkit.vec.codecs.steps import PCA, Center, Matryoshka, Rotation, Step, TruncatedSVD
from ragkit.vec.codecs.trellis import Trellis2

_QUANTIZERS = (Float32, Float16, Float8, Int8, Int4, Int2, Trellis2, Binary, ResidualBinary, Graded)
_STEPS = (TruncatedSVD, PCA, Matryoshka, Center, Rotation)
_FEWEST = 20  # rows in each half, below which an error measured on one half says nothing


@dataclass(frozen=True, slots=True)
class Pipeline:
    """``Pipeline((TruncatedSVD(192), Rotation()), Int4())``: not fitted yet. ``named`` makes one of a name."""

    steps: tuple[Step, ...]
    quantizer: Quantizer

    def __post_init__(self) -> None:
        if not isinstance(self.quantizer, _QUANTIZERS):
            raise InvalidInputError(
                f"quantizer is {self.quantizer!r}; allowed are {', '.join(one.__name__ for one in _QUANTIZERS)}."
            )
        wrong = next((step for step in self.steps if not isinstance(step, _STEPS)), None)
        if wrong is not None:
            raise InvalidInputError(f"steps holds {wrong!r}; allowed are {', '.join(one.__name__ for one in _STEPS)}.")

    @property
    def name(self) -> str:
        """The parts in words, such as "svd192 + rotated + int4"."""
        return " + ".join([*(step.name for step in self.steps), self.quantizer.name])

    @property
    def learns(self) -> bool:
        """Whether ``fit`` looks at more than the number of dimensions."""
        return self.quantizer.learns or any(step.learns for step in self.steps)

    def fit(self, vectors: ArrayLike) -> Codec:
        """The codec for vectors like these, float32 ``(n, dim)``; the order of the rows does not matter.

        Also measures the reconstruction error that ``drift`` compares with: where something is learned, on one half after
        fitting to the other, because a fit always suits its own rows.

        Raises InvalidInputError for no vectors, for NaN and infinities, and for fewer vectors than a step wants.
        """
        array = checked_vectors(vectors)
        if not len(array):
            raise InvalidInputError("There are no vectors to fit on; give at least one, so that the dimensions are known.")
        steps, quantizer = self._learn(array)
        return Codec(
            steps=steps, quantizer=quantizer, dim=array.shape[1], name=self.name, fit=self._record(array, steps, quantizer)
        )

    def _learn(self, vectors: Vectors) -> tuple[tuple[Fitted, ...], Quantizer]:
        steps: list[Fitted] = []
        for setting in self.steps:
            for step in setting.fit(vectors):
                vectors = step.forward(vectors)
                steps.append(step)
        return tuple(steps), self.quantizer.fit(vectors)

    def _record(self, vectors: Vectors, steps: tuple[Fitted, ...], quantizer: Quantizer) -> FitRecord:
        rows, held_out = vectors, False
        if self.learns:
            side = halves(vectors)
            least = max([_FEWEST, *(step.dims for step in self.steps if isinstance(step, (TruncatedSVD, PCA)))])
            if min(side.sum(), (~side).sum()) >= least:
                steps, quantizer = self._learn(np.ascontiguousarray(vectors[side]))
                rows, held_out = np.ascontiguousarray(vectors[~side]), True
        errors = np.sort(errors_of(rows, steps, quantizer))  # sorted, so that their sum has one order
        return FitRecord(
            rows=len(vectors), error=float(errors.mean()) if len(errors) else 0.0, held_out=held_out or not self.learns
        )


_PART = re.compile(r"(svd|pca|first|residual)(\d+)")
_WORDS: dict[str, Any] = {
    "rotated": Rotation(),
    "banded": Rotation(banded=True),
    "centred": Center(),
    "float32": Float32(),
    "float16": Float16(),
    "float8": Float8(),
    "float8-e4m3": Float8("e4m3"),
    "float8-e5m2": Float8("e5m2"),
    "float8-e4m3-scaled": Float8("e4m3", scaled=True),
    "float8-e5m2-scaled": Float8("e5m2", scaled=True),
    "int8": Int8(),
    "int4": Int4(),
    "int2": Int2(),
    "trellis2": Trellis2(),
    "graded": Graded(),
    "binary": Binary(),
    "binary-unbiased": Binary(unbiased=True),
}
_NUMBERED: dict[str, Any] = {"svd": TruncatedSVD, "pca": PCA, "first": Matryoshka, "residual": ResidualBinary}


def named(name: str) -> Pipeline:
    """The pipeline of a name: parts joined by "+", the quantizer last, such as "svd192+rotated+int4".

    Raises InvalidInputError for parts that are not known.
    """
    parts: list[Any] = []
    for word in name.replace(" unbiased", "-unbiased").replace("float8 ", "float8-").replace(" scaled", "-scaled").split("+"):
        word = word.strip().lower()
        numbered = _PART.fullmatch(word)
        if word in _WORDS:
            parts.append(_WORDS[word])
        elif numbered:
            parts.append(_NUMBERED[numbered[1]](int(numbered[2])))
        else:
            raise InvalidInputError(
                f"{word!r} in the codec {name!r} is not known; parts are {', '.join(_WORDS)}, svdN, pcaN, firstN and residualN, "
                "joined by '+'."
            )
    if not isinstance(parts[-1], _QUANTIZERS):
        raise InvalidInputError(f"The codec {name!r} ends in no quantizer; add one, for example '{name}+int8'.")
    return Pipeline(tuple(parts[:-1]), parts[-1])
