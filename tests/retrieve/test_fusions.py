"""Laws that every fusion keeps, and what each is for."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ragkit.errors import InvalidInputError
from ragkit.lexical import bm25_ceiling, bm25_scores, term_stats
from ragkit.retrieve import Adaptive, Convex, Rrf, Scored
from ragkit.vec import order, ranks

FUSIONS = [
    Convex(),
    Convex(normalize="dbsf", dense=0.5, document=0.0),
    Convex(normalize="zscore"),
    Rrf(),
    Rrf(c=0, dense=0.9),
    Adaptive(),
    Adaptive(coverage=1.0, normalize="minmax"),
]
SCORES = st.lists(st.tuples(st.integers(-20, 20), st.integers(0, 40), st.integers(0, 3)), max_size=12)


def scored(rows, *, ceiling: float = 0.0) -> Scored:
    dense, bm25 = (np.array([row[column] for row in rows], np.float64) / 20 for column in (0, 1))
    found = np.where(bm25 > 0, ranks(order(bm25)), 0)
    return Scored(dense, ranks(order(dense)), bm25, found, np.array([row[2] for row in rows], np.int64), ceiling)


def total(fusion, one: Scored):
    shares = fusion.fit(one)(one)
    return shares.dense + shares.bm25


@settings(max_examples=60)
@given(SCORES, st.sampled_from(FUSIONS), st.floats(0, 100))
def test_scores_are_finite_and_both_arms_pull_upwards(rows, fusion, ceiling):
    one = scored(rows, ceiling=ceiling)
    score = total(fusion, one)
    assert score.shape == one.dense.shape
    assert np.isfinite(score).all()
    for better in range(len(rows)):
        for worse in range(len(rows)):
            if one.dense[better] > one.dense[worse] and one.bm25[better] > one.bm25[worse]:
                assert score[better] >= score[worse] - 1e-12


@pytest.mark.parametrize("fusion", FUSIONS)
def test_arms_that_are_empty_or_see_all_alike(fusion):
    assert total(fusion, scored([])).shape == (0,)
    alike = total(fusion, scored([(3, 0, 0), (3, 0, 1), (3, 0, 2)], ceiling=5.0))
    assert np.ptp(alike) == 0 or isinstance(fusion, Rrf)
    only_dense = total(fusion, scored([(3, 0, 0), (9, 0, 1), (1, 0, 2)], ceiling=5.0))
    assert order(only_dense).tolist() == [1, 0, 2]


@pytest.mark.parametrize("fusion", [one for one in FUSIONS if not isinstance(one, Rrf)])
def test_nan_is_refused(fusion):
    one = scored([(3, 1, 0), (9, 2, 1)])
    with pytest.raises(InvalidInputError, match="NaN"):
        fusion.fit(one._replace(dense=np.array([0.1, np.nan])))


@pytest.mark.parametrize(
    "make",
    [
        lambda: Adaptive(dense=1.2),
        lambda: Adaptive(dense="all"),
        lambda: Convex(document="much"),
        lambda: Rrf(c="60"),
        lambda: Adaptive(coverage=-0.1),
        lambda: Adaptive(coverage=float("nan")),
        lambda: Adaptive(normalize="best"),
        lambda: Adaptive(document=float("inf")),
        lambda: Convex(dense=float("nan")),
        lambda: Rrf(c=float("nan")),
    ],
)
def test_settings_out_of_range_are_refused(make):
    with pytest.raises(InvalidInputError):
        make()


@given(SCORES.filter(bool), st.floats(0, 50))
def test_words_that_cover_the_question_keep_their_vote(rows, ceiling):
    one = scored(rows, ceiling=ceiling)
    trust = Adaptive().trust(one)
    assert 0 <= trust <= 1
    if ceiling == 0 or one.bm25.max() >= 0.25 * ceiling:
        assert trust == 1.0
        assert total(Adaptive(), one).tolist() == total(Convex(), one).tolist()
    assert Adaptive(coverage=0.0).trust(one) == 1.0


def test_words_that_answer_another_question_lose_their_vote():
    """BM25's best covers a twentieth of the question; the dense arm is sure of another chunk."""
    rows = [(place % 5, 0, place) for place in range(30)] + [(6, 0, 98), (2, 10, 99)]
    assert order(total(Convex(), scored(rows, ceiling=10.0)))[0] == 31
    assert order(total(Adaptive(), scored(rows, ceiling=10.0)))[0] == 30


def test_distribution_based_scores_lie_between_0_and_1():
    one = scored([(0, 0, 0)] * 40 + [(20, 40, 1)])
    shares = Convex(normalize="dbsf", dense=0.5, document=0.0).fit(one)(one)
    assert shares.dense[-1] == shares.bm25[-1] == 0.5
    assert (shares.dense >= 0).all()


@given(
    st.lists(st.lists(st.sampled_from("abcdef"), max_size=6), min_size=1, max_size=8),
    st.lists(st.sampled_from("abcdefgh"), max_size=5),
)
def test_no_chunk_scores_above_the_ceiling(docs, query):
    stats = term_stats(docs)
    ceiling = bm25_ceiling(query, stats)
    assert (bm25_scores(query, docs, stats) <= ceiling + 1e-9).all()
