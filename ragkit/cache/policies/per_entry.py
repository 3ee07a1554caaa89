"""The per-entry policy of vCache, derived again from its paper, to compare with.

Every entry learns its own curve: P(correct | s) = 1 / (1 + exp(-slope (s - middle))), fitted to the judged similarities
of that entry alone, which start with (0, wrong) and (1, right). With ``sd`` the standard error of the middle, a candidate
is served with probability 1 - tau,

    tau = min over e of 1 - budget / (1 - alpha(e)),   alpha(e) = (1 - e) P(correct | s, middle + z(1 - e) sd)

so that wrong answers per request stay within the budget in expectation, if requests are exchangeable and the curve is
right. (Schroeder et al., vCache, arXiv 2502.03771.)
"""

from __future__ import annotations

from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]

#: An entry with fewer judged similarities than this, the two it starts with included, is only explored.
MIN_OBSERVATIONS = 6
_LEVELS = np.linspace(0.01, 0.99, 50)
_QUANTILES = np.array([NormalDist().inv_cdf(1 - level) for level in _LEVELS])
#: Standard error squared of the middle where right and wrong do not overlap and the fit itself has none, by observations.
_COUNTS, _VARIANCES = (6.0, 10.0, 15.0, 31.0, 48.0), (0.035, 0.019, 0.012, 0.010, 0.015)


def fit_curves(similarities: ArrayLike, right: ArrayLike, counted: ArrayLike) -> tuple[Floats, Floats, Floats]:
    """Slope, middle and standard error of many entries at once.

    ``similarities``, ``right`` (0 or 1) and ``counted`` (1 where a place is filled) are ``(entries, n)``, the two starting
    observations included. Damped Newton on the mean logistic loss until its gradient is below 1e-4.
    """
    x, y, mask = (np.asarray(values, dtype=np.float64) for values in (similarities, right, counted))
    n = mask.sum(1)
    slope, shift = np.ones(len(x)), np.zeros(len(x))

    def loss(slope: Floats, shift: Floats) -> Floats:
        line = slope[:, None] * x + shift[:, None]
        total: Floats = ((np.logaddexp(0, line) - y * line) * mask).sum(1) / n
        return total

    now = loss(slope, shift)
    information = np.zeros((3, len(x)))
    for _ in range(60):
        chance = 1 / (1 + np.exp(-np.clip(slope[:, None] * x + shift[:, None], -500, 500)))
        error, curve = (chance - y) * mask, chance * (1 - chance) * mask
        g_slope, g_shift = (error * x).sum(1) / n, error.sum(1) / n
        information = np.stack([(curve * x * x).sum(1), (curve * x).sum(1), curve.sum(1)])
        going = np.maximum(abs(g_slope), abs(g_shift)) > 1e-4
        if not going.any():
            break
        a, b, d = information / n + np.array([1e-9, 0.0, 1e-9])[:, None]
        determinant = np.maximum(a * d - b * b, 1e-18)
        step_slope, step_shift = (d * g_slope - b * g_shift) / determinant, (a * g_shift - b * g_slope) / determinant
        size = going.astype(np.float64)
        for _ in range(12):
            then = loss(slope - size * step_slope, shift - size * step_shift)
            worse = then > now + 1e-12
            if not worse.any():
                break
            size = np.where(worse, size / 2, size)
        else:
            size, then = np.where(worse, 0.0, size), np.where(worse, now, then)
        slope, shift, now = slope - size * step_slope, shift - size * step_shift, then
    slope = np.maximum(slope, 1e-6)
    middle = np.clip(-shift / slope, 0.0, 1.0)
    a, b, d = information
    determinant = a * d - b * b
    lowest = np.where((y > 0) & (mask > 0), x, np.inf).min(1)
    highest = np.where((y <= 0) & (mask > 0), x, -np.inf).max(1)
    with np.errstate(all="ignore"):
        # Gradient of -shift/slope, through the inverse of the information.
        at_slope, at_shift = shift / slope**2, -1 / slope
        variance = (at_slope**2 * d - 2 * at_slope * at_shift * b + at_shift**2 * a) / determinant
    table = np.interp(n, _COUNTS, _VARIANCES)
    variance = np.where((lowest > highest) | ~np.isfinite(variance) | (variance < 0), table, variance)
    return slope, middle, np.sqrt(variance)


def serve_chance(similarity: ArrayLike, slope: ArrayLike, middle: ArrayLike, error: ArrayLike, *, budget: float) -> Floats:
    """1 - tau for each candidate: the probability with which it is served."""
    s, k, m, sd = (np.atleast_1d(np.asarray(values, dtype=np.float64))[:, None] for values in (similarity, slope, middle, error))
    late = np.clip(m + _QUANTILES * sd, 0.0, 1.0)
    alpha = (1 - _LEVELS) / (1 + np.exp(np.clip(-k * (s - late), -500, 500)))
    tau = 1 - budget / np.maximum(1 - alpha, 1e-12)
    chance: Floats = np.clip(1 - tau.min(1), 0.0, 1.0)
    return chance
