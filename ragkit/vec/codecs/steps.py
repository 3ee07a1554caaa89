"""The linear steps of a codec, as settings: fewer dimensions, or other axes. ``fit`` makes fitted steps of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ragkit.errors import InvalidInputError
from ragkit.vec.codecs.arrays import Vectors, checked_whole, fixed_point, gram, mean
from ragkit.vec.codecs.fitted import Fitted, FittedCenter, FittedCut, FittedProjection, FittedRotation
from ragkit.vec.codecs.graded import bands


class Step(Protocol):
    """A setting; ``learns`` says whether ``fit`` looks at the vectors."""

    @property
    def learns(self) -> bool: ...

    @property
    def name(self) -> str: ...

    def fit(self, vectors: Vectors, /) -> tuple[Fitted, ...]:
        """The fitted steps, in order, for vectors ``(n, dim)``."""
        ...


@dataclass(frozen=True, slots=True)
class Rotation(Step):
    """Random axes, so that no dimension is larger than the others: what few-bit codes want. Costs no bytes.

    ``banded`` turns each of the bands of ``Graded`` in itself.
    """

    seed: int = 0
    banded: bool = False
    learns = False

    def __post_init__(self) -> None:
        checked_whole(self.seed, "seed", least=0)

    @property
    def name(self) -> str:
        word = "banded" if self.banded else "rotated"
        return word if self.seed == 0 else f"{word}({self.seed})"

    def fit(self, vectors: Vectors, /) -> tuple[Fitted, ...]:
        dim = vectors.shape[1]
        kept = [size for size, _ in bands(dim)] if self.banded else [dim]
        return (FittedRotation((*kept, dim - sum(kept)) if sum(kept) < dim else tuple(kept), self.seed),)


@dataclass(frozen=True, slots=True)
class Matryoshka(Step):
    """The first ``dims`` dimensions, for models trained for it (Kusupati et al., 2205.13147).

    Dot products of cut unit vectors are smaller than cosines; ranks of one query do not need them normalised again.
    """

    dims: int
    learns = False

    def __post_init__(self) -> None:
        checked_whole(self.dims, "dims")

    @property
    def name(self) -> str:
        return f"first{self.dims}"

    def fit(self, vectors: Vectors, /) -> tuple[Fitted, ...]:
        return (FittedCut(vectors.shape[1], _fits(self.dims, vectors, self.name, learns=False)),)


@dataclass(frozen=True, slots=True)
class Center(Step):
    """Subtracts the mean vector; each query gets its share back, so that scores stay dot products with the vectors as given."""

    learns = True

    @property
    def name(self) -> str:
        return "centred"

    def fit(self, vectors: Vectors, /) -> tuple[Fitted, ...]:
        return (FittedCenter(mean(vectors)),)


@dataclass(frozen=True, slots=True)
class TruncatedSVD(Step):
    """The ``dims`` directions that hold most of the vectors' squared length, without centring.

    Wants at least as many rows as ``dims``; several times as many to be worth keeping.
    """

    dims: int
    learns = True

    def __post_init__(self) -> None:
        checked_whole(self.dims, "dims")

    @property
    def name(self) -> str:
        return f"svd{self.dims}"

    def fit(self, vectors: Vectors, /) -> tuple[Fitted, ...]:
        return (FittedProjection(_directions(vectors, _fits(self.dims, vectors, self.name))),)


@dataclass(frozen=True, slots=True)
class PCA(Step):
    """The ``dims`` directions of greatest variance around the mean; the mean itself is kept beside them.

    For vectors it was not fitted on, half of 384 dimensions costs 2 % of nDCG@10 on all-MiniLM-L6-v2, where int4 at the same size costs 0.1 %:
    docs/codecs.md. ``TruncatedSVD`` is as good, and does not keep a mean.
    """

    dims: int
    learns = True

    def __post_init__(self) -> None:
        checked_whole(self.dims, "dims")

    @property
    def name(self) -> str:
        return f"pca{self.dims}"

    def fit(self, vectors: Vectors, /) -> tuple[Fitted, ...]:
        dims = _fits(self.dims, vectors, self.name)
        center = FittedCenter(mean(vectors))
        return center, FittedProjection(_directions(center.forward(vectors), dims))


def _fits(dims: int, vectors: Vectors, name: str, *, learns: bool = True) -> int:
    rows, dim = vectors.shape
    if dims > dim:
        raise InvalidInputError(f"{name} asks for {dims} dimensions and the vectors have {dim}; ask for at most {dim}.")
    if learns and rows < dims:
        raise InvalidInputError(
            f"{name} needs at least {dims} vectors to fit, better ten times as many; {rows} were given. "
            "Fit on more, ask for fewer dimensions, or take a codec that learns nothing, such as int4."
        )
    return dims


def _directions(vectors: Vectors, dims: int) -> NDArray[np.int32]:
    _, found = np.linalg.eigh(gram(vectors.astype(np.float64)))
    basis = found[:, ::-1][:, :dims]
    # An eigenvector has no sign of its own.
    peaks = basis[np.abs(basis).argmax(axis=0), np.arange(dims)]
    return fixed_point(basis * np.where(peaks < 0, -1.0, 1.0))
