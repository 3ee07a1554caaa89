"""Metrics per question, and what a sample of questions says about their mean.

Rank metrics come from ir-measures (trec_eval's definitions), intervals from scipy's bootstrap. Span metrics are those of
Chroma's chunking evaluation (recall, precision and intersection over union of characters), at a budget of returned tokens.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ragkit.errors import InvalidInputError, MissingDependencyError

CharSpan = tuple[str, int, int]
_SEED = 20_240_605


class Estimate(NamedTuple):
    """A mean over ``n`` questions and the 95 % interval ``[low, high]`` that resampling the questions gives."""

    mean: float
    low: float
    high: float
    n: int


class Returned(NamedTuple):
    """A piece of text that a search returned: characters ``[start, end)`` of ``doc_id``, ``tokens`` long."""

    doc_id: str
    start: int
    end: int
    tokens: int


def rank_metrics(
    qrels: Mapping[str, Mapping[str, int]], run: Mapping[str, Sequence[str]], *, k: int = 10
) -> dict[str, dict[str, float]]:
    """``{metric: {question: value}}`` of nDCG@k, recall@k and MRR@k (reciprocal rank of the first relevant one within k).

    ``run`` lists the ids returned for each question, best first. Questions without a relevant id are left out, and
    questions that ``run`` lacks count as 0. Raises MissingDependencyError without ir-measures.
    """
    try:
        import ir_measures
    except ImportError as error:
        raise MissingDependencyError("Rank metrics need ir-measures: install the extra 'eval'.") from error
    names = {ir_measures.nDCG @ k: f"nDCG@{k}", ir_measures.R @ k: f"recall@{k}", ir_measures.RR @ k: f"MRR@{k}"}
    judged = {query: dict(grades) for query, grades in qrels.items() if any(grade > 0 for grade in grades.values())}
    values: dict[str, dict[str, float]] = {name: dict.fromkeys(judged, 0.0) for name in names.values()}
    # trec_eval breaks ties by id, so the rank itself is the score: what was returned first counts as first.
    scored = {query: {one: -float(rank) for rank, one in enumerate(run[query])} for query in judged if run.get(query)}
    if scored:
        for found in ir_measures.iter_calc(list(names), judged, scored):
            values[names[found.measure]][found.query_id] = float(found.value)
    return values


def span_metrics(returned: Sequence[Returned], gold: Sequence[CharSpan], *, budget: int) -> dict[str, float]:
    """Character recall, precision and intersection over union within the first ``budget`` returned tokens.

    Pieces are read in order until the budget is spent; the last is cut in proportion, so that every chunking is judged
    at the same returned length. Text returned twice is paid for twice: it counts twice in what was returned, once in
    what was found. All are 0 when nothing was returned.
    """
    if budget < 1:
        raise InvalidInputError(f"budget is {budget!r}; it is a number of tokens, at least 1.")
    kept: list[CharSpan] = []
    left = budget
    for piece in returned:
        if left <= 0:
            break
        share = min(1.0, left / piece.tokens) if piece.tokens else 1.0
        kept.append((piece.doc_id, piece.start, piece.start + round((piece.end - piece.start) * share)))
        left -= piece.tokens
    wanted, got = _union(gold), _union(kept)
    n_wanted, n_paid = _size(wanted), sum(end - start for _, start, end in kept)
    hit = _overlap(wanted, got)
    return {
        "recall": hit / n_wanted if n_wanted else 0.0,
        "precision": hit / n_paid if n_paid else 0.0,
        "IoU": hit / (n_wanted + n_paid - hit) if n_wanted + n_paid - hit else 0.0,
    }


def _union(spans: Iterable[CharSpan]) -> list[CharSpan]:
    merged: list[CharSpan] = []
    for doc_id, start, end in sorted(spans):
        if merged and merged[-1][0] == doc_id and start <= merged[-1][2]:
            merged[-1] = (doc_id, merged[-1][1], max(end, merged[-1][2]))
        else:
            merged.append((doc_id, start, end))
    return merged


def _size(spans: Iterable[CharSpan]) -> int:
    return sum(end - start for _, start, end in spans)


def _overlap(left: Sequence[CharSpan], right: Sequence[CharSpan]) -> int:
    return sum(
        max(0, min(end, other_end) - max(start, other_start))
        for doc_id, start, end in left
        for other_doc, other_start, other_end in right
        if doc_id == other_doc
    )


def estimate(values: ArrayLike, *, resamples: int = 2000) -> Estimate:
    """The mean and its 95 % percentile bootstrap interval; the same values always give the same interval.

    One value, or values that are all equal, give an interval without width. Raises InvalidInputError for no values.
    """
    array: NDArray[np.float64] = np.asarray(values, dtype=np.float64)
    if array.ndim != 1 or not len(array):
        raise InvalidInputError(f"values has shape {array.shape}; a mean needs at least one value.")
    mean = float(array.mean())
    if np.ptp(array) == 0:
        return Estimate(mean, mean, mean, len(array))
    try:
        from scipy.stats import bootstrap
    except ImportError as error:
        raise MissingDependencyError("Bootstrap intervals need scipy: install the extra 'eval'.") from error
    interval = bootstrap(
        (array,), np.mean, n_resamples=resamples, method="percentile", rng=np.random.default_rng(_SEED), batch=100
    ).confidence_interval
    return Estimate(mean, float(interval.low), float(interval.high), len(array))


Verdict = Literal["better", "worse", "no winner"]


def compare(left: Mapping[str, float], right: Mapping[str, float]) -> tuple[Estimate, Verdict]:
    """The paired difference ``left - right`` over the questions both have, and whether its interval excludes 0."""
    shared = [query for query in left if query in right]
    difference = estimate([left[query] - right[query] for query in shared])
    if difference.low > 0:
        return difference, "better"
    return difference, "worse" if difference.high < 0 else "no winner"
