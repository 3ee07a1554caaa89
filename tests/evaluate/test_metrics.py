"""Metrics against cases worked out by hand."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragkit.errors import InvalidInputError
from ragkit.evaluate import compare, estimate, rank_metrics, span_metrics
from ragkit.evaluate.metrics import Returned


def test_rank_metrics_by_hand():
    qrels = {"q1": {"a": 1, "b": 2}, "q2": {"c": 1}, "q3": {"d": 0}, "q4": {"e": 1}}
    run = {"q1": ["x", "b", "a"], "q2": ["x", "y", "z", "c"]}
    found = rank_metrics(qrels, run, k=3)
    ideal = 2 + 1 / math.log2(3)
    assert found["nDCG@3"] == pytest.approx({"q1": (2 / math.log2(3) + 1 / 2) / ideal, "q2": 0.0, "q4": 0.0})
    assert found["recall@3"] == pytest.approx({"q1": 1.0, "q2": 0.0, "q4": 0.0})
    assert found["MRR@3"] == pytest.approx({"q1": 0.5, "q2": 0.0, "q4": 0.0})


def test_the_order_of_the_run_decides_not_the_names():
    # trec_eval breaks ties of equal scores by name: a run must not depend on that.
    for gold, expected in (("a", 1.0), ("z", 0.5)):
        assert rank_metrics({"q": {gold: 1}}, {"q": ["a", "z"]}, k=10)["MRR@10"]["q"] == expected


def test_span_metrics_by_hand():
    gold = [("d", 10, 20), ("d", 40, 50)]
    returned = [Returned("d", 0, 20, 4), Returned("e", 0, 10, 2)]
    assert span_metrics(returned, gold, budget=6) == pytest.approx({"recall": 10 / 20, "precision": 10 / 30, "IoU": 10 / 40})


def test_the_last_piece_is_cut_at_the_budget():
    gold = [("d", 0, 10)]
    one = span_metrics([Returned("d", 0, 100, 20)], gold, budget=1)
    assert one == pytest.approx({"recall": 5 / 10, "precision": 1.0, "IoU": 5 / 10})
    assert span_metrics([Returned("d", 0, 100, 20)], gold, budget=20)["precision"] == pytest.approx(0.1)


def test_text_returned_twice_is_paid_twice_and_found_once():
    gold = [("d", 0, 10), ("d", 5, 12)]
    found = span_metrics([Returned("d", 0, 12, 3), Returned("d", 0, 12, 3)], gold, budget=6)
    assert found == pytest.approx({"recall": 1.0, "precision": 0.5, "IoU": 0.5})


def test_nothing_returned_is_nothing_found():
    assert span_metrics([], [("d", 0, 5)], budget=10) == {"recall": 0.0, "precision": 0.0, "IoU": 0.0}
    with pytest.raises(InvalidInputError, match="budget"):
        span_metrics([], [], budget=0)


PIECES = st.lists(
    st.tuples(st.sampled_from("de"), st.integers(0, 50), st.integers(1, 30), st.integers(1, 9)).map(
        lambda facts: Returned(facts[0], facts[1], facts[1] + facts[2], facts[3])
    ),
    max_size=6,
)
GOLD = st.lists(
    st.tuples(st.sampled_from("de"), st.integers(0, 50), st.integers(1, 30)).map(lambda f: (f[0], f[1], f[1] + f[2])), max_size=4
)


@given(PIECES, GOLD, st.integers(1, 60))
def test_span_metrics_equal_counting_characters(pieces, gold, budget):
    found = span_metrics(pieces, gold, budget=budget)
    paid, left = [], budget
    for piece in pieces:
        if left > 0:
            length = round((piece.end - piece.start) * min(1.0, left / piece.tokens))
            paid += [(piece.doc_id, place) for place in range(piece.start, piece.start + length)]
            left -= piece.tokens
    wanted = {(doc, place) for doc, start, end in gold for place in range(start, end)}
    hit = len(wanted & set(paid))
    assert found["recall"] == pytest.approx(hit / len(wanted) if wanted else 0)
    assert found["precision"] == pytest.approx(hit / len(paid) if paid else 0)
    union = len(wanted) + len(paid) - hit
    assert found["IoU"] == pytest.approx(hit / union if union else 0)
    more = span_metrics(pieces, gold, budget=budget + 7)
    assert more["recall"] >= found["recall"]


def test_an_interval_holds_its_mean_and_narrows_with_questions():
    few, many = estimate([0.0, 1.0] * 10), estimate([0.0, 1.0] * 1000)
    assert few.low < few.mean == 0.5 < few.high
    assert many.high - many.low < (few.high - few.low) / 5
    assert estimate([0.0, 1.0] * 10) == few
    assert estimate([0.3]) == (0.3, 0.3, 0.3, 1)
    with pytest.raises(InvalidInputError, match="at least one value"):
        estimate([])


def test_a_comparison_is_paired_and_may_have_no_winner():
    left = {f"q{place}": place / 100 for place in range(100)}
    difference, verdict = compare({query: value + 0.01 for query, value in left.items()}, left)
    assert (round(difference.mean, 6), verdict) == (0.01, "better")
    assert compare(left, {query: value + 0.01 for query, value in left.items()})[1] == "worse"
    assert compare(left, left)[1] == "no winner"
    assert compare(left, {"q1": 0.01})[0].n == 1
