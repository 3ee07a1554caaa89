"""Context and encodings through an index: stored, searched as they ask for, embedded again only where they changed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ragkit import Document, Index
from ragkit.chunk import FixedChunker, Late, RecursiveChunker, SentenceChunker, Situate
from ragkit.errors import CapabilityError, InvalidInputError
from ragkit.testing.embedders import HashEmbedder

PETS = Document("They purr at night. They eat fish. They sleep all day.", id="cats", metadata={"title": "Felines"})
DOGS = Document("They bark at night. They eat meat. They run all day.", id="dogs", metadata={"title": "Hounds"})


@pytest.mark.parametrize("use", ["dense", "bm25", "both"])
def test_words_of_the_context_are_found_by_who_reads_it(tmp_path: Path, use: str) -> None:
    chunker = FixedChunker(30, tokenizer="words") | Situate(use=use, before=0, max_tokens=10, blend=1.0)  # type: ignore[arg-type]
    embedder = HashEmbedder(dim=512)
    with Index(tmp_path / "kb", chunker=chunker, embedder=embedder) as index:
        index.add([PETS, DOGS])
        by_words = index.search("hounds", mode="bm25", k=2)
        assert [hit.chunk.doc_id for hit in by_words] == ([] if use == "dense" else ["dogs"])
        by_meaning = index.search("hounds", mode="dense", k=1)[0]
        if use == "bm25":
            plain = embedder.embed_texts([by_meaning.chunk.text])
            np.testing.assert_allclose(index.vectors([by_meaning.chunk.id]), plain, atol=1e-6)
        else:
            assert by_meaning.chunk.doc_id == "dogs"
        assert "Hounds" not in by_meaning.chunk.text


def test_chunks_come_back_as_they_went_in(tmp_path: Path) -> None:
    chunker = RecursiveChunker(30, tokenizer="words") | Situate(max_tokens=10, document=0.25) | Late(blend=0.5, overlap=3)
    with Index(tmp_path / "kb", chunker=chunker, embedder=HashEmbedder()) as index:
        index.add(PETS)
    with Index(tmp_path / "kb", chunker=chunker, embedder=HashEmbedder(), create=False) as again:
        assert again.chunks_of("cats") == chunker(PETS)


def test_the_stored_vectors_are_those_of_the_whole_document(tmp_path: Path) -> None:
    """A document's mean is that of all its chunks, also when most of them are known from an earlier version."""
    chunker = FixedChunker(8, tokenizer="words") | Situate(title=False, before=0, max_tokens=0, document=0.5)
    embedder = HashEmbedder()
    longer = Document(PETS.text + " And they are never hungry again after that.", id="cats")
    with Index(tmp_path / "kb", chunker=chunker, embedder=embedder) as index:
        index.add(Document(PETS.text, id="cats"))
        report = index.add(longer)
        assert report.replaced == 1
        chunks = index.chunks_of("cats")
        np.testing.assert_allclose(
            index.vectors([chunk.id for chunk in chunks]), embedder.embed_chunks(longer, chunks), atol=1e-6
        )


def test_another_blend_is_another_recipe_and_an_equal_one_is_no_work(tmp_path: Path) -> None:
    embedder = HashEmbedder()
    half = FixedChunker(30, tokenizer="words") | Situate(blend=0.5, max_tokens=10)
    with Index(tmp_path / "kb", chunker=half, embedder=embedder) as index:
        index.add([PETS, DOGS])
        calls = embedder.calls
        assert index.add([PETS, DOGS]).unchanged == 2
        assert embedder.calls == calls
    third = FixedChunker(30, tokenizer="words") | Situate(blend=0.3, max_tokens=10)
    with Index(tmp_path / "kb", chunker=third, embedder=embedder) as index:
        assert index.add([PETS, DOGS]).replaced == 2


