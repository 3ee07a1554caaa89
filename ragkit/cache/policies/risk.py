"""Upper bounds on how often candidates are wrong: one for a fixed sample, one that holds at every time at once.

The second kind is a supermartingale. Each judged candidate i of a region has weight w_i, chosen before its judgement; p_i is
its chance to be wrong. For any fixed r > 0 and gain g = 1 - exp(-r),

    E = prod_i exp(g w_i p_i) * (1 - g w_i if wrong else 1)

is expected not to grow, whatever the p_i are, so by Ville's inequality it reaches 1 / alpha at any time with probability
at most alpha. With the weighted mean chance p = sum w_i p_i / sum w_i it depends on p alone, and solving E = 1 / alpha for p
gives an upper bound on p. The average over a few r keeps the property and needs no guess of p. (Ville 1939; Howard et al.
2021, arXiv 1810.08240; Waudby-Smith and Ramdas 2024, arXiv 2010.09686.)
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from ragkit.errors import InvalidInputError, MissingDependencyError

Floats = NDArray[np.float64]

#: 1 - exp(-r) for the r that are averaged: best where the truth is a fifth to nine tenths of the bound.
GAINS: Floats = -np.expm1(-np.array([0.2, 0.5, 1.0, 1.7, 3.0]))
_STEPS = 20
_RATES = (0.15, 0.4, 1.0)


def costs(weight: float) -> Floats:
    """What one wrong candidate of that weight adds to the evidence against each gain: float64 ``(gains,)``."""
    return -np.log1p(-weight * GAINS)


def anytime_upper(weights: Floats, cost: Floats, alpha: float) -> Floats:
    """Upper bounds on the weighted mean chance to be wrong, for many regions at once, at all times together.

    ``weights`` ``(regions,)`` are sums of weights, ``cost`` ``(regions, gains)`` sums of ``costs`` over wrong candidates.
    All bounds hold together with probability 1 - ``alpha``: each region has an equal part of it.
    """
    needed = math.log(len(weights) * len(GAINS) / alpha)
    low, high = np.zeros(len(weights)), np.ones(len(weights))
    for _ in range(_STEPS):
        middle = (low + high) / 2
        values = (weights * middle)[:, None] * GAINS - cost
        peak = values.max(1)
        reached = peak + np.log(np.exp(values - peak[:, None]).sum(1)) >= needed
        low, high = np.where(reached, low, middle), np.where(reached, middle, high)
    return high


def count_upper(mean: float, alpha: float) -> float:
    """How many of many unlikely events happen at most, when their chances add up to ``mean``, at all times together.

    exp(r count - (e^r - 1) mean) is expected not to grow, for any fixed r; three r share ``alpha``. 0.0 for a mean of 0.
    """
    if mean <= 0:
        return 0.0
    start = math.log(len(_RATES) / alpha)
    return min((math.expm1(rate) * mean + start) / rate for rate in _RATES)


def exact_upper(wrong: int, total: int, *, alpha: float = 0.05) -> float:
    """The Clopper-Pearson upper bound (1934) on a chance of which ``wrong`` in ``total`` were seen, one-sided at 1 - ``alpha``.

    1.0 for no observations. Raises MissingDependencyError without scipy, InvalidInputError for impossible counts.
    """
    if not 0 <= wrong <= total:
        raise InvalidInputError(f"wrong is {wrong} of {total}; it must lie between 0 and the total.")
    if wrong == total:
        return 1.0
    try:
        from scipy.stats import beta
    except ImportError as error:
        raise MissingDependencyError("Exact binomial bounds need scipy: install the extra 'eval'.") from error
    return float(beta.ppf(1 - alpha, wrong + 1, total - wrong))
