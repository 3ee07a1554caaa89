"""Formulas that put the scores of different searches on one scale, and fuse them.

Convex combination of normalised scores: Bruch, Gai and Ingber, "An Analysis of Fusion Functions for Hybrid Retrieval"
(2023). Reciprocal rank fusion: Cormack, Clarke and Buettcher (SIGIR 2009). Distribution-based score fusion: Mazzeschi (2023).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike

from ragkit.errors import InvalidInputError
from ragkit.vec.rank import Floats, checked

Normalize = Literal["minmax", "tmm", "zscore", "softmax", "dbsf"]
_SHARPNESS = 0.5  # standard deviations count half in the exponent: an outlier stands out, and does not drown the rest
_HIGHEST = 50.0  # exponents stop here, far above what the fitted scores reach, so that no score overflows


def fit_scale(scores: ArrayLike, normalize: Normalize, *, floor: float = 0.0) -> Callable[[ArrayLike], Floats]:
    """The scale that ``normalize`` draws from these scores: a function of scores, float64 ``(n,)``, never decreasing.

    - "minmax": the smallest becomes 0 and the largest 1.
    - "tmm": ``floor``, the least score in theory (-1 for a cosine, 0 for BM25), becomes 0 and the largest 1.
    - "zscore": mean 0, standard deviation 1.
    - "dbsf": three deviations below the mean become 0 and three above 1, and what lies beyond is cut to that.
    - "softmax": exp(z / 2) of the z-score, divided by its sum over these scores: a distribution over the candidates, flat
      where the scores say little and steep where a few stand out.

    Scores that are all equal (or none at all) say nothing about order: everything then becomes 0. Raises
    InvalidInputError for scores that are not finite.
    """
    array = checked(scores)
    if not np.isfinite(array).all():
        raise InvalidInputError("scores hold an infinity; only finite scores can be normalised.")
    if normalize not in get_args(Normalize):
        raise InvalidInputError(f"normalize is {normalize!r}; allowed are {', '.join(get_args(Normalize))}.")
    # A spread below the rounding of the scores is noise, and dividing by it would let noise decide.
    if not len(array) or float(np.ptp(array)) <= 1e-9 * max(1.0, float(np.abs(array).max())):
        return lambda values: np.zeros_like(checked(values))
    if normalize == "minmax":
        return _linear(float(array.min()), float(np.ptp(array)))
    if normalize == "tmm":
        return _linear(floor, max(float(array.max()) - floor, 1e-9))
    z = _linear(float(array.mean()), float(array.std()))
    if normalize == "zscore":
        return z
    if normalize == "dbsf":
        return lambda values: np.clip((z(values) + 3) / 6, 0.0, 1.0)
    mass = float(np.exp(np.minimum(_SHARPNESS * z(array), _HIGHEST)).sum())
    return lambda values: np.exp(np.minimum(_SHARPNESS * z(values), _HIGHEST)) / mass


def _linear(origin: float, width: float) -> Callable[[ArrayLike], Floats]:
    return lambda values: (checked(values) - origin) / width


def reciprocal_ranks(ranks: ArrayLike, *, c: float = 60.0) -> Floats:
    """``1 / (c + rank)`` for ranks counted from 1, and 0 where a rank is 0 (not found); ``c`` >= 0."""
    array = checked(ranks, "ranks")
    if not c >= 0:
        raise InvalidInputError(f"c is {c}; it must be >= 0 (60 is usual).")
    if (array < 0).any():
        raise InvalidInputError("ranks hold a negative number; they count from 1, and 0 means not found.")
    found = array > 0
    return np.where(found, 1.0 / (c + np.where(found, array, 1.0)), 0.0)
