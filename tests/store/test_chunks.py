from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ragkit.errors import InvalidInputError, StoreError, StoreFormatError
from ragkit.lexical import term_stats as exact_term_stats
from ragkit.store import ChunkStore, Header
from ragkit.types import Encoding

anything = st.text(
    st.one_of(st.characters(), st.characters(categories=["Cs"]), st.sampled_from("\ue000\x00'\"\\")), min_size=1, max_size=12
)
json_values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), anything),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(anything, inner, max_size=3)),
    max_leaves=4,
)


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory, header: Header) -> ChunkStore:
    return ChunkStore.open(tmp_path_factory.mktemp("chunks") / "kb", create=header)


@settings(max_examples=40)
@given(
    doc_id=anything,
    texts=st.lists(anything, min_size=1, max_size=3),
    context=anything,
    metadata=st.dictionaries(anything, json_values, max_size=3),
)
def test_every_chunk_comes_back_as_it_went_in(
    shelf: ChunkStore, make_rows: Any, doc_id: str, texts: list[str], context: str, metadata: dict[str, Any]
) -> None:
    rows = make_rows(doc_id, texts, metadata=metadata, context=context)
    shelf.put([rows])
    assert shelf.chunks_of(doc_id) == list(rows.chunks)
    ids = [chunk.id for chunk in rows.chunks]
    assert shelf.get(ids[::-1]) == list(rows.chunks)[::-1]
    assert shelf.digests([doc_id, doc_id + "?"]) == {doc_id: rows.digest}
    found = {row.chunk.id: row for row in shelf.nearest(rows.vectors[0], limit=500) if row.chunk.doc_id == doc_id}
    for place, chunk in enumerate(rows.chunks):
        np.testing.assert_array_equal(found[chunk.id].vector, rows.vectors[place])
        assert found[chunk.id].lines == rows.lines[place]
        np.testing.assert_array_equal(shelf.vectors([rows.keys[place]])[rows.keys[place]].shape, (8,))
    assert shelf.delete([doc_id, "no such document"]) == 1
    assert shelf.chunks_of(doc_id) == []


def test_a_new_version_of_a_document_leaves_nothing_of_the_old(store: ChunkStore, make_rows: Any) -> None:
    store.put([make_rows("a", ["one ", "two ", "three"]), make_rows("b", ["four"])])
    store.put([make_rows("a", ["one ", "other"])], remove=["b", "never stored"])
    assert [chunk.text for chunk in store.chunks_of("a")] == ["one ", "other"]
    assert store.document_ids() == ["a"]
    store.put([], remove=["a"])
    assert store.document_ids() == []
    version = store.version
    store.put([])
    assert store.version == version


def test_one_batch_is_one_commit(store: ChunkStore, make_rows: Any) -> None:
    store.put([make_rows("a", ["one"])])
    version = store.version
    store.put([make_rows(f"d{number}", ["x ", "y"]) for number in range(200)], remove=["a"])
    assert store.version == version + 1


def test_ids_used_twice_are_refused_before_anything_is_written(store: ChunkStore, make_rows: Any) -> None:
    one = make_rows("a", ["one"])
    with pytest.raises(InvalidInputError, match="'a' occurs twice"):
        store.put([one, one])
    assert store.document_ids() == []


def test_a_chunk_id_of_another_document_is_refused(store: ChunkStore, make_rows: Any) -> None:
    """Ids of a careless chunker: the second document would take the first one's chunk away."""
    first, second = make_rows("a", ["one"]), make_rows("b", ["two"])
    store.put([first])
    thief = replace(second, chunks=[replace(second.chunks[0], id=first.chunks[0].id)])
    with pytest.raises(InvalidInputError, match="taken by the stored document 'a'"):
        store.put([thief])
    assert store.chunks_of("a") == list(first.chunks)
    store.put([thief], remove=["a"])
    assert store.document_ids() == ["b"]


def test_nearest_is_by_cosine_and_a_batch_gives_the_same(store: ChunkStore, make_rows: Any) -> None:
    rng = np.random.default_rng(3)
    vectors = rng.normal(size=(40, 8)) * rng.uniform(0.1, 10, size=(40, 1))
    store.put([make_rows("a", [f"t{n} " for n in range(40)], vectors=vectors)])
    queries = rng.normal(size=(5, 8)).astype(np.float32)
    exact = (vectors @ queries.T) / np.linalg.norm(vectors, axis=1)[:, None]
    many = store.nearest_many(queries, limit=7)
    for place, query in enumerate(queries):
        best = np.argsort(-exact[:, place])[:7].tolist()
        assert [row.chunk.index for row in store.nearest(query, limit=7)] == best
        assert [row.chunk.index for row in many[place]] == best
    assert store.nearest_many(np.empty((0, 8), np.float32), limit=3) == []


@pytest.mark.parametrize("vector", [np.zeros(8), np.ones(7), np.full(8, np.nan), np.ones((1, 8))])
def test_query_vectors_that_cannot_be_compared(store: ChunkStore, vector: Any) -> None:
    with pytest.raises(InvalidInputError):
        store.nearest(vector, limit=3)


