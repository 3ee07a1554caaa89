"""Vector indexes: how they come and go with the size of a table, what a search through them promises, and what is measured."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ragkit.errors import InvalidInputError, StoreError
from ragkit.store import ChunkStore, Header, Nearness, Tuning, vector_index
from ragkit.store.vector_index import kind_for

ROWS, DIM = 1200, 8


@pytest.fixture
def low_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sizes that tests can reach."""
    monkeypatch.setattr(vector_index, "FLAT_BELOW", 1000)
    monkeypatch.setattr(vector_index, "BITS_ABOVE", 3000)


def fill(store: ChunkStore, make_rows: Any, *, first: int = 0, count: int = ROWS) -> np.ndarray:
    vectors = np.random.default_rng(first).normal(size=(count, DIM)).astype(np.float32)
    texts = [f"word{first + number} " for number in range(count)]
    store.put([make_rows(f"doc{first}", texts, vectors=vectors, metadata={"part": first})])
    return vectors


def cosines(vectors: np.ndarray, query: np.ndarray) -> np.ndarray:
    return vectors @ query / (np.linalg.norm(vectors, axis=1) * np.linalg.norm(query))


def test_the_index_is_chosen_by_size() -> None:
    assert [kind_for(rows) for rows in (0, 19_999, 20_000, 1_000_000, 1_000_001)] == [None, None, "IVF_SQ", "IVF_SQ", "IVF_RQ"]


def test_an_index_comes_with_optimizing_and_every_process_knows_what_was_measured(
    store: ChunkStore, make_rows: Any, low_limits: None
) -> None:
    vectors = fill(store, make_rows)
    assert not store.snapshot().indexed
    store.optimize()
    tuning = store.snapshot().tuning
    assert tuning is not None
    assert (tuning.index, tuning.rows) == ("IVF_SQ", ROWS)
    assert tuning.recall >= tuning.target == 0.98
    version = store.version
    store.optimize()
    assert store.snapshot().tuning == tuning
    assert store.version <= version + 1, "an index of the right size is not built again"
    other = ChunkStore.open(store.path)
    assert other.snapshot().tuning == tuning
    found = other.tune(target_recall=1.0, queries=20)
    assert found.recall == 1.0
    assert store.snapshot().tuning == found
    best = np.argsort(-cosines(vectors, vectors[5]))[:10]
    assert [row.chunk.index for row in store.nearest(vectors[5], limit=10, nearness=Nearness(exact=True))] == best.tolist()
    other.close()


def test_rows_the_index_does_not_hold_yet_are_found_and_filters_always_give_what_there_is(
    store: ChunkStore, make_rows: Any, low_limits: None
) -> None:
    fill(store, make_rows)
    store.optimize()
    late = fill(store, make_rows, first=5000, count=30)
    least = Nearness(nprobes=1, refine=1)
    assert store.nearest(late[3], limit=1, nearness=least)[0].chunk.index == 3
    for limit in (5, 30, 40):
        rows = store.nearest(-late[3], limit=limit, where={"part": 5000}, nearness=least)
        assert len(rows) == min(limit, 30)
        assert all(row.chunk.doc_id == "doc5000" for row in rows)
    for limit in (10**6, 2**31 - 1):
        assert len(store.nearest(late[0], limit=limit, nearness=least)) == ROWS + 30


def test_only_as_many_partitions_are_read_as_are_asked_for(store: ChunkStore, make_rows: Any, low_limits: None) -> None:
    vectors = fill(store, make_rows)
    store.optimize()
    tuning = store.snapshot().tuning
    assert tuning is not None
    assert tuning.nprobes >= vector_index.enough(100, tuning.refine, tuning.partitions, ROWS)

    def recall(nprobes: int) -> float:
        shares = []
        for query in -vectors[:40]:
            found = {row.chunk.index for row in store.nearest(query, limit=5, nearness=Nearness(nprobes=nprobes))}
            shares.append(len(found & set(np.argsort(-cosines(vectors, query))[:5].tolist())) / 5)
        return float(np.mean(shares))

    assert recall(1) < 0.9 < recall(tuning.partitions)


