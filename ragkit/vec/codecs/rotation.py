"""A random rotation by Hadamard transforms: adds and subtracts only, and nothing to store but a seed.

Fast Johnson-Lindenstrauss transform: Ailon and Chazelle (2009). Any number of dimensions: each round transforms the largest power of two
of them, and a permutation between the rounds lets every entry take part.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from ragkit.vec.codecs.arrays import Places, Vectors

_ROUNDS = 3
_BLOCK = 512


@lru_cache(maxsize=16)
def _plan(seed: int, dim: int) -> tuple[tuple[Places, NDArray[np.float32]], ...]:
    # Only the raw stream of a bit generator is promised to stay the same in later versions of numpy.
    stream = np.random.PCG64(seed)
    rounds = []
    for _ in range(_ROUNDS):
        places = np.argsort(stream.random_raw(dim), kind="stable")
        signs = np.where(stream.random_raw(dim) >> np.uint64(63), np.float32(1), np.float32(-1))[:, None]
        rounds.append((places, signs))
    return tuple(rounds)


def _hadamard(columns: Vectors, size: int) -> None:
    """The orthonormal transform of the first ``size`` entries of every vector, in place; its own inverse."""
    here = columns[:size]
    step = 1
    while step < size:
        pairs = here.reshape(size // (2 * step), 2, step * columns.shape[1])
        low, high = pairs[:, 0], pairs[:, 1]
        total = low + high
        np.subtract(low, high, out=high)
        low[...] = total
        step *= 2
    here *= np.float32(size**-0.5)


def rotate(vectors: Vectors, seed: int) -> Vectors:
    """``vectors`` ``(n, dim)`` in other axes; lengths and angles stay. Each row depends on itself and ``seed`` alone."""
    size = 1 << (vectors.shape[1].bit_length() - 1)
    out = np.empty_like(vectors)
    for at in range(0, len(vectors), _BLOCK):
        # One vector a column: every addition then runs along contiguous memory.
        columns = np.ascontiguousarray(vectors[at : at + _BLOCK].T)
        for places, signs in _plan(seed, vectors.shape[1]):
            columns = columns[places] * signs
            _hadamard(columns, size)
        out[at : at + _BLOCK] = columns.T
    return out


def rotate_back(vectors: Vectors, seed: int) -> Vectors:
    """The inverse of ``rotate``, up to rounding."""
    size = 1 << (vectors.shape[1].bit_length() - 1)
    out = np.empty_like(vectors)
    for at in range(0, len(vectors), _BLOCK):
        columns = vectors[at : at + _BLOCK].T.copy()
        for places, signs in reversed(_plan(seed, vectors.shape[1])):
            _hadamard(columns, size)
            restored = np.empty_like(columns)
            restored[places] = columns * signs
            columns = restored
        out[at : at + _BLOCK] = columns.T
    return out
