"""Reranking through an index: codes beside the chunks, made once, and never a look at the text."""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ragkit import Document, Index
from ragkit.chunk import FixedChunker, Late
from ragkit.embed import CachedEmbedder
from ragkit.errors import CapabilityError, InvalidInputError, StoreError, StoreMismatchError
from ragkit.rerank import CompressedReranker, TokenCompressor
from ragkit.seams import Vectors
from ragkit.store.codes import CodeTable
from ragkit.testing.embedders import HashEmbedder, HashReader
from ragkit.types import Hit, ModelCard

WORDS = [
    "cat",
    "mat",
    "rain",
    "town",
    "dog",
    "night",
    "bark",
    "river",
    "bridge",
    "morning",
    "signs",
    "bits",
    "window",
    "passage",
    "question",
    "token",
    "late",
    "vector",
]
DOCUMENTS = [
    Document(" ".join(np.random.default_rng(seed).choice(WORDS, 60)) + f" special{seed}", id=f"d{seed}") for seed in range(30)
]
QUESTION = "river bridge morning special7"


@pytest.fixture
def reader() -> HashReader:
    return HashReader(dim=64)


@pytest.fixture(scope="module")
def compressor() -> TokenCompressor:
    texts = [document.text for document in DOCUMENTS]
    return TokenCompressor.untrained(HashReader(dim=64), texts, layers=(2, 1), vectors=8, bits=64)


@pytest.fixture
def index(tmp_path: Path, reader: HashReader, compressor: TokenCompressor) -> Iterator[Index]:
    with Index(tmp_path / "kb", embedder=reader, compressor=compressor, chunker=FixedChunker(20)) as made:
        made.add(DOCUMENTS)
        yield made


def state(index: Index) -> tuple[int, int, int]:
    (one,) = index.codes.status()
    return one.chunks, one.missing, one.left_over


