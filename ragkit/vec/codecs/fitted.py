"""Fitted linear steps: how vectors go in, come back, and how queries follow them, so that nothing is undone to score."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from ragkit.vec.codecs.arrays import Doubles, Vectors, project, row_dots
from ragkit.vec.codecs.rotation import rotate, rotate_back

Arrays = Mapping[str, NDArray[Any]]


class Fitted(Protocol):
    """A step fitted to ``dim`` dimensions; ``out`` is how many leave it."""

    @property
    def kind(self) -> str: ...

    @property
    def dim(self) -> int: ...

    @property
    def out(self) -> int: ...

    def forward(self, vectors: Vectors, /) -> Vectors: ...

    def backward(self, vectors: Vectors, /) -> Vectors: ...

    def ask(self, queries: Vectors, /) -> tuple[Vectors, Doubles]:
        """Queries for dot products with what ``forward`` gives, and what to add to each query's products."""
        ...

    def state(self) -> tuple[dict[str, Any], Arrays]:
        """Settings and learned arrays: all that makes this step."""
        ...

    @classmethod
    def from_state(cls, settings: Mapping[str, Any], arrays: Arrays, /) -> Self: ...


@dataclass(frozen=True, slots=True)
class FittedRotation:
    """``Rotation`` of neighbouring ``parts`` of the dimensions, each in itself."""

    parts: tuple[int, ...]
    seed: int
    kind = "rotation"

    @property
    def dim(self) -> int:
        return sum(self.parts)

    @property
    def out(self) -> int:
        return sum(self.parts)

    def forward(self, vectors: Vectors, /) -> Vectors:
        return self._each(rotate, vectors)

    def backward(self, vectors: Vectors, /) -> Vectors:
        return self._each(rotate_back, vectors)

    def _each(self, turn: Callable[[Vectors, int], Vectors], vectors: Vectors) -> Vectors:
        if len(self.parts) == 1:
            return turn(vectors, self.seed)
        return np.concatenate(
            [turn(np.ascontiguousarray(part), self.seed) for part in np.split(vectors, np.cumsum(self.parts)[:-1], axis=1)],
            axis=1,
        )

    def ask(self, queries: Vectors, /) -> tuple[Vectors, Doubles]:
        return self.forward(queries), np.zeros(len(queries))

    def state(self) -> tuple[dict[str, Any], Arrays]:
        return {"parts": list(self.parts), "seed": self.seed}, {}

    @classmethod
    def from_state(cls, settings: Mapping[str, Any], arrays: Arrays, /) -> Self:
        return cls(tuple(settings["parts"]), settings["seed"])


@dataclass(frozen=True, slots=True)
class FittedCut:
    """The first ``out`` of ``dim`` dimensions."""

    dim: int
    out: int
    kind = "matryoshka"

    def forward(self, vectors: Vectors, /) -> Vectors:
        return np.ascontiguousarray(vectors[:, : self.out])

    def backward(self, vectors: Vectors, /) -> Vectors:
        return np.pad(vectors, ((0, 0), (0, self.dim - self.out)))

    def ask(self, queries: Vectors, /) -> tuple[Vectors, Doubles]:
        return self.forward(queries), np.zeros(len(queries))

    def state(self) -> tuple[dict[str, Any], Arrays]:
        return {"dim": self.dim, "out": self.out}, {}

    @classmethod
    def from_state(cls, settings: Mapping[str, Any], arrays: Arrays, /) -> Self:
        return cls(settings["dim"], settings["out"])


@dataclass(frozen=True, slots=True, eq=False)
class FittedCenter:
    """Subtracts ``mean`` ``(dim,)`` float32."""

    mean: Vectors = field(repr=False)
    kind = "center"

    @property
    def dim(self) -> int:
        return len(self.mean)

    @property
    def out(self) -> int:
        return len(self.mean)

    def forward(self, vectors: Vectors, /) -> Vectors:
        return vectors - self.mean

    def backward(self, vectors: Vectors, /) -> Vectors:
        return vectors + self.mean

    def ask(self, queries: Vectors, /) -> tuple[Vectors, Doubles]:
        return queries, row_dots(queries, self.mean)

    def state(self) -> tuple[dict[str, Any], Arrays]:
        return {}, {"mean": self.mean}

    @classmethod
    def from_state(cls, settings: Mapping[str, Any], arrays: Arrays, /) -> Self:
        return cls(arrays["mean"])


@dataclass(frozen=True, slots=True, eq=False)
class FittedProjection:
    """Orthonormal columns ``basis`` ``(dim, out)``, whole numbers in units of 2^-26."""

    basis: NDArray[np.int32] = field(repr=False)
    kind = "projection"

    @property
    def dim(self) -> int:
        return int(self.basis.shape[0])

    @property
    def out(self) -> int:
        return int(self.basis.shape[1])

    def forward(self, vectors: Vectors, /) -> Vectors:
        return project(vectors, self.basis).astype(np.float32)

    def backward(self, vectors: Vectors, /) -> Vectors:
        return project(vectors, np.ascontiguousarray(self.basis.T)).astype(np.float32)

    def ask(self, queries: Vectors, /) -> tuple[Vectors, Doubles]:
        return self.forward(queries), np.zeros(len(queries))

    def state(self) -> tuple[dict[str, Any], Arrays]:
        return {}, {"basis": self.basis}

    @classmethod
    def from_state(cls, settings: Mapping[str, Any], arrays: Arrays, /) -> Self:
        return cls(arrays["basis"])


FITTED: Mapping[str, type[Fitted]] = {
    "rotation": FittedRotation,
    "matryoshka": FittedCut,
    "center": FittedCenter,
    "projection": FittedProjection,
}
