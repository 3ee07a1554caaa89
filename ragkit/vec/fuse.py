"""Formulas that put the scores of different searches on one scale, and fuse them.

Convex combination of normalised scores: Bruch, Gai and Ingber, "An Analysis of Fusion Functions for Hybrid Retrieval"
(2023). Reciprocal rank fusion: Cormack, Clarke and Buettcher (SIGIR 2009).
"""

from __future__ import annotations

import math
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from ragkit.errors import InvalidInputError
from ragkit.vec.rank import Floats, checked

Normalize = Literal["minmax", "tmm", "zscore"]


class Bounds(NamedTuple):
    """A linear scale: a score s becomes ``(s - origin) / width``; ``width`` > 0."""

    origin: float
    width: float


def fit_bounds(scores: ArrayLike, normalize: Normalize, *, floor: float = 0.0) -> Bounds:
    """The scale that ``normalize`` draws from these scores.

    - "minmax": the smallest becomes 0 and the largest 1.
    - "tmm": ``floor``, the least score in theory (-1 for a cosine, 0 for BM25), becomes 0 and the largest 1.
    - "zscore": mean 0, standard deviation 1.

    Scores that are all equal (or none at all) say nothing about order: the scale then sends them to 0, except that
    "tmm" still sends a score above the floor to 1.
    """
    array = checked(scores)
    if not np.isfinite(array).all():
        raise InvalidInputError("scores hold an infinity; only finite scores can be normalised.")
    if not len(array):
        return Bounds(0.0, 1.0)
    if normalize == "zscore":
        origin, width = float(array.mean()), float(array.std())
    elif normalize in ("minmax", "tmm"):
        origin = float(array.min()) if normalize == "minmax" else floor
        width = float(array.max()) - origin
    else:
        raise InvalidInputError(f"normalize is {normalize!r}; allowed are 'minmax', 'tmm' and 'zscore'.")
    # Below rounding of the scores themselves a difference is noise, and dividing by it would make noise decide.
    return Bounds(origin, width if width > 1e-9 * max(1.0, abs(origin)) else math.inf)


def rescale(scores: ArrayLike, bounds: Bounds) -> Floats:
    """``(scores - origin) / width``, float64 ``(n,)``; all 0 on a scale without width."""
    return (checked(scores) - bounds.origin) / bounds.width


def convex(dense: ArrayLike, sparse: ArrayLike, weight: float) -> Floats:
    """``weight * dense + (1 - weight) * sparse``, ``weight`` in [0, 1]."""
    left, right = checked(dense, "dense"), checked(sparse, "sparse")
    if left.shape != right.shape:
        raise InvalidInputError(f"dense has {len(left)} scores and sparse {len(right)}; they must be equally many.")
    if not 0 <= weight <= 1:
        raise InvalidInputError(f"weight is {weight}; it must be between 0 and 1.")
    return weight * left + (1 - weight) * right


def reciprocal_ranks(ranks: ArrayLike, *, c: float = 60.0) -> Floats:
    """``1 / (c + rank)`` for ranks counted from 1, and 0 where a rank is 0 (not found); ``c`` >= 0."""
    array = checked(ranks, "ranks")
    if not c >= 0:
        raise InvalidInputError(f"c is {c}; it must be >= 0 (60 is usual).")
    if (array < 0).any():
        raise InvalidInputError("ranks hold a negative number; they count from 1, and 0 means not found.")
    found = array > 0
    return np.where(found, 1.0 / (c + np.where(found, array, 1.0)), 0.0)
