"""A product in blocks is the product."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ragkit.vec.product import PRODUCT, product


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 70), st.integers(0, 900), st.integers(0, 70), st.sampled_from([np.float32, np.float64]))
def test_blocks_are_the_whole(n: int, d: int, m: int, kind: type) -> None:
    rng = np.random.default_rng(n + d + m)
    left, right = rng.standard_normal((n, d)).astype(kind), rng.standard_normal((m, d)).astype(kind).T
    found = product(left, right)
    assert found.dtype == kind
    np.testing.assert_allclose(found, left @ right, atol=1e-3 if kind is np.float32 else 1e-11)


def test_no_block_is_large_enough_to_wake_other_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    matmul = np.matmul

    def counted(a: np.ndarray, b: np.ndarray, out: np.ndarray) -> None:
        sizes.append(len(a) * a.shape[1] * b.shape[1])
        matmul(a, b, out=out)

    monkeypatch.setattr(np, "matmul", counted)
    product(np.ones((250, 768), np.float32), np.ones((768, 128), np.float32))
    assert sum(sizes) == 250 * 768 * 128
    assert max(sizes) <= PRODUCT
