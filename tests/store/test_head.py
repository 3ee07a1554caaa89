"""Dense searches that read a few rows whole in one query: the same hits as from all candidates, and how often that is the case."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ragkit.retrieve import search
from ragkit.store import ChunkStore, Header, Nearness, vector_index
from ragkit.store.arms import Head, SnapshotArms
from ragkit.types import Hit, ModelCard

ROWS, DIM = 600, 8
#: More partitions than there are: only where all are read is an index asked for the first rows alone.
EVERY, EVERY_REFINED = Nearness(nprobes=99), Nearness(nprobes=99, refine=3)


class Unaided(SnapshotArms):
    """Arms that read all candidates first, always."""

    def head(self, vector: Any, /, **settings: Any) -> Head | None:
        return None


def hits(store: ChunkStore, arms: type[SnapshotArms], vector: np.ndarray, nearness: Nearness, **settings: Any) -> list[Hit]:
    def ask(one: Any) -> list[Hit]:
        made = arms(one, dense=True, words=False, nearness=nearness, condition=store._condition)
        return search(made, query_vector=vector, query_tokens=[], mode="dense", **settings)

    return store.on_snapshot(ask)


@pytest.fixture(scope="module", params=["flat", "indexed", "partly indexed"])
def filled(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, make_rows: Any) -> Any:
    """A store with many equal vectors, some that differ by less than float32 tells and some deleted, and the vectors."""
    card = ModelCard(name="fake", dim=DIM, pooling="sum", window=99)
    store = ChunkStore.open(
        tmp_path_factory.mktemp(str(request.param_index)) / "kb",
        create=Header(card=card, analyzer="{}", chunker="first", ragkit="0"),
    )
    random = np.random.default_rng(5)
    vectors = random.normal(size=(ROWS, DIM)).astype(np.float32)
    vectors[100:130] = vectors[99]
    vectors[200:240] = vectors[199] * (1 + np.arange(40)[:, None] * np.float32(1e-6))
    # Nearer to each other than a byte a dimension tells: an index must compare all of them by their own vectors.
    vectors[400:440] = vectors[399] + np.float32(1e-2) * vectors[400:440]
    for part in range(6):
        some = slice(100 * part, 100 * part + 100)
        if part == 5 and request.param != "flat":
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(vector_index, "FLAT_BELOW", 400)
                store.optimize()
        texts = [f"word{number} " for number in range(100)]
        store.put([make_rows(f"d{part}", texts, vectors=vectors[some], metadata={"part": part})])
        if part == 5 and request.param == "indexed":
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(vector_index, "FLAT_BELOW", 400)
                store.optimize()
    store.delete(["d3"])
    assert store.snapshot().indexed == (request.param != "flat")
    yield store, vectors
    store.close()


@settings(max_examples=25)
@given(data=st.data())
def test_the_hits_are_those_that_all_candidates_give(filled: Any, data: st.DataObject) -> None:
    store, vectors = filled
    place = data.draw(st.sampled_from([0, 99, 130, 199, 399, 555]))
    vector = vectors[place] + data.draw(st.sampled_from([0.0, 0.3])) * vectors[place - 1]
    asked = {
        "k": data.draw(st.sampled_from([1, 3, 10, 40, 99, 120])),
        "fetch_k": data.draw(st.sampled_from([20, 100, 101])),
        "where": data.draw(st.sampled_from([None, {"part": 2}, {"part": {"$gte": 4}}, {"part": 9}])),
        "nearness": data.draw(st.sampled_from([Nearness(), Nearness(exact=True), Nearness(nprobes=2), EVERY, EVERY_REFINED])),
    }
    assert hits(store, SnapshotArms, vector, **asked) == hits(store, Unaided, vector, **asked)


def test_most_searches_need_no_more_than_the_head(filled: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    store, vectors = filled
    monkeypatch.setattr(SnapshotArms, "pools", None)
    for place in range(0, 90, 9):
        assert len(hits(store, SnapshotArms, vectors[place], EVERY, k=10, fetch_k=100)) == 10


def test_rows_that_an_index_cannot_tell_apart_are_all_compared_by_their_vectors(filled: Any) -> None:
    store, vectors = filled
    for vector in vectors[400:410]:
        asked: dict[str, Any] = {"nearness": EVERY, "k": 3, "fetch_k": 100}
        assert hits(store, SnapshotArms, vector, **asked) == hits(store, Unaided, vector, **asked)
