"""MaxSim over packed signs against its definition, and what must never change a score."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ragkit.errors import InvalidInputError
from ragkit.vec.maxsim import max_sim, pack_signs, sketches, token_maxima


def case(seed: int, n: int, k: int, d: int, q: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    vectors = rng.standard_normal((n, k, d)).astype(np.float32)
    queries = rng.standard_normal((q, d)).astype(np.float32)
    queries /= np.linalg.norm(queries, axis=1, keepdims=True)
    codes = np.stack([pack_signs(one) for one in vectors]) if n else np.zeros((0, k, d // 8), np.uint8)
    return vectors, queries, rng.random(q).astype(np.float32), codes, rng.integers(0, k + 1, n)


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 2**31), st.integers(1, 9), st.integers(1, 7), st.sampled_from([8, 64, 128]), st.integers(1, 6))
def test_it_is_the_weighted_mean_of_best_matches(seed: int, n: int, k: int, d: int, q: int) -> None:
    vectors, queries, gates, codes, counts = case(seed, n, k, d, q)
    signs = np.where(vectors > 0, 1, -1) / np.sqrt(d)
    best = np.full((n, q), -1.0)
    for row in range(n):
        if counts[row]:
            best[row] = (signs[row, : counts[row]] @ queries.T).max(axis=0)
    assert np.allclose(token_maxima(queries, codes, counts), best, atol=1e-5)
    scores = max_sim(queries, gates, codes, counts)
    assert np.allclose(scores, best @ gates / gates.sum(), atol=1e-5)
    assert (np.abs(scores) <= 1 + 1e-6).all()


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 2**31), st.integers(2, 9), st.integers(1, 7))
def test_windows_of_one_owner_are_one_passage(seed: int, n: int, k: int) -> None:
    _, queries, gates, codes, counts = case(seed, n, k, 64, 4)
    owners = np.sort(np.random.default_rng(seed).integers(0, n, n))
    owners = np.unique(owners, return_inverse=True)[1]
    best = token_maxima(queries, codes, counts)
    joined = np.stack([best[owners == one].max(axis=0) for one in range(owners[-1] + 1)])
    assert np.allclose(max_sim(queries, gates, codes, counts, owners=owners), joined @ gates / gates.sum(), atol=1e-5)


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 2**31), st.integers(2, 30))
def test_order_of_passages_changes_nothing(seed: int, n: int) -> None:
    _, queries, gates, codes, counts = case(seed, n, 5, 64, 4)
    mixed = np.random.default_rng(seed).permutation(n)
    assert np.allclose(
        max_sim(queries, gates, codes, counts)[mixed], max_sim(queries, gates, codes[mixed], counts[mixed]), atol=1e-6
    )


def test_fewer_bits_are_compared_with_as_many_numbers_of_the_query() -> None:
    _, queries, _, codes, counts = case(1, 6, 5, 128, 4)
    short = queries[:, :64] / np.linalg.norm(queries[:, :64], axis=1, keepdims=True)
    assert np.allclose(token_maxima(queries, codes[:, :, :8], counts), token_maxima(short, codes[:, :, :8], counts))


def test_nothing_to_compare_is_no_error() -> None:
    _, queries, gates, codes, _ = case(2, 3, 4, 64, 2)
    assert max_sim(queries, gates, codes, np.zeros(3, np.int64)).tolist() == [-1.0, -1.0, -1.0]
    assert max_sim(queries[:0], gates[:0], codes, np.full(3, 4)).tolist() == [0.0, 0.0, 0.0]
    assert max_sim(queries, 0 * gates, codes, np.full(3, 4)).tolist() == [0.0, 0.0, 0.0]
    assert max_sim(queries, gates, codes[:0], np.zeros(0, np.int64)).shape == (0,)
    assert sketches(codes[:0], np.zeros(0, np.int64)).shape == (0, 64)


@pytest.mark.parametrize("broken", ["counts", "width", "gates", "owners", "dtype"])
def test_shapes_that_do_not_belong_together_are_told(broken: str) -> None:
    _, queries, gates, codes, _ = case(3, 3, 4, 64, 2)
    counts, owners = np.full(3, 4), np.array([0, 0, 1])
    if broken == "counts":
        counts = np.array([5, 0, 0])
    elif broken == "width":
        queries = queries[:, :32]
    elif broken == "gates":
        gates = gates[:1]
    elif broken == "owners":
        owners = np.array([0, 2, 2])
    else:
        codes = codes.astype(np.int64)
    with pytest.raises(InvalidInputError):
        max_sim(queries, gates, codes, counts, owners=owners)


def test_sketches_put_like_passages_together() -> None:
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((2, 16, 64)).astype(np.float32)
    near = vectors[0] + 0.3 * rng.standard_normal((16, 64)).astype(np.float32)
    codes = np.stack([pack_signs(one) for one in (*vectors, near)])
    found = sketches(codes, np.full(3, 16))
    likeness = found @ found.T
    assert likeness[0, 2] > 0.6 > likeness[0, 1]
    windows = sketches(codes, np.full(3, 16), owners=np.array([0, 0, 1]))
    assert windows.shape == (2, 64)
    assert np.allclose(np.linalg.norm(windows, axis=1), 1, atol=1e-5)


def test_a_passage_scores_the_same_to_the_last_bit_in_any_company() -> None:
    _, queries, _, codes, counts = case(4, 70, 64, 128, 40)
    together = token_maxima(queries, codes, counts)
    for some in ([3], [69, 3, 12], list(range(40))):
        assert (token_maxima(queries, codes[some], counts[some]) == together[some]).all()
