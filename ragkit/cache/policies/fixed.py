"""Policies whose threshold does not move: exact repetitions only, a typed threshold, a calibrated one."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import ArrayLike

from ragkit.cache.policies.decision import Decision
from ragkit.cache.policies.risk import exact_upper
from ragkit.errors import InvalidInputError


class _Fixed:
    """A policy that decides by the cosine, and learns nothing."""

    by_score: ClassVar[bool] = False

    def record(self, score: float | None, /, *, served: bool) -> None:
        """Nothing to count."""

    def learn(self, score: float, /, *, wrong: bool, weight: float = 1.0, served: bool = False) -> None:
        """Nothing to learn."""


def _at_least(name: str, score: float, threshold: float) -> Decision:
    serve = score >= threshold
    return Decision(serve=serve, reason=f"{name}: score {score:.3f} {'>=' if serve else '<'} {threshold:g}")


@dataclass(frozen=True)
class Exact(_Fixed):
    """Serve exact repetitions only; no candidate found by meaning is ever served."""

    name: ClassVar[str] = "exact"
    threshold: ClassVar[float] = math.inf

    def decide(self, score: float, coin: float, /) -> Decision:
        """Never serves."""
        return Decision(serve=False, reason="exact: only exact repetitions are served")

    def to_dict(self) -> dict[str, Any]:
        """The policy, ready for JSON."""
        return {"policy": self.name}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], /) -> Exact:
        """A policy from ``to_dict``'s output."""
        return cls()


@dataclass(frozen=True)
class Static(_Fixed):
    """Serve at or above a cosine in [-1, 1] that somebody chose. Nothing is promised about wrong answers."""

    threshold: float = 0.95
    name: ClassVar[str] = "static"

    def __post_init__(self) -> None:
        if not -1 <= self.threshold <= 1:
            raise InvalidInputError(f"threshold is {self.threshold!r}; it is a cosine in [-1, 1], higher is closer.")

    def decide(self, score: float, coin: float, /) -> Decision:
        """Serves at or above the threshold."""
        return _at_least(self.name, score, self.threshold)

    def to_dict(self) -> dict[str, Any]:
        """The policy, ready for JSON."""
        return {"policy": self.name, "threshold": self.threshold}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], /) -> Static:
        """A policy from ``to_dict``'s output."""
        return cls(data["threshold"])


@dataclass(frozen=True, kw_only=True)
class Calibrated(_Fixed):
    """Serve at or above the threshold that ``calibrate`` found; where it refused, ``certified`` is None and nothing is served.

    ``upper`` is the bound reached (of wrong answers per request or per hit, see ``per``), ``hits`` and ``wrong`` what was seen
    at or above the threshold among ``pairs`` pairs.
    """

    certified: float | None = None
    budget: float = 0.02
    per: Literal["request", "hit"] = "request"
    alpha: float = 0.05
    upper: float = 1.0
    hits: int = 0
    wrong: int = 0
    pairs: int = 0
    name: ClassVar[str] = "calibrated"

    @property
    def threshold(self) -> float:
        """The lowest score served; infinite where calibration refused."""
        return math.inf if self.certified is None else self.certified

    def decide(self, score: float, coin: float, /) -> Decision:
        """Serves at or above the threshold found, if one was."""
        if self.certified is None:
            reason = f"calibrated: no threshold keeps {self.budget:g} wrong per {self.per} on {self.pairs} labelled pairs"
            return Decision(serve=False, reason=reason)
        return _at_least(self.name, score, self.certified)

    def to_dict(self) -> dict[str, Any]:
        """The policy, ready for JSON."""
        return {"policy": self.name, **asdict(self)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], /) -> Calibrated:
        """A policy from ``to_dict``'s output."""
        return cls(**{name: value for name, value in data.items() if name != "policy"})


def calibrate(
    scores: ArrayLike,
    same: Sequence[bool] | ArrayLike,
    *,
    budget: float = 0.02,
    per: Literal["request", "hit"] = "request",
    alpha: float = 0.05,
) -> Calibrated:
    """The lowest threshold whose upper bound on wrong hits is within the budget, or a refusal.

    ``scores`` ``(n,)`` and ``same`` ``(n,)`` are labelled pairs drawn as the cache will meet them: a request with its best
    candidate, and whether the candidate's answer would have done. A score of -inf can never be served. ``budget`` bounds wrong hits per pair ("request") or per hit
    ("hit"), with probability 1 - ``alpha``. Thresholds are tested from high to low and the first failure ends the search,
    so that testing many costs nothing (fixed-sequence testing; Angelopoulos et al. 2021, arXiv 2110.01052); for "hit" the
    search starts where enough hits exist for a pass to be possible at all. A promise for traffic like the pairs, no other.

    Raises InvalidInputError for arrays that do not fit or values out of range.
    """
    values, good = np.asarray(scores, dtype=np.float64), np.asarray(same, dtype=bool)
    if values.ndim != 1 or values.shape != good.shape or np.isnan(values).any():
        raise InvalidInputError(f"scores {values.shape} and same {good.shape} must be equally long lists without NaN.")
    if not (0 < budget < 1 and 0 < alpha < 1):
        raise InvalidInputError(f"budget is {budget!r} and alpha {alpha!r}; both are shares between 0 and 1.")
    refused = Calibrated(budget=budget, per=per, alpha=alpha, pairs=len(values))
    enough = math.ceil(math.log(alpha) / math.log1p(-budget))
    if len(values) < enough:
        return refused
    descending = np.sort(values)[::-1]
    wrong_scores = np.sort(values[~good])
    found = refused
    # A few hundred thresholds, chosen from the scores alone, are as good as all of them. Per request every one is tested on all
    # pairs, so the closest score comes first; per hit only the hits count, and fewer of them than this can show nothing.
    first = enough - 1 if per == "hit" else 0
    places = np.unique(np.linspace(first, len(values) - 1, 400).astype(int))
    for threshold in dict.fromkeys(float(descending[place]) for place in places):
        if not math.isfinite(threshold):
            break
        hits = int((values >= threshold).sum())
        wrong = len(wrong_scores) - int(np.searchsorted(wrong_scores, threshold, "left"))
        upper = exact_upper(wrong, hits if per == "hit" else len(values), alpha=alpha)
        if upper > budget:
            break
        found = Calibrated(
            certified=threshold, budget=budget, per=per, alpha=alpha, upper=upper, hits=hits, wrong=wrong, pairs=len(values)
        )
    return found