def test_a_fresh_index_is_reranked_by_codes_alone(
    index: Index, compressor: TokenCompressor, reader: HashReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The codes say the same as the texts, and with no text at hand the result stays what it was."""
    reranker = CompressedReranker(compressor)
    chunks = index.stats().chunks
    assert state(index) == (chunks, 0, 0)
    by_text = CompressedReranker(compressor, reader=reader)(QUESTION, index.search(QUESTION, k=100))
    hits = index.search(QUESTION, k=100, rerank=reranker)
    assert [hit.chunk.id for hit in hits] == [hit.chunk.id for hit in by_text]
    assert [hit.score for hit in hits] == pytest.approx([hit.score for hit in by_text])
    assert hits[0].chunk.doc_id == "d7"

    rank = CompressedReranker.rank

    def blind(self: Any, query: Any, found: Any, codes: Any) -> Any:
        return rank(self, query, [replace(hit, chunk=replace(hit.chunk, text="", context="")) for hit in found], codes)

    monkeypatch.setattr(CompressedReranker, "rank", blind)
    monkeypatch.setattr(HashReader, "read_texts", lambda *_, **__: pytest.fail("a text was read"))
    monkeypatch.setattr(HashReader, "_passes", passes_of_questions(HashReader._passes))
    monkeypatch.setattr(HashReader, "read_queries", queries_alone)
    again = index.search(QUESTION, k=100, rerank=reranker)
    same(again, hits)


def passes_of_questions(passes: Any) -> Any:
    def only(self: HashReader, text: str, layers: Any) -> Any:
        assert text == QUESTION
        return passes(self, text, layers)

    return only


def queries_alone(self: HashReader, texts: list[str], *, layers: Any) -> Any:
    return [self._passes(text, layers)[0] for text in texts]


def test_a_question_is_read_once_for_vector_and_tokens(index: Index, compressor: TokenCompressor, reader: HashReader) -> None:
    before = reader.calls, reader.reads
    index.search(QUESTION, rerank=CompressedReranker(compressor))
    assert (reader.calls - before[0], reader.reads - before[1]) == (1, 1)


def test_many_questions_and_async_give_what_single_ones_give(index: Index, compressor: TokenCompressor) -> None:
    reranker = CompressedReranker(compressor, depth=20)
    questions = [QUESTION, "special3 dog", "window of bits", "rain " * 2000]
    alone = [index.search(question, k=7, fetch_k=30, rerank=reranker) for question in questions]
    for hits, expected in zip(index.search_many(questions, k=7, fetch_k=30, rerank=reranker), alone, strict=True):
        same(hits, expected)
    same(asyncio.run(index.asearch(questions[1], k=7, fetch_k=30, rerank=reranker)), alone[1])
    same(index.search(QUESTION, k=3, fetch_k=30, rerank=reranker), alone[0][:3])


def same(hits: Sequence[Hit], expected: Sequence[Hit]) -> None:
    """The same chunks in the same order; a multiplication on several threads may round the last digit otherwise."""
    assert [hit.chunk.id for hit in hits] == [hit.chunk.id for hit in expected]
    assert [hit.score for hit in hits] == pytest.approx([hit.score for hit in expected], abs=1e-5)
    assert ["rerank" in hit.parts for hit in hits] == ["rerank" in hit.parts for hit in expected]


@pytest.mark.parametrize("mode", ["dense", "bm25"])
def test_modes_of_one_arm(index: Index, compressor: TokenCompressor, mode: Any) -> None:
    hits = index.search(QUESTION, mode=mode, rerank=CompressedReranker(compressor))
    assert set(hits[0].parts) == {"rerank", mode}
    assert hits[0].chunk.doc_id == "d7"


def test_no_compressor_no_codes(tmp_path: Path, compressor: TokenCompressor) -> None:
    with Index(tmp_path / "kb", embedder=HashReader(dim=64), compressor=None) as index:
        index.add(DOCUMENTS)
        assert index.codes.status() == []
        plain = index.search(QUESTION)
        with pytest.warns(RuntimeWarning, match="have no codes"):
            assert index.search(QUESTION, rerank=CompressedReranker(compressor)) == plain
        assert index.codes.fill(compressor) == index.stats().chunks
        assert index.codes.fill(compressor) == 0
        assert index.search(QUESTION, rerank=CompressedReranker(compressor))[0].parts["rerank"].rank == 1


def test_filled_codes_are_those_of_adding_and_dropping_leaves_the_text(index: Index, compressor: TokenCompressor) -> None:
    reranker = CompressedReranker(compressor)
    before = index.search_many([QUESTION, "dog"], rerank=reranker)
    text = index.get_chunks([before[0][0].chunk.id])[0].text
    assert index.codes.drop(compressor) == 1
    assert index.codes.drop() == 0
    assert index.get_chunks([before[0][0].chunk.id])[0].text == text
    index.codes.fill(compressor, progress=True)
    for hits, expected in zip(index.search_many([QUESTION, "dog"], rerank=reranker), before, strict=True):
        same(hits, expected)


def test_filling_goes_on_where_it_was_interrupted(
    tmp_path: Path, reader: HashReader, compressor: TokenCompressor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ragkit.index.codes._CHUNKS", 10)
    with Index(tmp_path / "kb", embedder=reader, compressor=None, chunker=FixedChunker(20)) as index:
        index.add(DOCUMENTS)
        read = HashReader.embed_and_read
        rounds = iter(range(100))

        def tired(self: HashReader, items: Any, **asked: Any) -> Vectors:
            if next(rounds) == 3:
                raise KeyboardInterrupt
            return read(self, items, **asked)

        monkeypatch.setattr(HashReader, "embed_and_read", tired)
        with pytest.raises(KeyboardInterrupt):
            index.codes.fill(compressor)
        done, missing, _ = state(index)
        assert 0 < done < index.stats().chunks
        assert index.codes.fill(compressor) == missing
        assert state(index) == (index.stats().chunks, 0, 0)


def test_a_kill_between_the_tables_leaves_missing_codes_only(
    tmp_path: Path, compressor: TokenCompressor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where chunks keep their ids and are read anew: late chunks of a document whose end changed."""
    late = FixedChunker(20) | Late()
    path = tmp_path / "kb"
    with Index(path, embedder=Windowed(), compressor=compressor, chunker=late) as index:
        index.add(DOCUMENTS)
        changed = [Document(document.text + " and an end", id=document.id) for document in DOCUMENTS[:10]]
        monkeypatch.setattr("ragkit.index.compressing.CodeWriter.after", lambda *_: killed())
        with pytest.raises(SystemExit):
            index.add(changed)
        monkeypatch.undo()
    with Index(path, embedder=Windowed(), compressor=compressor, chunker=late) as index:
        chunks, missing, _ = state(index)
        assert missing == sum(len(index.chunks_of(document.id)) for document in changed)
        with pytest.warns(RuntimeWarning, match="have no codes"):
            hits = index.search(QUESTION, k=100, rerank=CompressedReranker(compressor))
        assert {hit.chunk.doc_id for hit in hits if "rerank" not in hit.parts} <= {document.id for document in changed}
        assert index.codes.fill() == missing
        assert state(index)[:2] == (chunks + missing, 0)


class Windowed(HashReader):
    def __init__(self) -> None:
        super().__init__(dim=64)


def killed() -> None:
    raise SystemExit


def test_what_is_known_is_not_read_again(index: Index, reader: HashReader) -> None:
    reads = reader.reads
    index.add([Document(DOCUMENTS[0].text, id="a copy")])
    assert reader.reads == reads
    assert state(index)[1] == 0
    index.delete("d0")
    assert state(index)[2] == len(index.chunks_of("a copy"))
    index.add([Document(DOCUMENTS[0].text, id="another")])
    assert reader.reads == reads
    index.optimize()
    assert state(index) == (index.stats().chunks, 0, 0)


def test_chunks_without_codes_get_them_when_their_document_changes(
    tmp_path: Path, reader: HashReader, compressor: TokenCompressor
) -> None:
    path = tmp_path / "kb"
    with Index(path, embedder=reader, compressor=None, chunker=FixedChunker(20)) as index:
        index.add(DOCUMENTS[:2])
        vectors = index.vectors([chunk.id for chunk in index.chunks_of("d0")])
    with Index(path, embedder=reader, compressor=compressor, chunker=FixedChunker(20)) as index:
        index.add([replace(DOCUMENTS[0], metadata={"new": True}), DOCUMENTS[1]])
        assert state(index)[:2] == (len(index.chunks_of("d0")), len(index.chunks_of("d1")))
        np.testing.assert_array_equal(index.vectors([chunk.id for chunk in index.chunks_of("d0")]), vectors)


def test_two_compressors_in_one_database(index: Index, compressor: TokenCompressor) -> None:
    small = TokenCompressor(compressor.parameters, vectors=4)
    hits = index.search(QUESTION, rerank=CompressedReranker(compressor))
    index.codes.fill(small)
    assert sorted(one.compressor.vectors for one in index.codes.status()) == [4, 8]
    same(index.search(QUESTION, rerank=CompressedReranker(compressor)), hits)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        index.search(QUESTION, rerank=CompressedReranker(small))
    assert index.codes.drop(small) == 1
    assert state(index)[1] == 0


def test_candidates_deleted_before_they_are_reranked(index: Index, compressor: TokenCompressor) -> None:
    reranker = CompressedReranker(compressor)
    hits = index.search(QUESTION, k=20)
    asked = index.codes.ask(reranker, [QUESTION], dense=True)
    (whole,) = index.codes.rerank(asked, [hits])
    index.delete("d7")
    # The codes are there until somebody tidies up, and what was found is ranked as if nothing had happened.
    same(index.codes.rerank(asked, [hits])[0], whole)
    index.optimize()
    with pytest.warns(RuntimeWarning, match="have no codes"):
        (found,) = index.codes.rerank(asked, [hits])
    assert sorted(hit.chunk.id for hit in found) == sorted(hit.chunk.id for hit in hits)
    assert all(("rerank" in hit.parts) == (hit.chunk.doc_id != "d7") for hit in found)


def test_codes_dropped_and_filled_by_another_process(index: Index, compressor: TokenCompressor, tmp_path: Path) -> None:
    reranker = CompressedReranker(compressor)
    hits = index.search(QUESTION, rerank=reranker)
    with Index(tmp_path / "kb", embedder=HashReader(dim=64)) as other:
        other.codes.drop()
        with pytest.warns(RuntimeWarning, match="have no codes"):
            index.search(QUESTION, rerank=reranker)
        other.codes.fill(compressor)
    same(index.search(QUESTION, rerank=reranker), hits)


def test_partial_codes_count_as_missing(index: Index, compressor: TokenCompressor, tmp_path: Path) -> None:
    table = CodeTable.open(tmp_path / "kb", compressor.card.fingerprint[:12])
    assert table is not None
    (chunk, *_) = index.chunks_of("d7")
    rows = table.read([chunk.id])
    table.put(replace(rows, windows=rows.windows + 1), ["whatever"])
    assert state(index)[1] == 1
    with pytest.warns(RuntimeWarning, match="1 of 100 hits have no codes"):
        index.search(QUESTION, rerank=CompressedReranker(compressor))
    assert index.codes.fill(compressor) == 1


def test_a_model_the_compressor_was_not_made_for(tmp_path: Path, compressor: TokenCompressor) -> None:
    index = Index(tmp_path / "kb", embedder=HashReader(dim=32), compressor=compressor)
    with pytest.raises(CapabilityError, match="hash of 64"):
        index.add(DOCUMENTS)
    index.close()
    with pytest.raises(InvalidInputError, match="compressor is 'best'"):
        Index(tmp_path / "kb", compressor="best")  # type: ignore[arg-type]


def test_a_remote_embedder_has_its_codes_from_a_small_model(tmp_path: Path, compressor: TokenCompressor) -> None:
    small = HashReader(dim=64)
    with Index(tmp_path / "kb", embedder=HashEmbedder(dim=16, name="remote")) as index:
        index.add(DOCUMENTS)
        assert index.codes.status() == []
        index.codes.fill(compressor, reader=small)
        hits = index.search(QUESTION, rerank=CompressedReranker(compressor, reader=small))
        assert hits[0].chunk.doc_id == "d7"
        assert hits[0].parts["rerank"].rank == 1
        prompted = HashReader(dim=64)
        prompted.card = replace(prompted.card, document_prompt="passage: ")
        with pytest.raises(StoreMismatchError, match="passage: "):
            index.search(QUESTION, rerank=CompressedReranker(compressor, reader=prompted))


@pytest.mark.parametrize(
    "changed",
    [{"weights": "other"}, {"settings": {"engine": "openai"}}, {"settings": {"engine": "transformers", "layers": "1"}}],
)
def test_codes_by_default_are_for_the_model_they_were_trained_for(
    tmp_path: Path, compressor: TokenCompressor, monkeypatch: pytest.MonkeyPatch, changed: dict[str, Any]
) -> None:
    monkeypatch.setattr("ragkit.index.codes.TokenCompressor", Shipped(compressor))
    reader = HashReader(dim=64)
    good = replace(reader.card, settings={"engine": "transformers", "layers": "all"})
    assert written(tmp_path / "a", reader, good)
    assert not written(tmp_path / "b", reader, replace(good, **changed | {"name": "x"}))
    cached = CachedEmbedder(reader, path=tmp_path / "cache.sqlite")
    with Index(tmp_path / "c", embedder=cached) as index:
        assert index.codes.compressor is None


class Shipped:
    def __init__(self, compressor: TokenCompressor) -> None:
        self.compressor = compressor

    def __call__(self) -> TokenCompressor:
        return self.compressor


def written(path: Path, reader: HashReader, card: ModelCard) -> bool:
    reader.card = card
    with Index(path, embedder=reader) as index:
        return index.codes.compressor is not None


def test_long_chunks_are_compressed_whole(tmp_path: Path, compressor: TokenCompressor) -> None:
    reader = HashReader(dim=64, window=2000)
    text = " ".join(np.random.default_rng(0).choice(WORDS, 900)) + " special7 river"
    with Index(tmp_path / "kb", embedder=reader, compressor=compressor, chunker=FixedChunker(1000)) as index:
        index.add([Document(text, id="long"), Document(" ".join(WORDS), id="short")])
        (chunk,) = index.chunks_of("long")
        table = CodeTable.open(tmp_path / "kb", compressor.card.fingerprint[:12])
        assert table is not None
        assert table.read([chunk.id]).windows.tolist() == [4, 4, 4, 4]
        assert index.search("special7", mode="dense", rerank=CompressedReranker(compressor))[0].chunk.doc_id == "long"


def test_writers_without_codes_and_restored_versions_leave_no_stale_codes(tmp_path: Path, compressor: TokenCompressor) -> None:
    """Late chunks keep their ids when the end of their document changes, and are read anew."""
    path, late = tmp_path / "kb", FixedChunker(20) | Late()
    changed = [Document(document.text + " and an end", id=document.id) for document in DOCUMENTS[:10]]
    with Index(path, embedder=Windowed(), compressor=compressor, chunker=late) as index:
        index.add(DOCUMENTS)
        index.history.tag("first")
        with Index(path, embedder=Windowed(), compressor=None, chunker=late) as other:
            other.add(changed)
        with pytest.warns(RuntimeWarning, match="have no codes"):
            hits = index.search(QUESTION, k=100, rerank=CompressedReranker(compressor))
        names = {document.id for document in changed}
        assert ["rerank" in hit.parts for hit in hits] == [hit.chunk.doc_id not in names for hit in hits]
        index.codes.fill()
        index.history.restore("first")
        with pytest.warns(RuntimeWarning, match="have no codes"):
            hits = index.search(QUESTION, k=100, rerank=CompressedReranker(compressor))
        assert {hit.chunk.doc_id for hit in hits if "rerank" not in hit.parts} == names & {hit.chunk.doc_id for hit in hits}
        assert index.codes.fill() > 0
        assert state(index)[1] == 0


def test_a_foreign_document_under_the_id_of_a_stored_one_is_read(index: Index, compressor: TokenCompressor) -> None:
    index.add(Document("special3 dog", id="one"))
    reranker = CompressedReranker(compressor)
    stored, foreign, bare, alone = (
        index.codes.scores(reranker, "special3 dog", ids=[name], texts=[text])[0]
        for name, text in [("one", "special3 dog"), ("one", "the rain"), ("one", ""), (None, "the rain")]
    )
    assert stored == bare
    assert foreign == alone != stored


def test_codes_of_an_old_version_are_for_reading(index: Index, compressor: TokenCompressor) -> None:
    reranker = CompressedReranker(compressor)
    before = index.search(QUESTION, rerank=reranker)
    with index.at(index.version) as old:
        index.add(Document("special3", id="new"))
        same(old.search(QUESTION, rerank=reranker), before)
        for write in (old.codes.fill, old.codes.drop, old.codes.optimize):
            with pytest.raises(StoreError, match="for reading only"):
                write()
    assert state(index)[1] == 0
