"""Ranking with ties that always break the same way."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ragkit.errors import InvalidInputError

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]


def checked(scores: ArrayLike, name: str = "scores") -> Floats:
    """``scores`` as float64 ``(n,)``; raises InvalidInputError unless one-dimensional and free of NaN."""
    array = np.asarray(scores, dtype=np.float64)
    if array.ndim != 1:
        raise InvalidInputError(f"{name} has shape {array.shape}; it must be one-dimensional.")
    if np.isnan(array).any():
        raise InvalidInputError(f"{name}[{int(np.isnan(array).argmax())}] is NaN; a score must be a number.")
    return array


def order(scores: ArrayLike, ties: Sequence[Any] | None = None) -> Indices:
    """Places from the best score to the worst, int64 ``(n,)``; equal scores go by ``ties``, smaller first, then by place."""
    array = checked(scores)
    if ties is None:
        return np.argsort(-array, kind="stable")
    if len(ties) != len(array):
        raise InvalidInputError(f"ties has {len(ties)} entries and scores {len(array)}; they must be equally long.")
    by_tie = np.asarray(sorted(range(len(array)), key=ties.__getitem__), dtype=np.int64)
    return by_tie[np.argsort(-array[by_tie], kind="stable")] if len(array) else by_tie


def top_k(scores: ArrayLike, k: int) -> Indices:
    """Places of the ``k`` best scores, best first, equal scores by place: the first k of ``order(scores)``, found faster."""
    array = checked(scores)
    if k < 0:
        raise InvalidInputError(f"k is {k}; it must be >= 0.")
    if k == 0:
        return np.zeros(0, dtype=np.int64)
    if k >= len(array):
        return order(array)
    worst = np.partition(array, len(array) - k)[len(array) - k]
    above = np.flatnonzero(array > worst)
    level = np.flatnonzero(array == worst)[: k - len(above)]
    places = np.sort(np.concatenate([above, level]))
    return places[np.argsort(-array[places], kind="stable")]


def ranks(ordered: ArrayLike) -> Indices:
    """The inverse of ``order``: the rank of each place, counted from 1."""
    places = np.asarray(ordered, dtype=np.int64)
    result = np.empty(len(places), dtype=np.int64)
    result[places] = np.arange(1, len(places) + 1)
    return result
