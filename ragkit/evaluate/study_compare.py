"""Which differences the questions bear out: a paired bootstrap of many comparisons at once, with Holm's correction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ragkit.evaluate.metrics import Estimate, Verdict

Against = Literal["baseline", "best"]
Floats = NDArray[np.float64]
LEVEL = 0.05
_BLOCK = 2_000_000  # numbers held at once while resampling


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """``name`` minus ``other`` in one metric of one mode, question by question.

    ``mean`` and its 95 % interval ``[low, high]`` stand alone; ``p`` is the two-sided bootstrap probability of no difference, and
    ``p_holm`` the same after Holm's correction for all comparisons of this metric and mode ``against`` the same kind of rival.
    The verdict is by ``p_holm`` < 0.05, so an interval that excludes 0 narrowly may still have "no winner".
    """

    name: str
    other: str
    against: Against
    mode: str
    metric: str
    mean: float
    low: float
    high: float
    p: float
    p_holm: float
    verdict: Verdict


class Resamples:
    """``resamples`` samples with replacement of ``n`` questions, the same for everything that is compared."""

    def __init__(self, n: int, *, seed: int, resamples: int) -> None:
        random = np.random.default_rng(seed)
        self.n = n
        self._counts = np.empty((resamples, n), np.uint16)
        self._block = max(1, _BLOCK // n)
        for at in range(0, resamples, self._block):
            size = min(self._block, resamples - at)
            drawn = random.integers(0, n, size=(size, n)) + np.arange(size)[:, None] * n
            self._counts[at : at + size] = np.bincount(drawn.ravel(), minlength=size * n).reshape(size, n)

    def means(self, values: Floats) -> Floats:
        """The mean of each column of ``values`` ``(n, columns)`` in each sample, ``(resamples, columns)``."""
        parts = [
            self._counts[at : at + self._block].astype(np.float64) @ values for at in range(0, len(self._counts), self._block)
        ]
        means: Floats = np.concatenate(parts) / self.n
        return means


def estimates(values: Floats, sampled: Floats) -> list[Estimate]:
    """The mean of each column of ``values`` ``(n, columns)`` with the 95 % percentile interval of its ``sampled`` means."""
    low, high = np.percentile(sampled, [2.5, 97.5], axis=0)
    rows = zip(values.mean(axis=0).tolist(), low.tolist(), high.tolist(), strict=True)
    return [Estimate(mean, first, last, len(values)) for mean, first, last in rows]


def two_sided(sampled: Floats) -> list[float]:
    """For each column of sampled mean differences how probable it is that there is none; at least 2 / (resamples + 1)."""
    # A mean that is 0 but for rounding counts for both sides.
    small, n = 1e-12, len(sampled) + 1
    sides = np.minimum((sampled <= small).sum(axis=0) + 1, (sampled >= -small).sum(axis=0) + 1)
    return [float(p) for p in np.minimum(1.0, 2 * sides / n)]


def holm(p: Sequence[float]) -> list[float]:
    """Holm's step-down adjustment (1979): the chance of any false winner among all stays below the level."""
    adjusted = [0.0] * len(p)
    least = 0.0
    for place, at in enumerate(sorted(range(len(p)), key=p.__getitem__)):
        least = max(least, min(1.0, (len(p) - place) * p[at]))
        adjusted[at] = least
    return adjusted


def differences(
    values: Floats,
    sampled: Floats,
    names: Sequence[str],
    pairs: Sequence[tuple[str, str]],
    *,
    against: Against,
    mode: str,
    metric: str,
) -> list[Difference]:
    """Every pair (name, other) as one family of comparisons; column i of ``values`` and of its ``sampled`` means is ``names[i]``."""
    if not pairs:
        return []
    left, right = ([names.index(one) for one in side] for side in zip(*pairs, strict=True))
    apart = sampled[:, left] - sampled[:, right]
    found, p = estimates(values[:, left] - values[:, right], apart), two_sided(apart)
    return [
        Difference(
            name=name,
            other=other,
            against=against,
            mode=mode,
            metric=metric,
            mean=one.mean,
            low=one.low,
            high=one.high,
            p=raw,
            p_holm=adjusted,
            verdict=_verdict(one.mean, adjusted),
        )
        for (name, other), one, raw, adjusted in zip(pairs, found, p, holm(p), strict=True)
    ]


def _verdict(mean: float, p: float) -> Verdict:
    if p >= LEVEL or mean == 0:
        return "no winner"
    return "better" if mean > 0 else "worse"
