"""BM25's statistics after any commits, of whomever, are those of a scan of all rows; conditions on words find what a scan finds."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ragkit.lexical import term_stats as scanned
from ragkit.store import ChunkStore, Header, terms
from ragkit.text.term_query import Either, Every, InOrder, OneOf, TermQuery
from ragkit.types import TermStats

LETTERS = st.lists(st.lists(st.sampled_from("abcdefg"), max_size=5), min_size=1, max_size=4)
STEPS = st.lists(
    st.tuples(st.sampled_from(["put", "put", "delete", "optimize", "look"]), st.sampled_from(["d0", "d1", "d2"]), LETTERS),
    min_size=1,
    max_size=8,
)


def put(store: ChunkStore, make_rows: Any, doc_id: str, lex: list[list[str]]) -> None:
    store.put([make_rows(doc_id, [f"{place} {' '.join(words)}." for place, words in enumerate(lex)], lex=lex)])


def same(found: TermStats, expected: TermStats) -> bool:
    return (found.n_docs, found.mean_length, dict(found.df)) == (expected.n_docs, expected.mean_length, dict(expected.df))


@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(steps=STEPS)
def test_statistics_follow_any_commits(tmp_path_factory: Any, header: Header, make_rows: Any, steps: list[Any]) -> None:
    path = tmp_path_factory.mktemp("terms") / "kb"
    writer, reader = ChunkStore.open(path, create=header), ChunkStore.open(path)
    rows: dict[str, list[list[str]]] = {}
    for action, doc_id, lex in steps:
        if action == "put":
            put(writer, make_rows, doc_id, lex)
            rows[doc_id] = lex
        elif action == "delete":
            writer.delete([doc_id])
            rows.pop(doc_id, None)
        elif action == "optimize":
            writer.optimize()
        else:
            reader.term_stats()
    expected = scanned([words for lex in rows.values() for words in lex])
    assert same(reader.term_stats(), expected)
    assert same(writer.term_stats(), expected)
    writer.close()
    reader.close()


def test_only_rows_that_came_or_went_are_read(store: ChunkStore, make_rows: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(20):
        put(store, make_rows, f"d{number}", [["same", f"own{number}"]] * 3)
    reader = ChunkStore.open(store.path)
    reader.term_stats()
    read: list[int] = []
    count_terms = terms.count_terms
    monkeypatch.setattr(terms, "count_terms", lambda lex: read.append(len(lex)) or count_terms(lex))
    put(store, make_rows, "new", [["same"], ["other"]])
    assert reader.term_stats().df["same"] == 61
    store.delete(["d3"])
    assert "own3" not in reader.term_stats().df
    assert sum(read) == 2 + 3
    store.optimize()
    assert reader.term_stats().df["same"] == 58
    assert sum(read) == 5, "rows that a compaction moved are not read again"
    reader.close()


def test_statistics_are_counted_anew_where_the_earlier_version_is_gone(store: ChunkStore, make_rows: Any) -> None:
    put(store, make_rows, "a", [["x"], ["y"]])
    reader = ChunkStore.open(store.path)
    reader.term_stats()
    put(store, make_rows, "b", [["x"]])
    store.delete(["a"])
    store.write("cleaning up", lambda table: table.optimize(cleanup_older_than=timedelta(0), delete_unverified=True))
    assert same(reader.term_stats(), scanned([["x"]]))
    reader.close()


CONDITIONS = [
    OneOf(("a", "g")),
    InOrder(("a", "b"), "a b"),
    Every((OneOf(("a",)), OneOf(("b", "c"))), (OneOf(("d",)),)),
    Every((InOrder(("c", "a"), "c a"),), (InOrder(("a", "a"), "a a"),)),
    Every((Every((OneOf(("a",)),), (OneOf(("b",)),)),), (Every((OneOf(("c",)), OneOf(("d",)))),)),
    Either((InOrder(("a", "b", "c"), "a b c"), Every((OneOf(("g",)), OneOf(("f",)))))),
    Either((Every((OneOf(("a",)),), (OneOf(("b", "c", "d")),)), OneOf(("e",)))),
]


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: Any, header: Header, make_rows: Any) -> Any:
    """300 chunks of six letters, of which the full-text index holds two thirds."""
    store = ChunkStore.open(Path(tmp_path_factory.mktemp("shelf")) / "kb", create=header)
    lex = np.random.default_rng(3).choice(list("abcdefghij"), (300, 6)).tolist()
    put(store, make_rows, "indexed", lex[:200])
    store.optimize()
    put(store, make_rows, "waiting", lex[200:])
    yield store, lex
    store.close()


@pytest.mark.parametrize("condition", CONDITIONS)
@pytest.mark.parametrize("limit", [1, 7, 1000])
def test_conditions_find_what_a_scan_finds_indexed_or_not(shelf: Any, condition: Any, limit: int) -> None:
    store, lex = shelf
    expected = [words for words in lex if condition.matches(words)]
    found = store.matching(TermQuery(condition, ("a",)), limit=limit)
    assert len(found) == min(limit, len(expected))
    assert all(condition.matches(row.lex) for row in found)
    if limit == 1000:
        assert sorted(row.lex for row in found) == sorted(expected)
