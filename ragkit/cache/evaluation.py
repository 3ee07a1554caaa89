"""What a score is worth for a cache, from labelled pairs: figures with intervals, the trap suite, and a policy to start with."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ragkit.cache.guards import check
from ragkit.cache.policies.fixed import calibrate
from ragkit.cache.policies.risk import exact_upper
from ragkit.cache.suite import Pair
from ragkit.errors import InvalidInputError

Floats = NDArray[np.float64]
_SEED = 20_240_605
#: A precision counts as reached only with so many hits, as one lucky pair proves nothing.
MIN_HITS = 20


@dataclass(frozen=True, slots=True)
class Interval:
    """A figure on all pairs and the 95 % percentile interval that resampling the pairs gives."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Curve:
    """Hit rate, precision and wrong hits per 100 requests at descending thresholds, equally long tuples."""

    threshold: tuple[float, ...]
    hit_rate: tuple[float, ...]
    precision: tuple[float, ...]
    wrong_per_100: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PairReport:
    """What pairs say about a score. ``recall_at`` maps a precision to the largest recall that reaches it with 20 hits or more.

    ``area`` is precision integrated over the hit rate (P-CHR AUC; arXiv 2606.19719), up to the largest hit rate ``reach``
    that the guards leave. Recall counts pairs that guards reject as missed. ``policy`` is what to start with, ``why`` says why.
    """

    pairs: int
    positive: int
    average_precision: Interval
    f1: Interval
    f1_threshold: float
    area: Interval
    reach: float
    recall_at: dict[str, float]
    curve: Curve
    policy: dict[str, Any]
    why: str

    def to_dict(self) -> dict[str, Any]:
        """Everything, ready for JSON."""
        return asdict(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sorted:
    """Pairs that may be served, by descending score: labels, and where runs of equal scores end."""

    scores: Floats
    good: Floats
    ends: NDArray[np.int64]
    order: NDArray[np.int64]


def _sorted(scores: Floats, same: NDArray[np.bool_], allowed: NDArray[np.bool_]) -> _Sorted:
    places = np.flatnonzero(allowed)
    order = places[np.argsort(-scores[places], kind="stable")]
    values = scores[order]
    ends = np.flatnonzero(np.append(values[1:] != values[:-1], True)) if len(values) else np.zeros(0, dtype=np.int64)
    return _Sorted(scores=values, good=same[order].astype(np.float64), ends=ends, order=order)


def _steps(sort: _Sorted, counts: Floats) -> tuple[Floats, Floats]:
    """Hits and right hits at each distinct threshold when pair i counts ``counts[i]`` times."""
    weights = counts[sort.order]
    return weights.cumsum()[sort.ends], (weights * sort.good).cumsum()[sort.ends]


def _average_precision(hits: Floats, right: Floats, positive: float, total: float) -> float:
    if not positive or not len(hits):
        return 0.0
    precision = right / np.maximum(hits, 1e-12)
    return float((np.diff(right, prepend=0.0) * precision).sum() / positive)


def _best_f1(hits: Floats, right: Floats, positive: float, total: float) -> float:
    return float((2 * right / np.maximum(hits + positive, 1e-12)).max(initial=0.0))


def _area(hits: Floats, right: Floats, positive: float, total: float) -> float:
    precision = right / np.maximum(hits, 1e-12)
    return float((np.diff(hits, prepend=0.0) * precision).sum() / total)


def evaluate_pairs(
    scores: ArrayLike,
    same: Sequence[bool] | ArrayLike,
    *,
    allowed: Sequence[bool] | ArrayLike | None = None,
    budget: float = 0.02,
    per: Literal["request", "hit"] = "request",
    resamples: int = 300,
) -> PairReport:
    """Measure ``scores`` ``(n,)`` of pairs against labels ``same`` ``(n,)``; ``allowed`` is False where a guard objected.

    The same arguments always give the same report. Raises InvalidInputError for arrays that do not fit, or without pairs;
    MissingDependencyError without scipy.
    """
    values, good = np.asarray(scores, dtype=np.float64), np.asarray(same, dtype=bool)
    open_ = np.ones(len(good), dtype=bool) if allowed is None else np.asarray(allowed, dtype=bool)
    if values.ndim != 1 or not len(values) or values.shape != good.shape or values.shape != open_.shape or np.isnan(values).any():
        raise InvalidInputError(
            f"scores {values.shape}, same {good.shape} and allowed {open_.shape} must be equally long, not empty, without NaN."
        )
    sort, total, positive = _sorted(values, good, open_), float(len(values)), float(good.sum())
    hits, right = _steps(sort, np.ones(len(values)))
    random = np.random.default_rng(_SEED)
    draws = [random.multinomial(len(values), np.full(len(values), 1 / len(values))).astype(np.float64) for _ in range(resamples)]
    drawn = [(*_steps(sort, counts), float(counts[good].sum()), total) for counts in draws]

    def interval(figure: Callable[[Floats, Floats, float, float], float]) -> Interval:
        low, high = np.percentile([figure(*one) for one in drawn], [2.5, 97.5]) if drawn else (np.nan, np.nan)
        return Interval(figure(hits, right, positive, total), float(low), float(high))

    precision = right / np.maximum(hits, 1e-12)
    thresholds = sort.scores[sort.ends]
    recall_at = {}
    for wanted in (0.90, 0.95, 0.98):
        reached = (precision >= wanted) & (hits >= MIN_HITS)
        recall_at[f"{wanted:.2f}"] = float(right[reached].max() / positive) if reached.any() and positive else 0.0
    f1 = 2 * right / np.maximum(hits + positive, 1e-12)
    shown = np.unique(np.linspace(0, len(hits) - 1, min(50, len(hits))).astype(int)) if len(hits) else np.zeros(0, dtype=int)
    found = calibrate(np.where(open_, values, -np.inf), good, budget=budget, per=per)
    # Few hits keep any budget per request, even when most of them are wrong.
    trusted = found.certified is not None and exact_upper(found.wrong, found.hits) <= 0.5
    if trusted:
        why = (
            f"on these pairs at most {found.upper:.4f} wrong per {per} at {found.certified:.3f} (95 % bound), "
            f"{found.hits} of {found.pairs} served"
        )
        policy = found.to_dict()
    else:
        why = (
            f"no threshold keeps {budget:g} wrong per {per} on these {len(values)} pairs and serves hits that are shown to be mostly right: "
            "start in shadow mode and learn online"
        )
        policy = {"policy": "certified", "budget": budget, "per": per}
    return PairReport(
        pairs=len(values),
        positive=int(positive),
        average_precision=interval(_average_precision),
        f1=interval(_best_f1),
        f1_threshold=float(thresholds[f1.argmax()]) if len(f1) else float("nan"),
        area=interval(_area),
        reach=float(open_.mean()),
        recall_at=recall_at,
        curve=Curve(
            tuple(thresholds[shown].tolist()),
            tuple((hits[shown] / total).tolist()),
            tuple(precision[shown].tolist()),
            tuple((100 * (hits - right)[shown] / total).tolist()),
        ),
        policy=policy,
        why=why,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class TrapReport:
    """Of the suite at one threshold: the share of traps served (lower is better), by kind, and of paraphrases served (recall)."""

    threshold: float
    traps: int
    paraphrases: int
    served: float
    recall: float
    by_kind: dict[str, float]


def evaluate_traps(
    pairs: Sequence[Pair], similarities: ArrayLike, threshold: float, *, guards: Collection[str] | None = None
) -> TrapReport:
    """Serve a pair when its cosine reaches ``threshold`` and no guard objects; ``guards=()`` leaves the cosine alone."""
    near = np.asarray(similarities, dtype=np.float64) >= threshold
    if near.shape != (len(pairs),):
        raise InvalidInputError(f"similarities has shape {near.shape}; give one cosine for each of the {len(pairs)} pairs.")
    served = [
        bool(close) and not check(pair.left, pair.right, guards=guards, first=True)
        for pair, close in zip(pairs, near, strict=True)
    ]
    many = Counter(pair.kind for pair in pairs)
    passed = Counter(pair.kind for pair, one in zip(pairs, served, strict=True) if one)
    traps = sum(count for kind, count in many.items() if kind != "same")
    wrong = sum(count for kind, count in passed.items() if kind != "same")
    return TrapReport(
        threshold=threshold,
        traps=traps,
        paraphrases=many["same"],
        served=wrong / traps if traps else 0.0,
        recall=passed["same"] / many["same"] if many["same"] else 0.0,
        by_kind={kind: passed[kind] / count for kind, count in sorted(many.items()) if kind != "same"},
    )
