"""The final score: what sums up, what must not matter, and what each setting does."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ragkit.errors import InvalidInputError
from ragkit.rerank.blend import Blend, blend


def case(seed: int, n: int) -> tuple[np.ndarray, dict[str, np.ndarray], np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.normal(size=n), {"dense": rng.random(n), "bm25": rng.random(n)}, rng.standard_normal((n, 8)).astype(np.float32)


@settings(deadline=None)
@given(st.integers(0, 2**31), st.integers(1, 40))
def test_shares_sum_to_the_score_and_order_is_of_no_matter(seed: int, n: int) -> None:
    late, first, likes = case(seed, n)
    found = blend(late, first=first, sketches=likes)
    assert np.allclose(found.scores, found.late + found.first["dense"] + found.first["bm25"])
    mixed = np.random.default_rng(seed).permutation(n)
    again = blend(late[mixed], first={name: values[mixed] for name, values in first.items()}, sketches=likes[mixed])
    assert np.allclose(again.scores, found.scores[mixed], atol=1e-9)


@settings(deadline=None)
@given(st.integers(0, 2**31), st.integers(2, 40), st.floats(0.1, 50), st.floats(-5, 5))
def test_the_scale_of_a_source_is_of_no_matter(seed: int, n: int, factor: float, shift: float) -> None:
    late, first, likes = case(seed, n)
    other = {name: factor * values + shift for name, values in first.items()}
    assert np.allclose(
        blend(factor * late + shift, first=other, sketches=likes).scores,
        blend(late, first=first, sketches=likes).scores,
        atol=1e-6,
    )


@settings(deadline=None)
@given(st.integers(0, 2**31), st.integers(2, 40))
def test_one_source_alone_keeps_its_order(seed: int, n: int) -> None:
    late, first, _ = case(seed, n)
    assert (np.argsort(blend(late, first=first, weights=Blend(first=0, neighbours=0)).scores) == np.argsort(late)).all()
    total = first["dense"] + first["bm25"]
    assert (np.argsort(blend(late, first=first, weights=Blend(late=0, neighbours=0)).scores) == np.argsort(total)).all()


def test_a_source_that_sees_all_alike_moves_nothing() -> None:
    _, first, _ = case(0, 6)
    alone = blend(np.zeros(6), first=first, weights=Blend(late=0))
    assert np.allclose(blend(np.full(6, 0.3), first=first).scores, alone.scores)
    assert blend(np.full(3, 0.3), first={"dense": np.ones(3)}).scores.tolist() == [0, 0, 0]


def test_likes_lift_each_other() -> None:
    likes = np.array([[1, 0], [0.99, 0.05], [-1, 0.1], [-0.9, -0.2], [-1, -0.1]], np.float32)
    late, first = np.array([3.0, 0.0, 0.1, 0.0, 0.1]), {"dense": np.zeros(5)}
    near = blend(late, first=first, sketches=likes, weights=Blend(neighbours=0.4, nearest=1)).scores
    apart = blend(late, first=first, weights=Blend(neighbours=0)).scores
    assert apart[1] < apart[2]
    assert near[0] > near[1] > near[2]


@settings(deadline=None)
@given(st.integers(0, 2**31), st.integers(2, 20))
def test_chunks_of_one_document_have_no_vote_for_each_other(seed: int, n: int) -> None:
    late, first, likes = case(seed, n)
    apart = blend(late, first=first, weights=Blend(neighbours=0)).scores
    assert np.allclose(blend(late, first=first, sketches=likes, documents=["one"] * n).scores, apart)
    each = blend(late, first=first, sketches=likes, documents=[str(at) for at in range(n)]).scores
    assert np.allclose(each, blend(late, first=first, sketches=likes).scores)
    # A candidate's twin in its own document is no evidence; the same twin in another document is.
    twins, scores, nothing = np.concatenate([likes, likes[:1]]), np.concatenate([np.zeros(n), [1.0]]), {"dense": np.zeros(n + 1)}
    own, other = (
        blend(scores, first=nothing, sketches=twins, documents=[name, *map(str, range(n))], weights=Blend(nearest=1)).scores[0]
        for name in (str(n - 1), "other")
    )
    assert own <= other


@settings(deadline=None)
@given(st.integers(0, 2**31), st.integers(2, 20), st.floats(0, 0.9))
def test_the_first_is_not_pulled_down_to_its_likes(seed: int, n: int, share: float) -> None:
    late, first, likes = case(seed, n)
    apart = blend(late, first=first, weights=Blend(neighbours=0)).scores
    found = blend(late, first=first, sketches=likes, weights=Blend(neighbours=share)).scores
    assert found[apart.argmax()] == pytest.approx(apart.max())
    assert found.max() <= apart.max() + 1e-9


def test_no_candidates_and_one() -> None:
    assert blend([], first={"dense": []}, sketches=np.zeros((0, 4), np.float32)).scores.shape == (0,)
    assert blend([0.7], first={"dense": [0.2]}, sketches=np.zeros((1, 4), np.float32)).scores.tolist() == [0.0]


@pytest.mark.parametrize(
    "wrong",
    [{"late": -1}, {"late": 0, "first": 0}, {"first": float("inf")}, {"neighbours": 1.0}, {"nearest": 0}, {"nearest": True}],
)
def test_settings_out_of_range_are_told(wrong: dict[str, float]) -> None:
    with pytest.raises(InvalidInputError):
        Blend(**wrong)  # type: ignore[arg-type]


def test_sources_of_different_lengths_are_told() -> None:
    with pytest.raises(InvalidInputError):
        blend([1.0, 2.0], first={"dense": [1.0]})
    with pytest.raises(InvalidInputError):
        blend([1.0, 2.0], first={"dense": [1.0, 2.0]}, sketches=np.zeros((3, 4), np.float32))
    with pytest.raises(InvalidInputError):
        blend([1.0, 2.0], first={"dense": [1.0, 2.0]}, sketches=np.zeros((2, 4), np.float32), documents=["one"])
