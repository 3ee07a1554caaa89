"""What a row of numbers becomes: the seam that every quantizer fills, and those that keep floating point."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, Self, get_args

import numpy as np

from ragkit.errors import InvalidInputError
from ragkit.vec.codecs.arrays import Bytes, Vectors
from ragkit.vec.codecs.float8 import LAYOUTS, Format, overflows, table, to_codes


class Quantizer(Protocol):
    """A frozen dataclass of JSON values. A row is its codes, then its factors as little-endian float32."""

    @property
    def kind(self) -> str: ...

    @property
    def name(self) -> str: ...

    @property
    def learns(self) -> bool: ...

    def fit(self, vectors: Vectors, /) -> Self:
        """The same, with what it learns from vectors."""
        ...

    def row_bytes(self, dim: int, /) -> int:
        """Bytes of one row for ``dim`` entries."""
        ...

    def encode(self, vectors: Vectors, /) -> Bytes:
        """``(n, row_bytes)``; no row depends on the others."""
        ...

    def values(self, rows: Bytes, dim: int, /) -> Vectors:
        """``(n, >= dim)``: what the codes stand for before factors; columns past ``dim`` are padding."""
        ...

    def factors(self, rows: Bytes, dim: int, /) -> Vectors | None:
        """``(n,)`` to multiply each row of ``values`` by; None for 1."""
        ...


def in_blocks(encode: Callable[[Vectors], Bytes], vectors: Vectors, *, rows: int, width: int) -> Bytes:
    """``encode`` of so many rows at a time, put together: ``(n, width)``, for no vectors too."""
    if not len(vectors):
        return np.empty((0, width), np.uint8)
    return np.concatenate([encode(vectors[at : at + rows]) for at in range(0, len(vectors), rows)])


def stack(codes: Bytes, *factors: Vectors) -> Bytes:
    """Codes ``(n, m)`` and factors ``(n,)`` as one row of bytes each."""
    parts = [codes, *(np.ascontiguousarray(one, "<f4")[:, None].view(np.uint8) for one in factors)]
    return np.concatenate(parts, axis=1)


def factor(rows: Bytes, at: int) -> Vectors:
    """The float32 that begins at byte ``at`` of every row."""
    found: Vectors = np.ascontiguousarray(rows[:, at : at + 4]).view("<f4")[:, 0].astype(np.float32, copy=False)
    return found


@dataclass(frozen=True, slots=True)
class Float32(Quantizer):
    """The vectors themselves."""

    kind = "float32"
    name = "float32"
    learns = False

    def fit(self, vectors: Vectors, /) -> Self:
        return self

    def row_bytes(self, dim: int, /) -> int:
        return 4 * dim

    def encode(self, vectors: Vectors, /) -> Bytes:
        return np.ascontiguousarray(vectors, "<f4").view(np.uint8)

    def values(self, rows: Bytes, dim: int, /) -> Vectors:
        found: Vectors = np.ascontiguousarray(rows).view("<f4").astype(np.float32, copy=False)
        return found

    def factors(self, rows: Bytes, dim: int, /) -> Vectors | None:
        return None


@dataclass(frozen=True, slots=True)
class Float16(Quantizer):
    """IEEE half precision: 11 bits of every entry down to 6e-5, steps of 6e-8 below. Refuses entries beyond 65504."""

    kind = "float16"
    name = "float16"
    learns = False

    def fit(self, vectors: Vectors, /) -> Self:
        return self

    def row_bytes(self, dim: int, /) -> int:
        return 2 * dim

    def encode(self, vectors: Vectors, /) -> Bytes:
        refuse_overflow(vectors, np.abs(vectors) >= 65520, self.name, "65504")
        return np.ascontiguousarray(vectors, "<f2").view(np.uint8)

    def values(self, rows: Bytes, dim: int, /) -> Vectors:
        found: Vectors = np.ascontiguousarray(rows).view("<f2").astype(np.float32)
        return found

    def factors(self, rows: Bytes, dim: int, /) -> Vectors | None:
        return None


@dataclass(frozen=True, slots=True)
class Float8(Quantizer):
    """Eight-bit floating point, for exchange with systems that store it; int8 is as small and closer.

    Without ``scaled`` entries are stored as they are: those of "e4m3" below 2^-10 become 0 (2 % of a MiniLM vector), and
    those beyond 448 ("e5m2": 57344) are refused. ``scaled`` stretches every row to the full range, for four bytes.
    """

    form: Format = "e4m3"
    scaled: bool = False
    kind = "float8"
    learns = False

    def __post_init__(self) -> None:
        if self.form not in get_args(Format):
            raise InvalidInputError(f"form is {self.form!r}; allowed are {', '.join(get_args(Format))}.")

    @property
    def name(self) -> str:
        return f"float8 {self.form}{' scaled' if self.scaled else ''}"

    def fit(self, vectors: Vectors, /) -> Self:
        return self

    def row_bytes(self, dim: int, /) -> int:
        return dim + (4 if self.scaled else 0)

    def encode(self, vectors: Vectors, /) -> Bytes:
        largest = LAYOUTS[self.form].largest
        if not self.scaled:
            refuse_overflow(vectors, overflows(vectors, self.form), self.name, f"{largest:g}")
            return to_codes(vectors, self.form)
        scale: Vectors = (np.abs(vectors).max(axis=1) / np.float32(largest)).astype(np.float32)
        return stack(to_codes(vectors / np.where(scale > 0, scale, 1)[:, None], self.form), scale)

    def values(self, rows: Bytes, dim: int, /) -> Vectors:
        return np.take(table(self.form), rows[:, :dim])

    def factors(self, rows: Bytes, dim: int, /) -> Vectors | None:
        return factor(rows, dim) if self.scaled else None


def refuse_overflow(vectors: Vectors, over: np.ndarray[tuple[int, ...], np.dtype[np.bool_]], name: str, most: str) -> None:
    """Raise InvalidInputError when any entry is ``over`` what ``name`` can hold."""
    if over.any():
        row, place = np.argwhere(over)[0]
        raise InvalidInputError(
            f"vectors[{row}] holds {vectors[row, place]:g} at dimension {place}, and {name} ends at {most}. "
            "Normalise the vectors, or take a codec with a scale per vector, such as Int8() or Float8(scaled=True)."
        )
