"""Scores as probabilities of relevance, and the least one worth showing."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ragkit.errors import InvalidInputError
from ragkit.types import Hit, canonical_json, digest

Floats = NDArray[np.float64]

_FORMAT = 2
_RIDGE = 0.1  # keeps weights finite where evidence separates relevant from other hits without exception; per squared deviation
_LEAST_SPREAD = 1e-6  # evidence that differs by less is the same everywhere
_STEPS = 50
_LEAST = 50  # judged hits, of which at least _EACH of either kind
_EACH = 10
_Z95 = 1.959963984540054


class Evidence(NamedTuple):
    """What a hit shows of its relevance, comparable between questions: its cosine, log(1 + its BM25 score), 1 where both arms
    had it among their ten best, and the reranker's own score, NaN where none scored it."""

    cosine: float
    words: float
    agreed: float
    reranked: float = math.nan


def evidence(hit: Hit) -> Evidence:
    """The evidence in ``hit.parts``; an arm that was not asked counts 0."""
    dense, bm25 = hit.parts.get("dense"), hit.parts.get("bm25")
    agreed = all(part is not None and part.rank is not None and part.rank <= 10 for part in (dense, bm25))
    return Evidence(
        dense.score if dense is not None else 0.0,
        math.log1p(max(0.0, bm25.score)) if bm25 is not None else 0.0,
        float(agreed),
        hit.parts["rerank"].score if "rerank" in hit.parts else math.nan,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Precision:
    """Of the held-out hits that passed, the share that is relevant, with its 95 % interval (Wilson); ``kept`` is the share of
    the relevant ones that passed."""

    share: float
    low: float
    high: float
    passed: int
    kept: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Threshold:
    """Lets hits pass whose probability of relevance is at least ``least``, in [0, 1].

    The probability is logistic in a hit's ``Evidence``: ``intercept`` plus the weights ``cosine``, ``words``, ``agreed``, and
    ``reranked`` times what the reranker's score is above ``typical``; for a hit that no reranker scored that share is 0. Unlike
    the score of hybrid search, which compares the candidates of one question, it means the same for every question: a question
    that nothing answers gets no hits.

    The values given here are no fit: a cosine of 0.5, or of 0.3 with words that BM25 scores about 6 and both arms agreeing, gives
    one half, on purpose for sentence embedders whose unrelated texts lie about 0.1; models differ, so fit your own with
    ``fit_threshold``. They know no reranker, whose scores have a scale of their own: without a fit its score counts nothing. ``aim`` is the precision a fitted one was chosen for and ``measured`` what held-out hits showed; None here.

    Raises InvalidInputError for a probability out of range or weights that are not finite.
    """

    least: float = 0.5
    intercept: float = -5.0
    cosine: float = 10.0
    words: float = 0.5
    agreed: float = 1.0
    reranked: float = 0.0
    typical: float = 0.0
    aim: float | None = None
    measured: Precision | None = None

    def __post_init__(self) -> None:
        for name, share in (("least", self.least), ("aim", self.aim)):
            if share is not None and not 0 <= share <= 1:
                raise InvalidInputError(f"Threshold {name} is {share!r}; it is a probability, between 0 and 1.")
        for name in ("intercept", "cosine", "words", "agreed", "reranked", "typical"):
            if not math.isfinite(getattr(self, name)):
                raise InvalidInputError(f"Threshold {name} is {getattr(self, name)!r}; a weight must be a finite number.")

    def probability(self, hit: Hit) -> float:
        """How likely the hit is relevant, in [0, 1]."""
        shown = evidence(hit)
        first = self.cosine * shown.cosine + self.words * shown.words + self.agreed * shown.agreed
        late = 0.0 if math.isnan(shown.reranked) else self.reranked * (shown.reranked - self.typical)
        return _logistic(self.intercept + first + late)

    def passing(self, hits: Sequence[Hit]) -> list[Hit]:
        """The hits that pass, in their order, with the ranks they had."""
        return [hit for hit in hits if self.probability(hit) >= self.least]

    def to_json(self) -> str:
        """The threshold as JSON text with a fingerprint; ``threshold_from_json`` reads it."""
        body = {"format": _FORMAT, **asdict(self)}
        return json.dumps(body | {"fingerprint": digest(canonical_json(body))}, indent=1, sort_keys=True) + "\n"


def threshold_from_json(text: str) -> Threshold:
    """What ``Threshold.to_json`` wrote. Raises InvalidInputError for text that is damaged or of another version."""
    try:
        body = json.loads(text)
        fingerprint = body.pop("fingerprint")
        intact = fingerprint == digest(canonical_json(body)) and body.pop("format") == _FORMAT
        measured = body.pop("measured")
        body["measured"] = None if measured is None else Precision(**measured)
        known = set(body) == {field.name for field in fields(Threshold)}
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise InvalidInputError(f"This is no threshold: {error!r}. Use the text that Threshold.to_json wrote.") from error
    if not intact or not known:
        raise InvalidInputError("The threshold was changed or is of another version; fit it again.")
    return Threshold(**body)


def at_least(hits: Sequence[Hit], least: float | Threshold | None) -> list[Hit]:
    """The hits that score at least ``least``: a number in the unit of the search's mode, or a ``Threshold``; None: all.

    The units: a cosine in [-1, 1] for "dense", BM25 (0 and up, longer questions score higher) for "bm25", and for "hybrid" the
    fusion's own, which is comparable within one question only: use a ``Threshold`` there, and with a reranker, whose blended score is
    comparable within one question too. Order and ranks stay.
    """
    if least is None:
        return list(hits)
    if isinstance(least, Threshold):
        return least.passing(hits)
    if isinstance(least, bool) or not isinstance(least, (int, float)) or not math.isfinite(least):
        raise InvalidInputError(f"min_score is {least!r}; it is a finite number in the unit of the mode, or a Threshold.")
    return [hit for hit in hits if hit.score >= least]


def fit_threshold(
    hits: Sequence[Sequence[Hit]], relevant: Sequence[Sequence[bool]], *, precision: float = 0.8, seed: int = 0
) -> Threshold:
    """The lowest threshold whose passing hits are relevant with ``precision``, fitted to judged hits of several questions.

    ``hits[i]`` are the hits of question i, ``relevant[i]`` says which are relevant. Hits of ``index.search(..., rerank=...)`` fit a
    threshold for that reranker: its own score in ``hit.parts`` is evidence as well. On half the questions the weights and ``least`` are
    fitted; the other half measures what passes, in ``measured``: whether the aim is met says its interval, not the aim.

    Raises InvalidInputError for lists of different lengths, a precision out of range, fewer than 50 judged hits or 10 of either
    kind in a half, and where no threshold reaches the precision.
    """
    if not 0 < precision < 1:
        raise InvalidInputError(f"precision is {precision!r}; it is the share of relevant hits to aim for, above 0 and below 1.")
    if len(hits) != len(relevant) or any(len(some) != len(those) for some, those in zip(hits, relevant, strict=True)):
        raise InvalidInputError("hits and relevant differ in length; give one judgement for each hit of each question.")
    shown = [np.array([evidence(hit) for hit in some], np.float64).reshape(-1, len(Evidence._fields)) for some in hits]
    turn = np.random.default_rng(seed).permutation(len(hits)) % 2
    halves = []
    for half in (0, 1):
        chosen = [place for place in range(len(hits)) if turn[place] == half]
        labels = np.array([bool(one) for place in chosen for one in relevant[place]])
        if len(labels) < _LEAST or min(labels.sum(), (~labels).sum()) < _EACH:
            raise InvalidInputError(
                f"A half of the questions has {len(labels)} judged hits, {int(labels.sum())} of them relevant; a threshold needs "
                f"{_LEAST} in each, with {_EACH} of either kind. Judge more questions, or more hits of each."
            )
        halves.append((np.concatenate([shown[place] for place in chosen]), labels))
    typical = _mean(halves[0][0][:, -1])
    (seen, labels), (held, held_labels) = ((_centred(some, typical), those) for some, those in halves)
    weights = _logit(seen, labels.astype(np.float64))
    least = _cut(_probabilities(weights, seen), labels, precision)
    passed = _probabilities(weights, held) >= least
    good = int(held_labels[passed].sum())
    low, high = wilson(good, int(passed.sum()))
    measured = Precision(
        share=good / max(1, int(passed.sum())), low=low, high=high, passed=int(passed.sum()), kept=good / int(held_labels.sum())
    )
    intercept, cosine, words, agreed, reranked = (float(weight) for weight in weights)
    return Threshold(
        least=least,
        intercept=intercept,
        cosine=cosine,
        words=words,
        agreed=agreed,
        reranked=reranked,
        typical=typical,
        aim=precision,
        measured=measured,
    )


def _mean(scores: Floats) -> float:
    """Of those there are; 0 where there are none."""
    known = scores[~np.isnan(scores)]
    return float(known.mean()) if len(known) else 0.0


def _centred(shown: Floats, typical: float) -> Floats:
    """The evidence with the reranker's scores less ``typical``, and 0 where it gave none."""
    return np.column_stack([shown[:, :-1], np.nan_to_num(shown[:, -1] - typical)])


def wilson(good: int, n: int) -> tuple[float, float]:
    """Wilson's 95 % interval of a share, (0, 1) where nothing was counted (Wilson 1927)."""
    if not n:
        return 0.0, 1.0
    share, spread = good / n, _Z95**2 / n
    centre = (share + spread / 2) / (1 + spread)
    half = _Z95 * math.sqrt(share * (1 - share) / n + spread / (4 * n)) / (1 + spread)
    return max(0.0, centre - half), min(1.0, centre + half)


def _cut(probabilities: Floats, labels: NDArray[np.bool_], precision: float) -> float:
    """The lowest probability above which the share of relevant hits is at least ``precision``."""
    ranked = np.argsort(-probabilities, kind="stable")
    ordered, share = probabilities[ranked], np.cumsum(labels[ranked]) / np.arange(1, len(labels) + 1)
    # Hits of equal probability pass together.
    ends = np.append(ordered[1:] < ordered[:-1], True)
    fine = np.flatnonzero((share >= precision) & ends)
    if not len(fine):
        raise InvalidInputError(
            f"No threshold reaches a precision of {precision}; the best hits are relevant less often. Aim lower."
        )
    # A hair lower, so that rounding does not keep out the hits it was read from.
    return max(0.0, float(ordered[fine[-1]]) - 1e-12)


def _logit(shown: Floats, labels: Floats) -> Floats:
    """Weights of a logistic regression, intercept first: Newton's steps with a small ridge on all but the intercept.

    Each piece of evidence is held back on its own scale: MaxSim's scores differ by hundredths, a cross-encoder's by tens.
    """
    centre, spread = shown.mean(axis=0), np.maximum(shown.std(axis=0), _LEAST_SPREAD)
    x = np.column_stack([np.ones(len(shown)), (shown - centre) / spread])
    ridge = np.diag([1e-9, *[_RIDGE] * shown.shape[1]])
    weights = np.zeros(x.shape[1])
    for _ in range(_STEPS):
        p = _expit(x @ weights)
        slope = x.T @ (p - labels) + ridge @ weights
        step = np.linalg.solve((x * (p * (1 - p))[:, None]).T @ x + ridge, slope)
        weights -= step * min(1.0, 5.0 / max(1e-12, float(np.abs(step).max())))
        if float(np.abs(step).max()) < 1e-9:
            break
    own = weights[1:] / spread
    return np.concatenate([[weights[0] - own @ centre], own])


def _probabilities(weights: Floats, shown: Floats) -> Floats:
    return _expit(weights[0] + shown @ weights[1:])


def _expit(values: Floats) -> Floats:
    result: Floats = 1 / (1 + np.exp(-np.clip(values, -500, 500)))
    return result


def _logistic(value: float) -> float:
    return 1 / (1 + math.exp(-max(-500.0, min(500.0, value))))
