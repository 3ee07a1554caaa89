"""Bridges between spaces that are known to be turned, and between spaces that have nothing in common."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ragkit.errors import CapabilityError, InvalidInputError, StoreCorruptError
from ragkit.seams import Vectors
from ragkit.testing.embedders import HashEmbedder
from ragkit.vec.bridge import Bridge, fit_bridge

WORDS = [f"word{n}" for n in range(40)]
RANDOM = np.random.default_rng(0)
TEXTS = [" ".join(RANDOM.choice(WORDS, size=6)) for _ in range(300)]


class Turned(HashEmbedder):
    """Another model's vectors in other axes, with noise: a new model that means the same."""

    def __init__(self, *, dim: int, noise: float = 0.0, name: str = "turned") -> None:
        super().__init__(dim=16, name="base")
        self.turn = np.linalg.qr(np.random.default_rng(1).standard_normal((max(16, dim), max(16, dim))))[0][:16, :dim].astype(
            np.float32
        )
        self.noise = noise
        self.card = replace(self.card, name=name, dim=dim)

    def embed_texts(self, texts: Sequence[str], /) -> Vectors:
        base = HashEmbedder(dim=16)
        found = base.embed_texts(texts) @ self.turn
        found += self.noise * HashEmbedder(dim=self.card.dim, name="noise").embed_texts(texts)
        unit: Vectors = found / np.linalg.norm(found, axis=1, keepdims=True)
        return unit


class Scrambled(HashEmbedder):
    """Has a direction of its own for every text, whatever its words."""

    def embed_texts(self, texts: Sequence[str], /) -> Vectors:
        return super().embed_texts([text[::-1].replace(" ", "") for text in texts])


OLD = HashEmbedder(dim=16, name="old")


@pytest.mark.parametrize("method", ["procrustes", "affine"])
@pytest.mark.parametrize("dim", [16, 24])
def test_a_turned_space_is_turned_back(method: str, dim: int) -> None:
    bridge = fit_bridge(OLD, Turned(dim=dim), TEXTS, method=method)  # type: ignore[arg-type]
    report = bridge.report
    assert report.overlap > 0.9
    assert report.kept > 0.9
    assert report.cosine > 0.98
    assert (report.texts, report.questions, report.k) == (
        len(set(TEXTS)) * 4 // 5 + (len(set(TEXTS)) % 5 > 0),
        len(set(TEXTS)) // 5,
        10,
    )
    carried = bridge(Turned(dim=dim).embed_queries(["word1 word2"]))
    assert carried.shape == (1, 16)
    assert np.linalg.norm(carried[0]) == pytest.approx(1.0, abs=1e-5)
    assert carried[0] @ OLD.embed_query("word1 word2") > 0.95


def test_a_bridge_that_keeps_too_little_is_refused_and_its_report_is_had_by_force() -> None:
    alike = [f"{text} tail{n}" for n, text in enumerate(TEXTS)]
    with pytest.raises(CapabilityError, match=r"find \d+% of what its own vectors find, and least is 50%.*force=True"):
        fit_bridge(OLD, Scrambled(dim=20, name="scrambled"), alike)
    forced = fit_bridge(OLD, Scrambled(dim=20, name="scrambled"), alike, force=True)
    assert forced.report.overlap < 0.5


def test_what_is_left_out_is_not_learned_from() -> None:
    """With as many dimensions as texts a fit can learn its texts by heart; the report must not be of those."""
    old, new = HashEmbedder(dim=200, name="old"), Scrambled(dim=180, name="new")
    texts = [f"only{n} here{n}" for n in range(120)]
    report = fit_bridge(old, new, texts, force=True).report
    assert report.cosine < 0.3


@settings(max_examples=25)
@given(rows=st.integers(1, 6), rank=st.one_of(st.none(), st.integers(1, 16)))
def test_rows_do_not_depend_on_each_other_and_bytes_give_the_same_bridge(rows: int, rank: int | None) -> None:
    bridge = fit_bridge(OLD, Turned(dim=24, noise=0.2), TEXTS[:80], rank=rank, force=True)
    vectors = Turned(dim=24).embed_queries(TEXTS[:rows])
    assert np.array_equal(bridge(vectors), np.concatenate([bridge(vectors[at : at + 1]) for at in range(rows)]))
    again = Bridge.from_bytes(bridge.to_bytes())
    assert (again.fingerprint, again.report, again.old, again.new) == (bridge.fingerprint, bridge.report, OLD.card, bridge.new)
    assert np.array_equal(again(vectors), bridge(vectors))
    centred = bridge.matrix if rank is None else bridge.matrix @ np.eye(16, dtype=np.float32)
    assert rank is None or np.linalg.matrix_rank(centred, tol=1e-4) <= rank


@pytest.mark.parametrize(
    ("settings_", "words"),
    [
        ({"method": "magic"}, "allowed are procrustes, affine"),
        ({"method": "procrustes", "rank": 3}, "rank is 3"),
        ({"rank": 17}, "from 1 to 16"),
        ({"least": 1.5}, "between 0 and 1"),
        ({"questions": []}, "questions is empty"),
    ],
)
def test_settings_out_of_range(settings_: dict[str, object], words: str) -> None:
    with pytest.raises(InvalidInputError, match=words):
        fit_bridge(OLD, Turned(dim=24), TEXTS, **settings_)  # type: ignore[arg-type]


def test_bad_input() -> None:
    with pytest.raises(InvalidInputError, match="1 different texts; a bridge wants at least 40"):
        fit_bridge(OLD, Turned(dim=24), ["the same"] * 100)
    bridge = fit_bridge(OLD, Turned(dim=24), TEXTS)
    with pytest.raises(InvalidInputError, match=r"takes \(n, 24\)"):
        bridge(np.ones((1, 16), np.float32))
    with pytest.raises(InvalidInputError, match="zero or not finite"):
        bridge(np.full((1, 24), np.nan, np.float32))
    data = bytearray(bridge.to_bytes())
    data[-40] ^= 1
    with pytest.raises(StoreCorruptError, match="checksum of this bridge"):
        Bridge.from_bytes(bytes(data))
    with pytest.raises(StoreCorruptError, match="no bridge of ragkit"):
        Bridge.from_bytes(b"something else")
