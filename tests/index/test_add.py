"""What ``Index.add`` stores, skips, reuses and refuses."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragkit import Chunk, Document, Index
from ragkit.chunk import FixedChunker, MarkdownChunker, RecursiveChunker
from ragkit.errors import DuplicateIdError, EmbeddingError, InvalidInputError, StoreError, StoreMismatchError
from ragkit.index.lines import lines_of
from ragkit.lexical import Analyzer
from ragkit.store import ChunkStore
from ragkit.testing.embedders import HashEmbedder
from ragkit.types import Span

TEXT = "First line here.\n\nSecond paragraph of words, and more of them.\nThird line."


def test_adding_again_changes_nothing(index: Index) -> None:
    documents = [Document(f"text number {n}", id=f"d{n}", metadata={"n": n}) for n in range(30)]
    first = index.add(iter(documents))
    assert (first.added, first.replaced, first.unchanged, first.chunks, first.embedded) == (30, 0, 0, 30, 30)
    assert first.seconds > 0
    version = index.stats().version
    again = index.add(documents)
    assert (again.added, again.unchanged, again.chunks, again.embedded, again.optimized) == (0, 30, 0, 0, False)
    assert index.stats().version == version


def test_a_single_document_needs_no_list(index: Index) -> None:
    assert index.add(Document(TEXT, id="a")).added == 1
    assert index.document_ids() == ["a"]


def test_a_changed_document_replaces_only_its_own_chunks_and_embeds_only_what_is_new(tmp_path: Path) -> None:
    embedder = HashEmbedder()
    index = Index(tmp_path / "kb", embedder=embedder, chunker=FixedChunker(max_tokens=4))
    words = [f"w{n}" for n in range(16)]
    index.add([Document(" ".join(words), id="a"), Document("something else here", id="b")])
    kept = index.chunks_of("b")
    words[-1] = "changed"
    report = index.add([Document(" ".join(words), id="a"), Document("something else here", id="b")])
    assert (report.replaced, report.unchanged) == (1, 1)
    assert (report.embedded, report.reused) == (1, report.chunks - 1)
    assert report.reused
    assert "".join(chunk.text for chunk in index.chunks_of("a")) == " ".join(words)
    assert index.chunks_of("b") == kept


def test_new_metadata_costs_no_embedding(index: Index) -> None:
    index.add(Document(TEXT, id="a", metadata={"year": 1}))
    report = index.add(Document(TEXT, id="a", metadata={"year": 2}))
    assert (report.replaced, report.embedded, report.reused) == (1, 0, 1)
    assert index.search("words", where={"year": 2})[0].chunk.metadata == {"year": 2}
    assert index.search("words", where={"year": 1}) == []


def test_a_moved_document_and_a_repeated_paragraph_are_embedded_once(index: Index) -> None:
    index.add(Document(TEXT, id="old name"))
    report = index.add([Document(TEXT, id="new name"), Document("twice", id="x"), Document("twice", id="y")])
    assert (report.added, report.embedded, report.reused) == (3, 1, 2)


def test_another_chunker_cuts_everything_anew(tmp_path: Path) -> None:
    documents = [Document(TEXT, id="a")]
    Index(tmp_path / "kb", embedder=HashEmbedder(), chunker=FixedChunker(max_tokens=4)).add(documents)
    index = Index(tmp_path / "kb", embedder=HashEmbedder(), chunker=FixedChunker(max_tokens=5))
    assert index.add(documents).replaced == 1
    assert all(chunk.n_tokens <= 5 for chunk in index.chunks_of("a"))
    reopened = Index(tmp_path / "kb", embedder=HashEmbedder())
    assert reopened.add(documents).unchanged == 1
    assert reopened.chunker.recipe == index.chunker.recipe == reopened.stats().chunker


def test_vectors_are_those_of_the_embedder(index: Index) -> None:
    document = Document(TEXT, id="a")
    index.add(document)
    expected = HashEmbedder().embed_chunks(document, index.chunks_of("a"))
    rows = ChunkStore.open(index.path).nearest(expected[0], limit=9)
    np.testing.assert_allclose(np.stack([row.vector for row in rows]), expected, rtol=1e-6)


def test_a_document_that_becomes_empty_is_removed_and_said(index: Index) -> None:
    index.add([Document(TEXT, id="a"), Document("b stays", id="b")])
    report = index.add([Document(" \n", id="a"), Document("", id="new"), Document("b stays", id="b")])
    assert (report.added, report.replaced, report.removed, report.unchanged) == (0, 0, 1, 1)
    assert dict(report.skipped).keys() == {"a", "new"}
    assert "removed" in dict(report.skipped)["a"]
    assert "removed" not in dict(report.skipped)["new"]
    assert index.document_ids() == ["b"]


def test_one_id_twice(index: Index) -> None:
    twice = Document("same", id="a", metadata={"n": 1})
    report = index.add([twice, twice, Document("same", id="a", metadata={"n": 1})])
    assert report.added == 1
    with pytest.raises(DuplicateIdError, match="'b'") as caught:
        index.add(
            [*(Document(f"t{n}", id=f"t{n}") for n in range(300)), Document("x", id="b"), Document("y", id="b")], batch_chunks=64
        )
    assert "stays" in caught.value.__notes__[0]
    kept = len(index.document_ids())
    assert kept > 64
    assert f"{kept - 1} documents" in caught.value.__notes__[0]
    with pytest.raises(DuplicateIdError):
        index.add([twice, replace(twice, metadata={"n": 2})])


@pytest.mark.parametrize("documents", ["a text", b"x", 3, None, {"a": 1}, ["text"], [None]])
def test_what_is_no_document(index: Index, documents: Any) -> None:
    with pytest.raises(InvalidInputError, match="Document"):
        index.add(documents)


@pytest.mark.parametrize("batch", [0, -1, 2.0, True])
def test_batch_chunks_out_of_range(index: Index, batch: Any) -> None:
    with pytest.raises(InvalidInputError, match="batch_chunks"):
        index.add([], batch_chunks=batch)


class Faulty(HashEmbedder):
    """Gives ``bad`` as the vector of every chunk that says "poison", or lets ``spoil`` change the whole matrix."""

    def __init__(self, bad: float | None = None, spoil: Any = None) -> None:
        super().__init__()
        self.bad, self.spoil = bad, spoil

    def embed_batch(self, items: Sequence[tuple[Document, Sequence[Chunk]]], /) -> Any:
        vectors = super().embed_batch(items)
        chunks = [chunk for _, some in items for chunk in some]
        for place, chunk in enumerate(chunks):
            if self.bad is not None and "poison" in chunk.text:
                vectors[place] = self.bad
        return self.spoil(vectors) if self.spoil else vectors


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), 0.0])
def test_unusable_vectors_name_their_chunk_and_nothing_of_the_batch_is_stored(tmp_path: Path, bad: float) -> None:
    index = Index(tmp_path / "kb", embedder=Faulty(bad))
    index.add(Document("stays", id="before"))
    with pytest.raises(EmbeddingError, match=r"document 'evil', characters 0 to 6"):
        index.add([Document("good", id="good"), Document("poison", id="evil")])
    assert index.document_ids() == ["before"]


def test_vectors_of_the_wrong_shape_and_failing_embedders(tmp_path: Path) -> None:
    def boom(_: Any) -> Any:
        raise ValueError("out of luck")

    for place, (spoil, message) in enumerate(
        [(lambda v: v[:, :-1], "shape"), (lambda v: v[:-1], "shape"), (boom, "out of luck")]
    ):
        index = Index(tmp_path / str(place), embedder=Faulty(spoil=spoil))
        with pytest.raises(EmbeddingError, match=message) as caught:
            index.add([Document("one", id="first"), Document("two", id="last")])
        assert "'first'" in str(caught.value)
        assert index.document_ids() == []


class Lawless(RecursiveChunker):
    """Breaks a law of chunks as ``how`` says."""

    def __call__(self, document: Document, /) -> list[Chunk]:
        (chunk,) = super().__call__(document)
        broken: dict[str, list[Chunk]] = {
            "text": [replace(chunk, text=chunk.text.upper())],
            "owner": [replace(chunk, doc_id="other")],
            "twins": [chunk, replace(chunk, index=1)],
            "order": [replace(chunk, index=5)],
            "empty": [replace(chunk, text="", end=chunk.start)],
        }
        return broken[document.id]


@pytest.mark.parametrize("how", ["text", "owner", "twins", "order", "empty"])
def test_a_chunker_that_breaks_its_law_stores_nothing(tmp_path: Path, how: str) -> None:
    index = Index(tmp_path / "kb", embedder=HashEmbedder(), chunker=Lawless())
    with pytest.raises(InvalidInputError, match=f"Lawless.*'{how}'"):
        index.add(Document("words", id=how))
    assert index.document_ids() == []


def test_documents_are_read_lazily_and_an_interrupted_call_resumes(index: Index) -> None:
    def endless() -> Iterator[Document]:
        for number in itertools.count():
            if number == 2000:
                raise KeyboardInterrupt
            yield Document(f"text {number}", id=f"d{number}")

    with pytest.raises(KeyboardInterrupt) as caught:
        index.add(endless(), batch_chunks=256)
    done = len(index.document_ids())
    assert 256 <= done < 2000
    assert f"{done} documents" in caught.value.__notes__[0]
    report = index.add([Document(f"text {number}", id=f"d{number}") for number in range(2000)])
    assert (report.unchanged, report.added) == (done, 2000 - done)


def test_five_thousand_small_documents(index: Index) -> None:
    documents = [
        Document(f"The small document {n} speaks of {n % 97} things.", id=f"d{n}", metadata={"n": n}) for n in range(5000)
    ]
    begun = time.process_time()
    report = index.add(documents)
    assert (report.added, report.chunks, report.optimized) == (5000, 5000, True)
    assert time.process_time() - begun < 20
    begun = time.process_time()
    assert index.add(documents).unchanged == 5000
    assert time.process_time() - begun < 5
    assert index.search("document 4321")[0].chunk.doc_id == "d4321"
    assert index.stats().unindexed == 0


def test_threads_add_and_search_at_once(index: Index) -> None:
    failures: list[BaseException] = []

    def run(part: int) -> None:
        try:
            for turn in range(3):
                index.add([Document(f"part {part} turn {turn} number {n}", id=f"d{n}") for n in range(20)])
                index.add([Document(f"own text {part} {n}", id=f"{part}:{n}") for n in range(10)])
                assert index.search("number text", k=5)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=run, args=(part,)) for part in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    ids = index.document_ids()
    assert len(ids) == len(set(ids)) == 60
    assert index.stats().chunks == 60


def test_an_optimize_that_fails_is_reported_and_loses_nothing(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: ChunkStore) -> None:
        raise StoreError("somebody else is compacting")

    monkeypatch.setattr(ChunkStore, "optimize", refuse)
    report = index.add([Document(f"text {n}", id=f"d{n}") for n in range(200)])
    assert (report.added, report.optimized) == (200, False)
    assert "somebody else is compacting" in report.note
    monkeypatch.undo()
    index.optimize()
    assert index.stats().unindexed == 0


def test_deleting(index: Index) -> None:
    index.add([Document(f"text {n}", id=f"it's {n}") for n in range(10)])
    assert index.delete("it's 1") == 1
    assert index.delete(["it's 2", "it's 2", "it's 3", "never there"]) == 2
    assert index.delete([]) == 0
    assert len(index.document_ids()) == 7
    assert index.add(Document("text 1", id="it's 1")).added == 1
    with pytest.raises(InvalidInputError):
        index.delete([3])  # type: ignore[list-item]


def test_chunkers_own_metadata_can_be_filtered(tmp_path: Path) -> None:
    index = Index(tmp_path / "kb", embedder=HashEmbedder(), chunker=MarkdownChunker(max_tokens=30))
    index.add(Document("# Top\n\nwords here\n\n## Below\n\nother words there\n", id="a", metadata={"lang": "en"}))
    (key,) = {key for chunk in index.chunks_of("a") for key in chunk.metadata} - {"lang"}
    assert index.search("words", where={"lang": "en", key: {"$exists": True}})


def test_another_model_another_analyzer_another_path(tmp_path: Path) -> None:
    Index(tmp_path / "kb", embedder=HashEmbedder(dim=16)).add(Document("x", id="a"))
    with pytest.raises(StoreMismatchError, match=r"'hash' \(dim 16\).*'hash' \(dim 32\)"):
        Index(tmp_path / "kb", embedder=HashEmbedder())
    with pytest.raises(StoreMismatchError, match="name was 'hash' and is 'other'"):
        Index(tmp_path / "kb", embedder=HashEmbedder(dim=16, name="other"))
    with pytest.raises(StoreMismatchError, match="analyzer"):
        Index(tmp_path / "kb", analyzer=Analyzer(max_length=20))
    with pytest.raises(StoreError, match="No index at"):
        Index(tmp_path / "typo", create=False)
    assert Index(tmp_path / "kb", create=False).document_ids() == ["a"]
    assert Index(str(tmp_path / "kb"), analyzer=Analyzer()).card.dim == 16


def test_a_chunker_with_a_tokenizer_of_its_own_is_not_guessed_anew(tmp_path: Path) -> None:
    chunker = RecursiveChunker(max_tokens=20, tokenizer="characters")
    Index(tmp_path / "kb", embedder=HashEmbedder(), chunker=chunker).add(Document("some text", id="a"))
    with pytest.raises(StoreMismatchError, match="Pass the chunker"):
        Index(tmp_path / "kb", embedder=HashEmbedder()).add(Document("other text", id="b"))
    assert Index(tmp_path / "kb", embedder=HashEmbedder(), chunker=chunker).add(Document("some text", id="a")).unchanged == 1


@given(st.text(st.sampled_from("ab \n\r"), max_size=30), st.data())
def test_lines_are_those_of_an_editor(text: str, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, len(text)))
    visible = [at for at in range(start, end) if not text[at].isspace()]
    first, last = (visible[0], visible[-1]) if visible else (start, start)

    def line(at: int) -> int:
        return (
            text[:at].replace("\r\n", "\n").replace("\r", "\n").count("\n")
            + 1
            - (text[:at].endswith("\r") and text[at : at + 1] == "\n")
        )

    chunk = Chunk(id="", doc_id="", start=start, end=end, text=text[start:end], window=Span(start, end), index=0, n_tokens=1)
    assert lines_of(text, [chunk]) == [(line(first), line(last))]
