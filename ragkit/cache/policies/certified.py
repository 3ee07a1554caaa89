"""A policy that learns from judged candidates while it serves, and knows at every time how wrong it may be."""

from __future__ import annotations

import bisect
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Literal

import numpy as np

from ragkit.cache.policies.decision import Decision
from ragkit.cache.policies.risk import GAINS, anytime_upper, costs, count_upper
from ragkit.cache.policies.trail import Point, Trail
from ragkit.errors import InvalidInputError

#: Requests over which the share of each region is estimated; the estimate only plans, the cap on hits makes it safe.
_MEMORY = 500
#: Evidence that wrong answers doubled: at least this many judged hits, on average, lie between two false alarms.
_ALARM = math.log(10_000)


@dataclass(frozen=True, slots=True, kw_only=True)
class CertifiedSettings:
    """What a certified policy promises, and how it learns.

    ``budget`` in (0, 1) bounds wrong answers ``per`` "request" (hits or not) or per "hit"; see ``Certified``. A region of
    scores is everything at or above one of ``edges`` (ascending). ``audit`` in (0, 1] is the share of hits that are judged in
    the long run; it starts at 1 and falls with hits, by a factor e in ``probation``. Every ``block`` requests the region is
    chosen anew. A region whose hits may be wrong more often than ``worst`` is not served, even where so few hits would fit into
    a budget per request.

    Raises InvalidInputError for values out of range.
    """

    budget: float = 0.02
    per: Literal["request", "hit"] = "request"
    alpha: float = 0.05
    audit: float = 0.1
    probation: float = 100.0
    edges: tuple[float, ...] = (0.6, 0.68, 0.75, 0.81, 0.87, 0.92, 0.97)
    block: int = 25
    worst: float = 0.5

    def __post_init__(self) -> None:
        for name in ("budget", "alpha", "worst"):
            if not 0 < getattr(self, name) < 1:
                raise InvalidInputError(f"{name} is {getattr(self, name)!r}; it is a share between 0 and 1, for example 0.02.")
        if not 0 < self.audit <= 1:
            raise InvalidInputError(f"audit is {self.audit!r}; without judged hits nothing is certified. Give a share in (0, 1].")
        if self.per not in ("request", "hit"):
            raise InvalidInputError(f"per is {self.per!r}; it is 'request' or 'hit'.")
        if not self.edges or any(low >= high for low, high in zip(self.edges, self.edges[1:], strict=False)):
            raise InvalidInputError(f"edges are {self.edges!r}; they are at least one score, ascending.")
        if self.block < 1 or self.probation <= 0:
            raise InvalidInputError(f"block is {self.block!r} and probation {self.probation!r}; both must be positive.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Region:
    """All scores at or above ``score``: the ``share`` of requests with such a candidate, how many were ``judged`` (weighted), and
    the chance that one is wrong, at most (``wrong_upper``, with half of alpha). ``serving``: what is served now."""

    score: float
    share: float
    judged: float
    wrong_upper: float
    serving: bool


class Certified:
    """Serves a region of scores only while judged candidates bound its wrong answers; shadow mode until then.

    First, with half of ``alpha`` and at all times together: in the region being served, the chance to be wrong (averaged over
    the candidates judged so far, those of hits and of misses each counting as often as they occur) is at most ``wrong_upper``.
    On this the promise rests, with probability 1 - ``alpha``:

    - "hit": the region served has ``wrong_upper <= budget``.
    - "request": at every time, wrong answers served so far are at most ``budget`` times requests so far. Each hit pays its
      ``wrong_upper``; hits are served while the wrong answers known from audits, and what chance could have made of the
      payments of the others (the other half of ``alpha``), stay within that.

    What has to be true: the chance does not rise later (the alarm below watches that); the judge is right; whether a
    candidate gets judged does not depend on whether it is right; coins are fair.

    While it serves, hits are judged with a known probability a, and candidates that were not served, always judged, count
    with weight a: so regions keep their composition, and no assumption about the curve over scores is needed. Judged hits
    that turn out wrong twice as often as the bound says (a CUSUM) throw everything learned away: shadow mode again.
    """

    name: ClassVar[str] = "certified"
    by_score: ClassVar[bool] = True

    def __init__(self, settings: CertifiedSettings | None = None) -> None:
        self.settings = settings or CertifiedSettings()
        self.requests = 0
        self.hits = 0
        self.alarms = 0
        self.trail = Trail(self.settings.block)
        self._judged = 0
        self._known = 0
        self._paid = 0.0
        self._unjudged = 0
        self._forget()

    def _forget(self) -> None:
        regions = len(self.settings.edges)
        self._hits = 0
        self._weights = np.zeros(regions)
        self._costs = np.zeros((regions, len(GAINS)))
        self._seen = np.zeros(regions)
        self._counted = 0.0
        self._region = regions
        self._allowed = 0.0
        self._upper = 1.0
        self._cusum = 0.0

    @property
    def threshold(self) -> float:
        """The lowest score served now; infinite in shadow mode."""
        return math.inf if self.shadow else self.settings.edges[self._region]

    @property
    def shadow(self) -> bool:
        """True while nothing is served."""
        return self._region >= len(self.settings.edges)

    @property
    def wrong_upper(self) -> float:
        """The bound on the chance that a hit of the region served is wrong; 1.0 in shadow mode."""
        return self._upper

    def regions(self) -> list[Region]:
        """What is known of every region now, the widest first."""
        uppers = anytime_upper(self._weights, self._costs, self.settings.alpha / 2)
        shares = self._seen / max(1.0, self._counted)
        return [
            Region(
                score=edge,
                share=float(shares[place]),
                judged=float(self._weights[place]),
                wrong_upper=float(uppers[place]),
                serving=place == self._region,
            )
            for place, edge in enumerate(self.settings.edges)
        ]

    @property
    def audit(self) -> float:
        """The chance with which a hit is judged now."""
        return self.settings.audit + (1 - self.settings.audit) * math.exp(-self._hits / self.settings.probation)

    def decide(self, score: float, coin: float, /) -> Decision:
        """Whether a candidate of that score is served, and whether it is to be judged."""
        if self.shadow:
            return Decision(
                serve=False, judge=True, weight=1.0, reason=f"certified: shadow mode, {self.requests} requests so far"
            )
        audit = self.audit
        if score < self.threshold:
            reason = f"certified: score {score:.3f} < {self.threshold:g}"
            return Decision(serve=False, judge=True, weight=audit, reason=reason)
        if self._allowed < 1:
            reason = "certified: the budget's hits for now are used"
            return Decision(serve=False, judge=True, weight=audit, wrong=self._upper, reason=reason)
        reason = f"certified: score {score:.3f} >= {self.threshold:g}"
        return Decision(serve=True, judge=coin < audit, weight=1.0, wrong=self._upper, reason=reason)

    def record(self, score: float | None, /, *, served: bool) -> None:
        """Count one request."""
        self.requests += 1
        self._counted += 1
        if served:
            self.hits += 1
            self._hits += 1
            self._allowed -= 1
            self._paid += self._upper
            self._unjudged += 1
        if score is not None:
            self._seen[: self._regions_of(score)] += 1
        if self.requests % self.settings.block == 0:
            self._choose()
            self.trail.pass_by(Point(self.requests, self.hits, self._judged, self._known, self.bound))

    def _regions_of(self, score: float) -> int:
        """How many regions hold the score: the first so many."""
        return bisect.bisect_right(self.settings.edges, score)

    @property
    def wrong_so_far(self) -> float:
        """At most this many wrong answers were served so far, at all times together."""
        return self._known + count_upper(self._paid, self.settings.alpha / 2)

    @property
    def bound(self) -> float:
        """The share that may be wrong at most: of the requests so far, or ("hit") of the hits served now; 0.0 before the first hit."""
        if self.settings.per == "request":
            return self.wrong_so_far / max(1, self.requests)
        return 0.0 if self.shadow else self._upper

    def found_wrong(self, point: Point) -> float:
        """The share of wrong answers by what a judge had heard at a point, of what ``bound`` is a share of."""
        among_hits = point.wrong / max(1, point.audited)
        return among_hits if self.settings.per == "hit" else among_hits * point.hits / point.requests

    def learn(self, score: float, /, *, wrong: bool, weight: float = 1.0, served: bool = False) -> None:
        """Take a judgement, with the weight its decision gave it, of a hit (``served``) or of a candidate not served."""
        if not 0 <= weight <= 1:
            raise InvalidInputError(f"weight is {weight!r}; give the decision's own weight, in [0, 1].")
        many = self._regions_of(score)
        self._weights[:many] += weight
        if wrong:
            self._costs[:many] += costs(weight)
        if served:
            # A hit that was judged need not be guessed any more: it takes its mean payment back.
            self._paid -= self._paid / max(1, self._unjudged)
            self._unjudged = max(0, self._unjudged - 1)
            self._judged += 1
            self._known += wrong
            usual = min(self._upper, 0.4)
            self._cusum = max(0.0, self._cusum + (math.log(2) if wrong else math.log((1 - 2 * usual) / (1 - usual))))
            if self._cusum > _ALARM:
                self.alarms += 1
                self._forget()

    def _affordable(self) -> float:
        """How many hits more, none of them judged, keep the wrong answers so far within the budget."""
        left = self.settings.budget * self.requests - self._known
        low, high = 0.0, float(self.settings.block)
        for _ in range(6):
            middle = (low + high) / 2
            fits = count_upper(self._paid + middle * self._upper, self.settings.alpha / 2) <= left
            low, high = (middle, high) if fits else (low, middle)
        return low

    def _choose(self) -> None:
        """Serve the region that promises most hits for the budget; of nearly equal ones, the closest."""
        settings = self.settings
        uppers = anytime_upper(self._weights, self._costs, settings.alpha / 2)
        shares = self._seen / max(1.0, self._counted)
        rates = settings.budget / uppers if settings.per == "request" else np.ones(len(uppers))
        rates[uppers > (settings.worst if settings.per == "request" else settings.budget)] = 0.0
        hits = np.minimum(shares, rates)
        best = int(np.flatnonzero(hits >= 0.95 * hits.max())[-1])
        if hits[best] < 0.01:
            best, self._allowed, self._upper = len(settings.edges), 0.0, 1.0
        else:
            # What the last block left over, less than one hit, is carried on; a quiet block does not pay for a busy one.
            self._upper = float(uppers[best])
            self._allowed = min(self._allowed, 1.0) + float(rates[best]) * settings.block
            if settings.per == "request":
                self._allowed = min(self._allowed, self._affordable())
        self._region = best
        if self._counted > _MEMORY:
            fade = _MEMORY / self._counted
            self._seen, self._counted = self._seen * fade, float(_MEMORY)

    def to_dict(self) -> dict[str, Any]:
        """Settings and counts, ready for JSON."""
        kept = {name.lstrip("_"): getattr(self, name) for name in _NUMBERS}
        arrays = {name.lstrip("_"): getattr(self, name).tolist() for name in _ARRAYS}
        told = {"policy": self.name, "settings": asdict(self.settings), "total": self.hits, "trail": self.trail.to_dict()}
        return told | kept | arrays

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], /) -> Certified:
        """A policy from ``to_dict``'s output, exactly where it was."""
        settings = dict(data["settings"])
        made = cls(CertifiedSettings(**(settings | {"edges": tuple(settings["edges"])})))
        made.hits = data["total"]
        # An earlier version did not count judged hits; those found wrong were judged.
        counts = {"judged": data["known"]} | dict(data)
        for name in _NUMBERS:
            setattr(made, name, counts[name.lstrip("_")])
        if "trail" in data:
            made.trail = Trail.from_dict(data["trail"])
        for name in _ARRAYS:
            setattr(made, name, np.asarray(data[name.lstrip("_")], dtype=np.float64))
        return made


_NUMBERS = (
    "requests",
    "alarms",
    "_judged",
    "_known",
    "_paid",
    "_unjudged",
    "_hits",
    "_counted",
    "_region",
    "_allowed",
    "_upper",
    "_cusum",
)
_ARRAYS = ("_weights", "_costs", "_seen")