def test_batches_through_the_index_answer_as_single_queries(store: ChunkStore, make_rows: Any, low_limits: None) -> None:
    vectors = fill(store, make_rows)
    store.optimize()
    many = store.nearest_many(vectors[:5], limit=7)
    assert [[row.chunk.id for row in rows] for rows in many] == [
        [row.chunk.id for row in store.nearest(vector, limit=7)] for vector in vectors[:5]
    ]


def test_a_table_that_outgrows_its_index_gets_another_and_one_that_shrinks_loses_it(
    store: ChunkStore, make_rows: Any, low_limits: None
) -> None:
    fill(store, make_rows)
    store.optimize()
    fill(store, make_rows, first=10_000, count=2000)
    store.optimize()
    tuning = store.snapshot().tuning
    assert tuning is not None
    assert (tuning.index, tuning.rows) == ("IVF_RQ", ROWS + 2000)
    assert tuning.recall >= 0.98
    store.delete(["doc10000"])
    fill(store, make_rows, first=20_000, count=100)
    store.delete(["doc0"])
    store.optimize()
    assert not store.snapshot().indexed
    assert store.snapshot().tuning is None


def test_an_index_built_by_a_killed_process_is_measured_by_the_next(
    store: ChunkStore, make_rows: Any, low_limits: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(store, make_rows)

    remember = vector_index.remember

    def killed(table: Any, column: str, tuning: Tuning) -> None:
        if tuning.index is not None:
            raise StoreError("killed")
        remember(table, column, tuning)

    monkeypatch.setattr(vector_index, "remember", killed)
    with pytest.raises(StoreError, match="killed"):
        store.optimize()
    monkeypatch.undo()
    monkeypatch.setattr(vector_index, "FLAT_BELOW", 1000)
    assert store.snapshot().indexed
    assert store.snapshot().tuning is None
    assert len(store.nearest(np.ones(DIM, np.float32), limit=9)) == 9
    store.optimize()
    assert store.snapshot().tuning is not None


def test_flat_tables_have_nothing_to_tune(store: ChunkStore, make_rows: Any) -> None:
    with pytest.raises(InvalidInputError, match="no chunks"):
        store.tune()
    fill(store, make_rows, count=20)
    version = store.version
    assert store.tune(target_recall=0.5) == Tuning(index=None, rows=20, target=0.5)
    assert store.version == version


@pytest.mark.parametrize("settings", [{"target_recall": 0.0}, {"target_recall": 1.1}, {"queries": 0}, {"queries": True}])
def test_tuning_refuses_what_it_cannot_reach(store: ChunkStore, make_rows: Any, settings: dict[str, Any]) -> None:
    fill(store, make_rows, count=20)
    with pytest.raises(InvalidInputError):
        store.tune(**settings)


@pytest.mark.parametrize(
    "settings",
    [{"nprobes": 0}, {"refine": 0}, {"nprobes": True}, {"nprobes": 1.5}, {"nprobes": 3, "exact": True}, {"exact": 5}],
)
def test_efforts_that_mean_nothing_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(InvalidInputError, match="Nearness"):
        Nearness(**settings)


@pytest.mark.parametrize("value", [np.nan, np.inf, 0.0])
def test_vectors_that_point_nowhere_are_refused_with_and_without_an_index(
    store: ChunkStore, make_rows: Any, value: float
) -> None:
    fill(store, make_rows, count=20)
    with pytest.raises(InvalidInputError, match="finite"):
        store.nearest(np.full(DIM, value, np.float32), limit=3, nearness=Nearness(nprobes=1))


def test_settings_of_another_version_are_left_aside(tmp_path: Path, header: Header, make_rows: Any, low_limits: None) -> None:
    with_store = ChunkStore.open(tmp_path / "other", create=header)
    fill(with_store, make_rows)
    with_store.optimize()
    with_store.write(
        "writing", lambda table: table.update_field_metadata({"path": "vector", "metadata": {"ragkit.nearness.2": '{"new": 1}'}})
    )
    assert with_store.snapshot().tuning is None
    assert len(with_store.nearest(np.ones(DIM, np.float32), limit=9)) == 9
    with_store.close()
