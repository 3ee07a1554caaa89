"""One bit an entry, or several bits each of what the ones before left over.

RaBitQ: Gao and Long, "RaBitQ: Quantizing High-Dimensional Vectors with a Theoretical Error Bound" (2405.12497). Residual bits:
recurrent binary embeddings (Shan et al., KDD 2018; BEBR, 2302.08714), here without training.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Self

import numpy as np

from ragkit.errors import InvalidInputError
from ragkit.vec.codecs.arrays import Bytes, Vectors, checked_whole
from ragkit.vec.codecs.quantizers import Quantizer, factor, stack


@dataclass(frozen=True, slots=True)
class Binary(Quantizer):
    """The signs of the entries, for queries that stay float32.

    With ``unbiased`` (and ``Rotation`` before it) four more bytes a vector make estimates of dot products unbiased, as in RaBitQ.
    Without, one ``constant`` is learned for all, so that scores are near cosines; zero vectors have no signs and are refused.
    """

    unbiased: bool = False
    constant: float = 1.0
    kind = "binary"

    @property
    def name(self) -> str:
        return "binary unbiased" if self.unbiased else "binary"

    @property
    def learns(self) -> bool:
        return not self.unbiased

    def fit(self, vectors: Vectors, /) -> Self:
        if self.unbiased:
            return self
        found = _factors(vectors)
        return replace(self, constant=math.fsum(found.tolist()) / len(found))

    def row_bytes(self, dim: int, /) -> int:
        return (dim + 7) // 8 + (4 if self.unbiased else 0)

    def encode(self, vectors: Vectors, /) -> Bytes:
        if self.unbiased:
            return stack(_signs(vectors), _factors(vectors))
        empty = ~vectors.any(axis=1)
        if empty.any():
            raise InvalidInputError(
                f"vectors[{int(empty.argmax())}] is all zeros where {self.name} takes its signs. Leave it out, or take Binary(unbiased=True)."
            )
        return _signs(vectors)

    def values(self, rows: Bytes, dim: int, /) -> Vectors:
        wide = (dim + 7) // 8
        signs = np.take(_sign_table(), rows[:, :wide], axis=0).reshape(len(rows), 8 * wide)
        return signs if self.unbiased else signs * np.float32(self.constant)

    def factors(self, rows: Bytes, dim: int, /) -> Vectors | None:
        return factor(rows, (dim + 7) // 8) if self.unbiased else None


@dataclass(frozen=True, slots=True)
class ResidualBinary(Quantizer):
    """``bits`` signs an entry, each of what the ones before left, with a factor for each. Best after ``Rotation``."""

    bits: int = 2
    kind = "residual"
    learns = False

    def __post_init__(self) -> None:
        if checked_whole(self.bits, "bits") > 8:
            raise InvalidInputError(f"bits is {self.bits}; at most 8 are possible, and Int8() is closer than 8.")

    @property
    def name(self) -> str:
        return f"residual{self.bits}"

    def fit(self, vectors: Vectors, /) -> Self:
        return self

    def row_bytes(self, dim: int, /) -> int:
        return self.bits * ((dim + 7) // 8 + 4)

    def encode(self, vectors: Vectors, /) -> Bytes:
        left = vectors.copy()
        planes, factors = [], []
        for _ in range(self.bits):
            size: Vectors = np.abs(left).mean(axis=1)
            planes.append(_signs(left))
            factors.append(size)
            left -= np.where(np.signbit(left), -size[:, None], size[:, None])
        return stack(np.concatenate(planes, axis=1), *factors)

    def values(self, rows: Bytes, dim: int, /) -> Vectors:
        wide = (dim + 7) // 8
        total = np.zeros((len(rows), 8 * wide), np.float32)
        for bit in range(self.bits):
            signs = np.take(_sign_table(), rows[:, bit * wide : (bit + 1) * wide], axis=0).reshape(total.shape)
            total += signs * factor(rows, self.bits * wide + 4 * bit)[:, None]
        return total

    def factors(self, rows: Bytes, dim: int, /) -> Vectors | None:
        return None


def _signs(vectors: Vectors) -> Bytes:
    return np.packbits(~np.signbit(vectors), axis=1, bitorder="little")


def _factors(vectors: Vectors) -> Vectors:
    """``|y|^2 / |y|_1``, 0 for zeros."""
    size = np.abs(vectors).astype(np.float64)
    length = size.sum(axis=1)
    found: Vectors = ((size * size).sum(axis=1) / np.where(length > 0, length, 1)).astype(np.float32)
    return found


@lru_cache(maxsize=1)
def _sign_table() -> Any:
    bits = np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1, bitorder="little")
    return bits.astype(np.float32) * 2 - 1
