"""A random rotation by Hadamard transforms: adds and subtracts only, and nothing to store but a seed.

Fast Johnson-Lindenstrauss transform: Ailon and Chazelle (2009). Any number of dimensions: rounds of random signs and a transform, in turn of
the first and of the last largest power of two of them, so that no entry stays apart.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from ragkit.vec.codecs.arrays import Vectors

_BLOCK = 512


@lru_cache(maxsize=64)
def _plan(seed: int, dim: int) -> tuple[tuple[NDArray[np.float32], slice], ...]:
    """For each round the signs ``(dim, 1)`` and the dimensions that are transformed."""
    size = 1 << (dim.bit_length() - 1)
    # Only the raw stream of a bit generator is promised to stay the same in later versions of numpy.
    stream = np.random.PCG64(seed)
    rounds = []
    for number in range(2 if size == dim else 4):
        signs = np.where(stream.random_raw(dim) >> np.uint64(63), np.float32(1), np.float32(-1))[:, None]
        rounds.append((signs, slice(dim - size, dim) if number % 2 else slice(0, size)))
    return tuple(rounds)


def _hadamard(here: Vectors) -> None:
    """The orthonormal transform of a power of two of entries, in place, one vector a column; its own inverse."""
    size, step = len(here), 1
    while step < size:
        pairs = here.reshape(size // (2 * step), 2, step * here.shape[1])
        low, high = pairs[:, 0], pairs[:, 1]
        total = low + high
        np.subtract(low, high, out=high)
        low[...] = total
        step *= 2
    here *= np.float32(size**-0.5)


def rotate(vectors: Vectors, seed: int) -> Vectors:
    """``vectors`` ``(n, dim)`` in other axes; lengths and angles stay. Each row depends on itself and ``seed`` alone."""
    out = np.empty_like(vectors)
    for at in range(0, len(vectors), _BLOCK):
        # One vector a column: every addition then runs along contiguous memory.
        columns = vectors[at : at + _BLOCK].T.copy()
        for signs, part in _plan(seed, vectors.shape[1]):
            columns *= signs
            _hadamard(columns[part])
        out[at : at + _BLOCK] = columns.T
    return out


def rotate_back(vectors: Vectors, seed: int) -> Vectors:
    """The inverse of ``rotate``, up to rounding."""
    out = np.empty_like(vectors)
    for at in range(0, len(vectors), _BLOCK):
        columns = vectors[at : at + _BLOCK].T.copy()
        for signs, part in reversed(_plan(seed, vectors.shape[1])):
            _hadamard(columns[part])
            columns *= signs
        out[at : at + _BLOCK] = columns.T
    return out
