"""Two bits an entry that choose among 256 values: each entry's value is read from its own bits and those of the three before it.

Trellis-coded quantisation (Marcellin and Fischer, 1990) with a bit-shift trellis, as in QTIP (Tseng et al., 2406.11235). A row of
entries is one path through 256 states, and the best path is found by Viterbi's algorithm.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from statistics import NormalDist
from typing import Any, Self

import numpy as np

from ragkit.vec.codecs.arrays import Bytes, Vectors
from ragkit.vec.codecs.integers import unbiased
from ragkit.vec.codecs.quantizers import Quantizer, factor, in_blocks, stack

_BLOCK = 128
_STATES = 256
#: Neighbouring states get values far apart: of the odd multipliers the one that loses least of normally distributed entries.
_STRIDE = 189
#: Values a little wider than the entries turn least away from them, after a normal distribution.
_WIDTH = 1.075


@dataclass(frozen=True, slots=True)
class Trellis2(Quantizer):
    """Two bits an entry and one byte a row more than ``Int2``, for two thirds of its error. Wants ``Rotation`` before it; learns nothing.

    Loses 7.4 % of the squared length of normally distributed entries, ``Int2`` 11.9 %, and no code of two bits less than 6.25 %.
    A vector of 384 dimensions takes about a millisecond to encode.
    """

    kind = "trellis2"
    name = "trellis2"
    learns = False

    def fit(self, vectors: Vectors, /) -> Self:
        return self

    def row_bytes(self, dim: int, /) -> int:
        return (dim + 3) // 4 + 1 + 4

    def encode(self, vectors: Vectors, /) -> Bytes:
        return in_blocks(self._block, vectors, rows=_BLOCK, width=self.row_bytes(vectors.shape[1]))

    def _block(self, vectors: Vectors) -> Bytes:
        peak = np.abs(vectors).max(axis=1)
        # Relative to the peak no square leaves float32.
        rows = vectors / np.where(peak > 0, peak, 1)[:, None]
        middle = np.sqrt(np.mean(rows * rows, axis=1))
        states = _best_path(np.asarray(rows / np.where(middle > 0, middle, 1)[:, None], np.float32))
        dots = (rows * _values()[states]).sum(axis=1)
        return stack(_packed(states), unbiased(vectors, rows, dots, peak))

    def values(self, rows: Bytes, dim: int, /) -> Vectors:
        wide = (dim + 3) // 4
        pairs = rows[:, :wide] | rows[:, 1 : wide + 1].astype(np.uint16) << 8
        return np.take(_table(), pairs).view(np.float32)

    def factors(self, rows: Bytes, dim: int, /) -> Vectors | None:
        return factor(rows, (dim + 3) // 4 + 1)


def _best_path(rows: Vectors) -> Any:
    """The states ``(n, dim)`` whose values are nearest to ``rows`` in all; each begins with six bits of the one before."""
    n, dim = rows.shape
    values, shared = _values()[:, None], _STATES // 4
    squares, columns = values * values, np.ascontiguousarray(rows.T)
    # One vector a column. A state is its two newest bits above the six that it shares with the state before.
    cost = np.zeros((4, shared, n), np.float32)
    came = np.empty((dim, shared, n), np.uint8)
    for at in range(dim):
        before = cost.reshape(shared, 4, n)
        first, last = np.minimum(before[:, 0], before[:, 1]), np.minimum(before[:, 2], before[:, 3])
        came[at] = np.where(last < first, 2 + (before[:, 3] < before[:, 2]), before[:, 1] < before[:, 0])
        lost = squares - (2 * columns[at]) * values
        cost = lost.reshape(4, shared, n)
        cost += np.minimum(first, last)
    states = np.empty((n, dim), np.uint8)
    here = cost.reshape(_STATES, n).argmin(axis=0)
    for at in range(dim - 1, -1, -1):
        states[:, at] = here
        here = here % shared * 4 + came[at, here % shared, np.arange(n)]
    return states


def _packed(states: Any) -> Bytes:
    """The first state's eight bits, then two for each that follows; a whole number of four entries, and one byte."""
    n, dim = states.shape
    wide = (dim + 3) // 4
    newest = np.zeros((n, 4 * (wide + 1)), np.uint8)
    newest[:, 3 : dim + 3] = states >> 6
    newest[:, :3] = states[:, :1] >> np.array([0, 2, 4]) & 3
    packed: Any = newest[:, 0::4] | newest[:, 1::4] << 2 | newest[:, 2::4] << 4 | newest[:, 3::4] << 6
    return np.asarray(packed, np.uint8)


@lru_cache(maxsize=1)
def _values() -> Any:
    """What each state stands for: quantiles of the normal distribution, rounded so that every machine has the same."""
    normal = NormalDist()
    quantiles = [round(4096 * _WIDTH * normal.inv_cdf((at + 0.5) / _STATES)) / 4096 for at in range(_STATES)]
    return np.array([quantiles[at * _STRIDE % _STATES] for at in range(_STATES)], np.float32)


@lru_cache(maxsize=1)
def _table() -> Any:
    # Four entries begin in a byte and end in the next; read as one number of 16 bytes, so that a look-up moves all four.
    pair = np.arange(1 << 16)
    return np.stack([_values()[pair >> at & 255] for at in (0, 2, 4, 6)], axis=1).view(np.complex128)[:, 0]
