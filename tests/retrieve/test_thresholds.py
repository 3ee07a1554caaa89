"""Thresholds mean the same for every question, and say how precise they are."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragkit.errors import InvalidInputError
from ragkit.retrieve import Threshold, at_least, fit_threshold, threshold_from_json
from ragkit.retrieve.thresholds import wilson
from ragkit.types import Chunk, Hit, Part, Span

CHUNK = Chunk(id="c", doc_id="d", start=0, end=1, text="x", window=Span(0, 1), index=0, n_tokens=1)


def hit(cosine: float, bm25: float, *, rank: int = 1) -> Hit:
    parts = {"dense": Part(score=cosine, rank=rank, share=0.1), "bm25": Part(score=bm25, rank=rank, share=0.1)}
    return Hit(chunk=CHUNK, score=cosine, rank=rank, parts=parts)


def judged(n: int, *, seed: int = 0):
    """Relevant hits have cosines around 0.6, others around 0.3."""
    rng = np.random.default_rng(seed)
    hits, relevant = [], []
    for _ in range(n):
        labels = rng.random(5) < 0.4
        hits.append([hit(float(rng.normal(0.6 if one else 0.3, 0.12)), float(rng.gamma(2, 3))) for one in labels])
        relevant.append(labels.tolist())
    return hits, relevant


@given(st.floats(-1, 1), st.floats(-1, 1), st.floats(0, 1e6), st.floats(0, 1e6))
def test_more_evidence_is_never_less_likely(low, high, few, many):
    low, high, few, many = min(low, high), max(low, high), min(few, many), max(few, many)
    threshold = Threshold()
    assert 0 <= threshold.probability(hit(low, few)) <= threshold.probability(hit(high, many)) <= 1


def test_the_units_that_are_documented():
    threshold = Threshold()
    assert threshold.probability(hit(0.5, 0, rank=20)) == pytest.approx(0.5)
    assert threshold.probability(hit(0.3, 6.4)) == pytest.approx(0.5, abs=0.02)
    assert threshold.probability(hit(0.1, 0.0, rank=20)) < 0.02
    assert threshold.probability(Hit(chunk=CHUNK, score=1, rank=1)) < 0.01


@pytest.mark.parametrize("precision", [0.6, 0.8, 0.9])
def test_a_fitted_threshold_states_what_held_out_hits_showed(precision):
    fitted = fit_threshold(*judged(300), precision=precision)
    assert fitted.aim == precision
    assert fitted.measured.low <= fitted.measured.share <= fitted.measured.high
    assert abs(fitted.measured.share - precision) < 0.1
    fresh, labels = judged(300, seed=1)
    passed = [
        label
        for some, those in zip(fresh, labels, strict=True)
        for one, label in zip(some, those, strict=True)
        if fitted.passing([one])
    ]
    assert fitted.measured.low - 0.06 <= np.mean(passed) <= fitted.measured.high + 0.06
    assert threshold_from_json(fitted.to_json()) == fitted


def reranked(n: int, *, seed: int = 0):
    """Hits that only the reranker, on a scale of its own, tells apart."""
    hits, relevant = judged(n, seed=seed)
    rng = np.random.default_rng(seed)
    made = []
    for some, labels in zip(hits, relevant, strict=True):
        scores = rng.normal(np.where(labels, 4.0, -3.0), 1.5)
        parts = [{**hit(0.4, 3.0).parts, "rerank": Part(score=float(score), rank=1, share=0.1)} for score in scores]
        made.append([replace(one, parts=shown) for one, shown in zip(some, parts, strict=True)])
    return made, relevant


def test_a_rerankers_score_is_evidence_once_it_was_fitted():
    hits, relevant = reranked(200)
    fitted = fit_threshold(hits, relevant, precision=0.9)
    assert fitted.measured.kept > 0.9
    fresh, labels = reranked(200, seed=1)
    told = np.array([fitted.probability(one) for some in fresh for one in some])
    truth = np.concatenate([np.asarray(some) for some in labels])
    # Calibrated: of the hits given some probability, about so many are relevant.
    for low, high in ((0.0, 0.2), (0.2, 0.8), (0.8, 1.0)):
        some = (told >= low) & (told <= high)
        assert abs(told[some].mean() - truth[some].mean()) < 0.1
    assert threshold_from_json(fitted.to_json()) == fitted


@pytest.mark.parametrize("scale", [0.001, 0.01, 30.0])
def test_the_unit_of_a_rerankers_scores_changes_no_probability(scale):
    """MaxSim's scores differ by hundredths, a cross-encoder's by tens."""

    def scaled(some):
        return [
            replace(one, parts={**one.parts, "rerank": replace(one.parts["rerank"], score=scale * one.parts["rerank"].score)})
            for one in some
        ]

    hits, relevant = reranked(60)
    plain = fit_threshold(hits, relevant, precision=0.9)
    other = fit_threshold([scaled(some) for some in hits], relevant, precision=0.9)
    assert [other.probability(one) for some in hits for one in scaled(some)] == pytest.approx(
        [plain.probability(one) for some in hits for one in some], abs=1e-3
    )


def test_without_a_fit_or_without_a_score_the_reranker_counts_nothing():
    hits, relevant = reranked(200)
    one = hits[0][0]
    bare = replace(one, parts={name: part for name, part in one.parts.items() if name != "rerank"})
    assert Threshold().probability(one) == Threshold().probability(bare)
    fitted = fit_threshold(hits, relevant, precision=0.9)
    typical = replace(one, parts={**one.parts, "rerank": Part(score=fitted.typical, rank=1, share=0.1)})
    assert fitted.probability(bare) == pytest.approx(fitted.probability(typical))
    assert fit_threshold(*judged(200)).reranked == 0.0


def test_scores_in_the_unit_of_the_mode():
    hits = [hit(0.9, 1), hit(0.4, 1), hit(0.1, 1)]
    assert at_least(hits, 0.4) == hits[:2]
    assert at_least(hits, None) == hits
    assert at_least(hits, Threshold(least=0.0)) == hits
    assert at_least(hits, Threshold(least=1.0)) == []
    for bad in (float("nan"), True, "0.5"):
        with pytest.raises(InvalidInputError, match="min_score"):
            at_least(hits, bad)


def test_what_cannot_be_fitted_is_said():
    hits, relevant = judged(100)
    with pytest.raises(InvalidInputError, match="precision"):
        fit_threshold(hits, relevant, precision=1.0)
    with pytest.raises(InvalidInputError, match="length"):
        fit_threshold(hits, relevant[1:])
    with pytest.raises(InvalidInputError, match="Judge more"):
        fit_threshold(hits[:4], relevant[:4])
    with pytest.raises(InvalidInputError, match="either kind"):
        fit_threshold(hits, [[False] * 5] * 100)
    rng = np.random.default_rng(0)
    noise = [(rng.random(5) < 0.3).tolist() for _ in hits]
    with pytest.raises(InvalidInputError, match="Aim lower"):
        fit_threshold([[hit(0.5, 1.0)] * 5 for _ in hits], noise, precision=0.95)
    for bad in ({"least": 2.0}, {"cosine": float("inf")}, {"aim": -1.0}):
        with pytest.raises(InvalidInputError, match="Threshold"):
            Threshold(**bad)
    for text in ("", "{}", Threshold().to_json().replace("10.0", "9.0")):
        with pytest.raises(InvalidInputError, match="threshold"):
            threshold_from_json(text)


@given(st.integers(0, 500), st.integers(0, 500))
def test_wilson_holds_the_share(good, more):
    low, high = wilson(good, good + more)
    assert 0 <= low <= high <= 1
    assert good + more == 0 or low - 1e-12 <= good / (good + more) <= high + 1e-12