def test_the_chunker_is_rebuilt_from_the_database(tmp_path: Path) -> None:
    chunker = RecursiveChunker(40) | Situate(max_tokens=10) | Late(blend=0.5)
    with Index(tmp_path / "kb", chunker=chunker, embedder=HashEmbedder()) as index:
        index.add(PETS)
    with Index(tmp_path / "kb", embedder=HashEmbedder(), create=False) as again:
        assert again.add(PETS).unchanged == 1


@pytest.mark.parametrize(
    "step",
    [
        Situate(max_tokens=12),
        Situate(max_tokens=12, use="both", document=0.5),
        Situate(max_tokens=12, use="bm25"),
        Late(overlap=3),
    ],
)
def test_what_stands_around_a_chunk_is_never_stale(tmp_path: Path, step: Situate | Late) -> None:
    """Another title, or another sentence before a chunk that stayed, leaves what a new database would hold."""
    chunker = SentenceChunker(30, tokenizer="words", packing="one") | step
    embedder = HashEmbedder(dim=64)
    titled = Document(PETS.text, id="cats", metadata={"title": "Lions"})
    edited = Document(PETS.text.replace("purr at", "hunt by"), id="cats", metadata={"title": "Lions"})
    with Index(tmp_path / "kb", chunker=chunker, embedder=embedder) as index:
        index.add([PETS, DOGS])
        for place, version in enumerate((titled, edited)):
            assert index.add([DOGS, version], batch_chunks=1).replaced == 1
            with Index(tmp_path / f"fresh{place}", chunker=chunker, embedder=embedder) as fresh:
                fresh.add([version, DOGS])
                chunks = fresh.chunks_of("cats")
                assert index.chunks_of("cats") == chunks
                ids = [chunk.id for chunk in chunks]
                np.testing.assert_allclose(index.vectors(ids), fresh.vectors(ids), atol=1e-6)
                for words in ("lions", "felines", "hunt"):
                    found = [
                        [(hit.chunk.id, round(hit.score, 5)) for hit in one.search(words, mode="bm25")] for one in (index, fresh)
                    ]
                    assert found[0] == found[1]


@pytest.mark.parametrize(
    ("pooling", "step", "refused"),
    [
        ("cls", Late(), True),
        ("lasttoken", Late(blend=0.5), True),
        ("cls", Situate(), False),
        ("cls", Situate(use="bm25"), False),
        ("cls", Late(blend=0), False),
        ("remote", Late(), True),
        ("langchain", Situate(), False),
        ("mean", Late(), False),
    ],
)
def test_what_a_model_cannot_read_is_refused_when_the_index_is_opened(
    tmp_path: Path, pooling: str, step: Late | Situate, refused: bool
) -> None:
    """And no database is left behind; a database that is there is not asked for its model."""
    embedder = HashEmbedder()
    embedder.card = replace(embedder.card, pooling=pooling)
    chunker = RecursiveChunker(100) | step
    if not refused:
        Index(tmp_path / "kb", chunker=chunker, embedder=embedder).close()
        return
    with pytest.raises(CapabilityError, match=f"^{type(step).__name__} needs"):
        Index(tmp_path / "kb", chunker=chunker, embedder=embedder)
    assert not (tmp_path / "kb").exists()
    Index(tmp_path / "kb", embedder=embedder).close()
    with pytest.raises(CapabilityError, match=f"^{type(step).__name__} needs"):
        Index(tmp_path / "kb", chunker=chunker)
    with pytest.raises(
        InvalidInputError, match=r"^Late\(window=9000\) asks for passes longer than the window of 'hash', 512 tokens"
    ):
        Index(tmp_path / "kb", chunker=RecursiveChunker(100) | Late(window=9000))
    with pytest.raises(InvalidInputError, match=r"^Late\(overlap=512\) leaves nothing to advance by in passes of 512 tokens"):
        Index(tmp_path / "kb", chunker=RecursiveChunker(100) | Late(overlap=512))