def test_words_match_exactly_as_the_analyzer_wrote_them(store: ChunkStore, make_rows: Any) -> None:
    tokens = [["run", "the"], ["Running", "x" * 90], ["naïve"], ["数据", "run"], ["snake_case", "run", "run"]]
    store.put([make_rows("a", [f"t{n}" for n in range(5)], lex=tokens)])

    def found(*words: str) -> list[int]:
        return sorted(row.chunk.index for row in store.matching(words, limit=10))

    for _ in range(2):
        assert found("run") == [0, 3, 4]
        assert found("running") == []
        assert found("Running") == found("x" * 90) == [1]
        assert found("the") == [0]
        assert found("naive") == []
        assert found("naïve", "数据", "nothing") == [2, 3]
        assert found() == found("") == []
        store.optimize()
    assert [row.lex for row in store.matching(["snake_case"], limit=1)] == [["snake_case", "run", "run"]]


def test_term_statistics_follow_the_table(store: ChunkStore, make_rows: Any) -> None:
    assert store.term_stats().n_docs == 0
    rng = np.random.default_rng(0)
    docs = [[f"w{n}" for n in rng.integers(0, 30, size=rng.integers(0, 20))] for _ in range(60)]
    for part in range(3):
        some = docs[part * 20 : part * 20 + 20]
        store.put([make_rows(f"d{part}", [f"t{n}" for n in range(20)], lex=some)])
        expected = exact_term_stats(docs[: part * 20 + 20])
        found = store.term_stats()
        assert (found.n_docs, dict(found.df)) == (expected.n_docs, dict(expected.df))
        assert found.mean_length == pytest.approx(expected.mean_length)
    store.delete(["d0"])
    assert store.term_stats().df == Counter(term for doc in docs[20:] for term in set(doc))


def test_stats_and_the_state_of_the_text_index(store: ChunkStore, make_rows: Any) -> None:
    assert store.stats().chunks == store.stats().tokens == store.unindexed == 0
    store.put([make_rows("a", ["one two ", "three"]), make_rows("b", ["four"])])
    stats = store.stats()
    assert (stats.documents, stats.chunks, stats.tokens, stats.characters, stats.unindexed) == (2, 3, 4, 17, 3)
    assert stats.bytes_on_disk > 0
    assert not store.worth_optimizing()
    store.put([make_rows("c", [f"t{n} " for n in range(200)])])
    assert store.worth_optimizing()
    store.optimize()
    assert store.unindexed == 0
    assert store.stats().chunks == 203


def test_other_handles_see_every_commit_at_once(tmp_path: Path, header: Header, make_rows: Any) -> None:
    writer = ChunkStore.open(tmp_path / "kb", create=header)
    reader = ChunkStore.open(tmp_path / "kb")
    for number in range(5):
        writer.put([make_rows(f"d{number}", ["same words"])])
        assert len(reader.document_ids()) == number + 1
        assert len(reader.matching(["words"], limit=50)) == number + 1
        assert reader.term_stats().n_docs == number + 1


@pytest.mark.filterwarnings("ignore:optimize")
def test_a_reader_outlives_a_clean_up_elsewhere(tmp_path: Path, header: Header, make_rows: Any) -> None:
    """Another program compacts and drops every old file while this handle is open."""
    from datetime import timedelta

    import lancedb

    writer = ChunkStore.open(tmp_path / "kb", create=header)
    writer.put([make_rows(f"d{number}", ["same words ", "more"]) for number in range(20)])
    reader = ChunkStore.open(tmp_path / "kb")
    assert len(reader.matching(["words"], limit=50)) == 20
    for number in range(10):
        writer.put([make_rows(f"d{number}", ["new words"])])
        lancedb.connect(tmp_path / "kb").open_table("chunks").optimize(cleanup_older_than=timedelta(0), delete_unverified=True)
        assert len(reader.matching(["new"], limit=50)) == number + 1
        assert len(reader.nearest(np.ones(8, np.float32), limit=99)) == 40 - number - 1


def test_the_last_recipe_is_the_newest(store: ChunkStore, make_rows: Any) -> None:
    assert store.last_recipe() == "first"
    store.put([make_rows("a", ["x"], recipe="old")])
    store.put([make_rows("b", ["y"], recipe="new\ud800")])
    assert store.last_recipe() == "new\ud800"


def test_a_closed_store_says_so(store: ChunkStore) -> None:
    store.close()
    with pytest.raises(StoreError, match="closed"):
        store.document_ids()


def test_encodings_are_stored_and_a_table_of_format_1_stays_usable_without(
    tmp_path: Path, header: Header, make_rows: Any
) -> None:
    plain = make_rows("a", ["one two"])
    late = replace(plain, chunks=[replace(plain.chunks[0], encoding=Encoding(plain=0.5, overlap=7))])
    new = ChunkStore.open(tmp_path / "new", create=header)
    new.put([late])
    assert new.chunks_of("a") == list(late.chunks)
    new.close()
    ChunkStore.open(tmp_path / "old", create=replace(header, format=1)).close()
    old = ChunkStore.open(tmp_path / "old")
    assert old.header.format == 1
    old.put([plain])
    with pytest.raises(StoreFormatError, match="format 1"):
        old.put([late])
    assert old.chunks_of("a") == list(plain.chunks)
    old.close()
