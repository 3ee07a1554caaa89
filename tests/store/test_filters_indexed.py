"""Filtered vector searches with an index of vectors: k hits when k rows match, exact where few do, and near enough where many do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ragkit.store import ChunkStore, DocumentRows, Header, declared
from ragkit.store import snapshot as snapshots
from ragkit.store.nearness import Nearness

ROWS, DIM, LIMIT = 3000, 8, 20
RNG = np.random.default_rng(3)
VECTORS = RNG.normal(size=(ROWS, DIM)).astype(np.float32)
NUMBERS = RNG.permutation(ROWS)
METADATA = [
    {"n": int(n), "tags": [f"t{n % 7}", f"u{n % 40}"], "day": f"20{n % 30:02}-01-01", "free": int(n) % 5} for n in NUMBERS
]


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory, header: Header, make_rows: Any) -> ChunkStore:
    """One row per document, under an IVF index that a search would read only in part."""
    from datetime import datetime

    from lancedb.index import IvfFlat

    path: Path = tmp_path_factory.mktemp("indexed") / "kb"
    store = ChunkStore.open(path, create=header.declaring(declared({"n": int, "tags": list[str], "day": datetime})))
    documents: list[DocumentRows] = [
        make_rows(f"d{place}", ["word"], metadata=METADATA[place], vectors=VECTORS[place : place + 1]) for place in range(ROWS)
    ]
    store.put(documents)
    store.write("indexing", lambda table: table.create_index("vector", config=IvfFlat(distance_type="cosine", num_partitions=32)))
    store.optimize()
    return store


bounds = st.integers(-10, ROWS + 10)
filters = st.one_of(
    st.tuples(bounds, bounds).map(lambda two: {"n": {"$gte": min(two), "$lt": max(two)}}),
    st.sets(st.integers(0, 39), max_size=3).map(lambda some: {"tags": {"$contains_any": [f"u{n}" for n in some]}}),
    st.integers(0, 31).map(lambda year: {"day": {"$gte": f"20{year:02}-01-01"}, "free": {"$ne": 0}}),
    st.tuples(st.integers(0, 6), bounds).map(lambda two: {"$or": [{"n": two[1]}, {"tags": {"$contains": f"t{two[0]}"}}]}),
)


def matching(where: dict[str, Any]) -> np.ndarray[Any, Any]:
    def holds(row: dict[str, Any], one: dict[str, Any]) -> bool:
        if "$or" in one:
            return any(holds(row, part) for part in one["$or"])
        checks = []
        for key, condition in one.items():
            for operator, operand in (condition if isinstance(condition, dict) else {"$eq": condition}).items():
                value = row[key]
                checks.append(
                    {
                        "$gte": lambda v=value, o=operand: v >= o, "$lt": lambda v=value, o=operand: v < o,
                        "$eq": lambda v=value, o=operand: v == o, "$ne": lambda v=value, o=operand: v != o,
                        "$contains": lambda v=value, o=operand: o in v, "$contains_any": lambda v=value, o=operand: bool(set(v) & set(o)),
                    }[operator]()
                )  # fmt: skip
        return all(checks)

    return np.flatnonzero([holds(row, where) for row in METADATA])


def best(query: Any, places: Any) -> set[str]:
    unit = VECTORS[places] / np.linalg.norm(VECTORS[places], axis=1, keepdims=True)
    return {f"d{places[at]}" for at in np.argsort(-(unit @ query), kind="stable")[:LIMIT]}


@pytest.mark.parametrize("few", [snapshots._FEW, 0], ids=["as it is", "always by the index"])
@settings(max_examples=12)
@given(where=filters, seed=st.integers(0, 99))
def test_a_filtered_search_returns_k_when_k_match(shelf: ChunkStore, where: dict[str, Any], seed: int, few: int) -> None:
    query = np.random.default_rng(seed).normal(size=DIM).astype(np.float32)
    places = matching(where)
    before, snapshots._FEW = snapshots._FEW, few
    try:
        found = [row.chunk.doc_id for row in shelf.nearest(query, limit=LIMIT, where=where)]
        exact = [row.chunk.doc_id for row in shelf.nearest(query, limit=LIMIT, where=where, nearness=Nearness(exact=True))]
    finally:
        snapshots._FEW = before
    expected = best(query, places)
    assert len(found) == len(exact) == min(LIMIT, len(places))
    assert set(exact) == expected
    assert set(found) <= {f"d{place}" for place in places}
    if len(places) <= few:
        assert set(found) == expected


def test_recall_by_the_index(shelf: ChunkStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Over many filters, all of them answered by the index."""
    monkeypatch.setattr(snapshots, "_FEW", 0)
    shares = []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        query, low = rng.normal(size=DIM).astype(np.float32), int(rng.integers(0, ROWS // 2))
        where = {"n": {"$gte": low, "$lt": low + int(rng.integers(200, ROWS))}}
        found = {row.chunk.doc_id for row in shelf.nearest(query, limit=LIMIT, where=where)}
        shares.append(len(found & best(query, matching(where))) / LIMIT)
    assert np.mean(shares) >= 0.95, np.mean(shares)
