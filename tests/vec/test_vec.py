"""Ranking and normalising: laws on any scores."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragkit.errors import InvalidInputError
from ragkit.vec import fit_scale, order, ranks, reciprocal_ranks, top_k

SCORES = st.lists(st.floats(-100, 100, allow_nan=False), max_size=40)
COARSE = st.lists(st.integers(-3, 3).map(float), max_size=40)
NORMALIZE = ["minmax", "tmm", "zscore", "softmax"]


@given(SCORES | COARSE, st.integers(0, 50))
def test_top_k_is_the_beginning_of_the_whole_order(scores, k):
    assert top_k(scores, k).tolist() == order(scores).tolist()[:k]


@given(COARSE, st.randoms())
def test_order_breaks_ties_by_the_given_key_whatever_the_input_order(scores, random):
    items = [(score, f"id{place}") for place, score in enumerate(scores)]
    expected = sorted(items, key=lambda item: (-item[0], item[1]))
    random.shuffle(items)
    got = order([score for score, _ in items], ties=[name for _, name in items])
    assert [items[place] for place in got] == expected


@given(SCORES)
def test_ranks_invert_order(scores):
    ordered = order(scores)
    assert [int(ranks(ordered)[place]) for place in ordered] == list(range(1, len(scores) + 1))


def test_scores_that_are_no_numbers_are_named():
    with pytest.raises(InvalidInputError, match=r"scores\[1\] is NaN"):
        top_k([0.0, float("nan")], 1)
    with pytest.raises(InvalidInputError, match="one-dimensional"):
        order(np.zeros((2, 2)))
    with pytest.raises(InvalidInputError, match="k is -1"):
        top_k([1.0], -1)
    with pytest.raises(InvalidInputError, match="equally long"):
        order([1.0], ties=[])


@pytest.mark.parametrize("normalize", NORMALIZE)
@given(scores=SCORES | COARSE, others=SCORES)
def test_scales_are_finite_and_never_turn_an_order_around(normalize, scores, others):
    scale = fit_scale(scores, normalize, floor=-101.0)
    for values in (scores, sorted(others)):
        scaled = scale(values)
        assert np.isfinite(scaled).all()
        assert (np.diff(scaled[np.argsort(values, kind="stable")]) >= 0).all()


@given(
    st.lists(st.floats(-100, 100).map(lambda score: round(score, 3)), min_size=2, max_size=40).filter(lambda s: len(set(s)) > 1)
)
def test_scales_are_what_their_names_say(scores):
    assert fit_scale(scores, "minmax")([min(scores), max(scores)]) == pytest.approx([0, 1])
    assert fit_scale(scores, "tmm", floor=-200.0)([-200, max(scores)]) == pytest.approx([0, 1])
    z = fit_scale(scores, "zscore")(scores)
    assert (z.mean(), z.std()) == pytest.approx((0, 1), abs=1e-6)
    assert fit_scale(scores, "softmax")(scores).sum() == pytest.approx(1)


@pytest.mark.parametrize("normalize", NORMALIZE)
@pytest.mark.parametrize("scores", [[], [0.3], [0.3] * 9, [1.0, 1.0 + 1e-15]])
def test_scores_without_differences_say_nothing(normalize, scores):
    assert fit_scale(scores, normalize)([*scores, 5.0]).tolist() == [0.0] * (len(scores) + 1)


def test_softmax_gives_an_outlier_the_vote_and_a_flat_arm_none():
    outlier = fit_scale([0.0] * 50 + [9.0], "softmax")([9.0])[0]
    flat = np.ptp(fit_scale(np.linspace(0.30, 0.31, 51), "softmax")(np.linspace(0.30, 0.31, 51)))
    assert outlier > 0.3 > 0.1 > flat


def test_unknown_or_infinite_input_to_scales():
    with pytest.raises(InvalidInputError, match="minmax, tmm, zscore, softmax"):
        fit_scale([1.0], "max")
    with pytest.raises(InvalidInputError, match="infinity"):
        fit_scale([1.0, float("inf")], "minmax")


def test_reciprocal_ranks():
    assert reciprocal_ranks([1, 2, 0], c=60).tolist() == [1 / 61, 1 / 62, 0.0]
    assert reciprocal_ranks([0, 1], c=0).tolist() == [0.0, 1.0]
    for ranks_, c in (([1], -1.0), ([-1], 60.0), ([1], float("nan"))):
        with pytest.raises(InvalidInputError):
            reciprocal_ranks(ranks_, c=c)
