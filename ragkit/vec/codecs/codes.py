"""Encoded vectors, and which of them a search may look at."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from ragkit.errors import InvalidInputError
from ragkit.vec.codecs.arrays import Bytes, Places, Vectors


class Found(NamedTuple):
    """The best rows of each query, int64 ``(q, found)``, and their scores, float32 ``(q, found)``, best first."""

    rows: Places
    scores: Vectors


@dataclass(frozen=True, slots=True, eq=False)
class Codes:
    """Rows of bytes, uint8 ``(n, size)``, in memory or as ``np.memmap``, and the fingerprint of the codec that wrote them.

    Rows of one fingerprint may be cut, reordered and put together at will: no row depends on another.
    """

    rows: Bytes = field(repr=False)
    fingerprint: str

    def __post_init__(self) -> None:
        if not isinstance(self.rows, np.ndarray) or self.rows.dtype != np.uint8 or self.rows.ndim != 2:
            told = f"{self.rows.dtype} {self.rows.shape}" if isinstance(self.rows, np.ndarray) else type(self.rows).__name__
            raise InvalidInputError(f"rows is {told}; codes are a uint8 array of shape (n, bytes of a row).")

    def __len__(self) -> int:
        return len(self.rows)


def checked_keep(keep: ArrayLike | None, n: int) -> Places | None:
    """``keep`` as ascending row numbers: from a mask ``(n,)`` or from row numbers; None stands for all.

    Raises InvalidInputError for a mask of another length, and for numbers that are no rows.
    """
    if keep is None:
        return None
    array: Any = np.asarray(keep)
    if array.size == 0 and array.dtype != bool:
        array = array.astype(np.int64)
    if array.ndim != 1 or not (array.dtype == bool or np.issubdtype(array.dtype, np.integer)):
        raise InvalidInputError(f"keep is {array.dtype} of shape {array.shape}; give a mask of {n} booleans, or row numbers.")
    if array.dtype == bool:
        if len(array) != n:
            raise InvalidInputError(f"keep is a mask of {len(array)} and there are {n} rows; it needs one boolean per row.")
        return np.flatnonzero(array)
    if len(array) and not (array.min() >= 0 and array.max() < n):
        wrong = array[(array < 0) | (array >= n)][0]
        raise InvalidInputError(f"keep holds {wrong}; the rows are numbered 0 to {n - 1}.")
    return np.unique(array).astype(np.int64)
