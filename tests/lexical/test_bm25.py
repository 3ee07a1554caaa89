"""Scores of a few candidates are the scores of a full rank-bm25 scan."""

from __future__ import annotations

import math
import time

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from rank_bm25 import BM25Okapi

from ragkit.errors import InvalidInputError
from ragkit.lexical import Bm25, ExactBm25, bm25_counted, bm25_scores, boosts, term_stats
from ragkit.types import TermStats

WORDS = st.lists(st.sampled_from("abcdefghijklmnop"), max_size=12)
CORPORA = st.lists(WORDS, min_size=1, max_size=25).filter(any)


@given(CORPORA, WORDS, st.floats(0.01, 3), st.floats(0, 1), st.data())
def test_candidates_score_as_in_a_scan_of_everything(corpus, query, k1, b, data):
    reference = BM25Okapi(corpus, k1=k1, b=b)
    assume(reference.average_idf > 0)
    candidates = data.draw(st.lists(st.integers(0, len(corpus) - 1), max_size=10))
    got = bm25_scores(query, [corpus[place] for place in candidates], term_stats(corpus), k1=k1, b=b)
    with np.errstate(invalid="ignore"):  # at b = 1 rank-bm25 divides 0 by 0 for empty documents
        expected = np.nan_to_num(reference.get_scores(query))[candidates]
    np.testing.assert_allclose(got, expected, rtol=1e-12, atol=1e-12)


@given(CORPORA, WORDS, st.floats(0, 3), st.floats(0, 1))
def test_rows_that_are_counted_score_as_rows_of_tokens(corpus, query, k1, b):
    stats = term_stats(corpus)
    counts = np.array([[row.count(token) for token in query] for row in corpus], np.int64).reshape(len(corpus), len(query))
    got = bm25_counted(query, counts, np.array(list(map(len, corpus))), stats, k1=k1, b=b)
    assert got.tolist() == bm25_scores(query, corpus, stats, k1=k1, b=b).tolist()


@given(CORPORA, WORDS)
def test_a_match_never_scores_below_no_match(corpus, query):
    scores = ExactBm25(corpus).scores(query)
    weighted = [bool(set(query) & set(document)) for document in corpus]
    assert np.isfinite(scores).all()
    assert all(score == 0 for score, matches in zip(scores, weighted, strict=True) if not matches)
    assert all(score >= 0 for score in scores)


def test_a_corpus_of_one_or_two_documents_still_ranks_matches_first():
    assert ExactBm25([["cat"]]).scores(["cat"])[0] > 0
    left, right = ExactBm25([["cat"], ["dog"]]).scores(["cat"])
    assert left > right == 0


def test_terms_of_most_documents_weigh_what_rank_bm25_says():
    corpus = [["the", "cat"], ["the", "dog"], ["the", "ant", "hill"], ["fox"], ["owl"], ["the", "elk"]]
    assert BM25Okapi(corpus).average_idf > 0
    np.testing.assert_allclose(ExactBm25(corpus, k1=1.5).scores(["the", "cat"]), BM25Okapi(corpus).get_scores(["the", "cat"]))


def test_scores_depend_on_the_statistics_only_through_the_query():
    stats = TermStats(n_docs=1000, mean_length=10.0, df={"a": 3, "b": 400, "c": 9})
    one = bm25_scores(["a", "b"], [["a", "x"]], stats)
    two = bm25_scores(["a", "b"], [["b"], ["a", "x"], ["a"]], stats)
    assert one[0] == two[1]


def test_without_saturation_a_term_counts_once_however_often_it_occurs():
    corpus = [["a"], ["a", "a", "b"], ["c"], [], ["d"], ["e"]]
    one, many, *others = ExactBm25(corpus, k1=0.0, b=1.0).scores(["a"])
    assert one == pytest.approx(many)
    assert one > 0
    assert others == [0.0] * 4


def test_edges():
    empty = TermStats(n_docs=0, mean_length=0.0, df={})
    assert bm25_scores(["a"], [], empty).shape == (0,)
    assert bm25_scores(["a"], [["a"], []], empty).tolist() == [0.0, 0.0]
    assert bm25_scores([], [["a"]], term_stats([["a"]])).tolist() == [0.0]
    assert term_stats([]) == empty
    for bad in ({"k1": -1.0}, {"k1": float("nan")}, {"b": 1.5}):
        with pytest.raises(InvalidInputError, match=next(iter(bad))):
            bm25_scores(["a"], [["a"]], empty, **bad)


def test_scoring_candidates_costs_no_time_in_the_corpus():
    random = np.random.default_rng(0)
    corpus = [[f"w{word}" for word in random.zipf(1.3, 30) % 5000] for _ in range(6000)]
    query, stats, reference = corpus[0][:8], term_stats(corpus), BM25Okapi(corpus)
    bm25_scores(query, corpus[:1], stats)

    def best(run):
        times = []
        for _ in range(5):
            begun = time.process_time()
            run()
            times.append(time.process_time() - begun)
        return min(times)

    assert best(lambda: bm25_scores(query, corpus[:100], stats)) < best(lambda: reference.get_scores(query)) / 4


def test_boosts_turn_an_indexs_weights_into_these() -> None:
    corpus = [["common"] + (["half"] if n % 2 else []) + ([f"rare{n}"]) for n in range(40)]
    found = boosts(["common", "rare3", "rare3", "nowhere"], term_stats(corpus))
    assert set(found) == {"common", "rare3"}
    assert found["rare3"] == pytest.approx(2.0, abs=0.05)
    assert found["common"] > 10, "rank-bm25 has a floor under common words"


@pytest.mark.parametrize("settings", [{"k1": -1.0}, {"k1": math.nan}, {"k1": "1"}, {"b": 1.5}, {"b": None}])
def test_settings_of_bm25_out_of_range_are_refused(settings) -> None:
    with pytest.raises(InvalidInputError, match="BM25"):
        Bm25(**settings)
