"""Whole numbers with a scale per vector: 8, 4 and 2 bits an entry.

Four and two bits take the scale that turns the codes least away from the vector, as extended RaBitQ does (Gao et al., 2409.09913), and
a factor that makes estimates of dot products unbiased after a random rotation.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Self

import numpy as np

from ragkit.vec.codecs.arrays import Bytes, Vectors
from ragkit.vec.codecs.quantizers import Quantizer, factor, in_blocks, stack

_BLOCK = 512
# Steps to try, as multiples of the root mean square: 0.335 is best for a normal distribution and 16 levels (Max, 1960).
_STEPS = tuple(float(one) for one in 0.335 * np.geomspace(0.7, 2.0, 15))


@dataclass(frozen=True, slots=True)
class Int8(Quantizer):
    """255 levels, the largest entry of each vector at the end. No entry is off by more than 1/254 of the largest."""

    kind = "int8"
    name = "int8"
    learns = False

    def fit(self, vectors: Vectors, /) -> Self:
        return self

    def row_bytes(self, dim: int, /) -> int:
        return dim + 4

    def encode(self, vectors: Vectors, /) -> Bytes:
        scale: Vectors = (np.abs(vectors).max(axis=1) / np.float32(127)).astype(np.float32)
        codes = np.rint(vectors / np.where(scale > 0, scale, 1)[:, None]).astype(np.int8)
        return stack(codes.view(np.uint8), scale)

    def values(self, rows: Bytes, dim: int, /) -> Vectors:
        found: Vectors = rows[:, :dim].view(np.int8).astype(np.float32)
        return found

    def factors(self, rows: Bytes, dim: int, /) -> Vectors | None:
        return factor(rows, dim)


@dataclass(frozen=True, slots=True)
class Int4(Quantizer):
    """16 levels from -7.5 to 7.5 steps, the step chosen for each vector among sixteen. Best after ``Rotation``."""

    kind = "int4"
    name = "int4"
    learns = False

    def fit(self, vectors: Vectors, /) -> Self:
        return self

    def row_bytes(self, dim: int, /) -> int:
        return (dim + 1) // 2 + 4

    def encode(self, vectors: Vectors, /) -> Bytes:
        return in_blocks(self._block, vectors, rows=_BLOCK, width=self.row_bytes(vectors.shape[1]))

    def _block(self, vectors: Vectors) -> Bytes:
        peak = np.abs(vectors).max(axis=1)
        # Relative to the peak no square leaves float32.
        rows = vectors / np.where(peak > 0, peak, 1)[:, None]
        middle = np.sqrt(np.mean(rows * rows, axis=1))
        codes = np.empty(rows.shape, np.int8)
        best = np.full(len(rows), -1.0, np.float32)
        dots = np.zeros(len(rows), np.float32)
        for step in (None, *_STEPS):
            width = np.full(len(rows), 1 / 7.5, np.float32) if step is None else middle * np.float32(step)
            found = np.clip(np.floor(rows / np.where(width > 0, width, 1)[:, None]), -8, 7)
            centred = found + np.float32(0.5)
            dot, square = (rows * centred).sum(axis=1), (centred * centred).sum(axis=1)
            near = dot * dot / square
            better = near > best
            codes[better], best[better], dots[better] = found[better], near[better], dot[better]
        return stack(_nibbles(codes), unbiased(vectors, rows, dots, peak))

    def values(self, rows: Bytes, dim: int, /) -> Vectors:
        wide = (dim + 1) // 2
        return np.take(_int4_table(), rows[:, :wide]).view(np.float32)

    def factors(self, rows: Bytes, dim: int, /) -> Vectors | None:
        return factor(rows, (dim + 1) // 2)


@dataclass(frozen=True, slots=True)
class Int2(Quantizer):
    """Four levels, -1.5, -0.5, 0.5 and 1.5 steps; of all steps the best for each vector. Wants ``Rotation`` before it."""

    kind = "int2"
    name = "int2"
    learns = False

    def fit(self, vectors: Vectors, /) -> Self:
        return self

    def row_bytes(self, dim: int, /) -> int:
        return (dim + 3) // 4 + 4

    def encode(self, vectors: Vectors, /) -> Bytes:
        return in_blocks(self._block, vectors, rows=_BLOCK, width=self.row_bytes(vectors.shape[1]))

    def _block(self, vectors: Vectors) -> Bytes:
        n, dim = vectors.shape
        peak = np.abs(vectors).max(axis=1)
        size = np.abs(vectors) / np.where(peak > 0, peak, 1)[:, None]
        order = np.argsort(-size, axis=1, kind="stable")
        # The m largest get 1.5 and the others 0.5: every step is one of these, so looking at all m finds the best.
        gained = np.cumsum(np.take_along_axis(size, order, axis=1), axis=1, dtype=np.float64)
        dots = 0.5 * gained[:, -1:] + gained
        near = dots * dots / (0.25 * dim + 2.0 * np.arange(1, dim + 1))
        best = near.argmax(axis=1)
        outer = np.zeros((n, dim), np.uint8)
        np.put_along_axis(outer, order, (np.arange(dim) <= best[:, None]).astype(np.uint8), axis=1)
        codes = np.where(np.signbit(vectors), 1 - outer, 2 + outer).astype(np.uint8)
        codes = np.pad(codes, ((0, 0), (0, -dim % 4)))
        packed: Any = codes[:, 0::4] | codes[:, 1::4] << 2 | codes[:, 2::4] << 4 | codes[:, 3::4] << 6
        return stack(packed, unbiased(vectors, size, dots[np.arange(n), best], peak))

    def values(self, rows: Bytes, dim: int, /) -> Vectors:
        wide = (dim + 3) // 4
        return np.take(_int2_table(), rows[:, :wide]).view(np.float32)

    def factors(self, rows: Bytes, dim: int, /) -> Vectors | None:
        return factor(rows, (dim + 3) // 4)


def unbiased(vectors: Vectors, rows: Any, dots: Any, peak: Vectors) -> Vectors:
    """``|y|^2 / <y, code>`` of each vector y, 0 for zeros, from y over its peak and the dot products with that."""
    square = (rows * rows).sum(axis=1, dtype=np.float64)
    found: Vectors = np.asarray(np.where(dots > 0, square / np.where(dots > 0, dots, 1), 0) * peak, np.float32)
    return found


def _nibbles(codes: Any) -> Bytes:
    whole = np.pad(codes + 8, ((0, 0), (0, codes.shape[1] % 2))).astype(np.uint8)
    packed: Any = whole[:, 0::2] | whole[:, 1::2] << 4
    return np.asarray(packed, np.uint8)


@lru_cache(maxsize=1)
def _int4_table() -> Any:
    # Two entries a byte; read as one number of eight bytes, so that a look-up moves both at once.
    byte = np.arange(256)
    return (np.stack([byte & 15, byte >> 4], axis=1) - 7.5).astype(np.float32).view(np.complex64)[:, 0]


@lru_cache(maxsize=1)
def _int2_table() -> Any:
    byte = np.arange(256)
    return (np.stack([byte >> at & 3 for at in (0, 2, 4, 6)], axis=1) - 1.5).astype(np.float32).view(np.complex128)[:, 0]
