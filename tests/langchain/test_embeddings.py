"""Embedders across the door: unit vectors, honest errors, one truth about the model."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from langchain_core.embeddings import DeterministicFakeEmbedding, Embeddings

from ragkit.chunk import RecursiveChunker
from ragkit.errors import CapabilityError, EmbeddingError, InvalidInputError, TextTooLongError
from ragkit.langchain import LangChainEmbedder, RagkitEmbeddings
from ragkit.seams import Embedder
from ragkit.types import Document, Span

FAKE = DeterministicFakeEmbedding(size=6)


class Recording(Embeddings):
    """Counts calls, and gives whatever ``rows`` says."""

    def __init__(self, rows: Any = None) -> None:
        self.rows = rows
        self.calls: list[list[str]] = []

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        self.calls.append(texts)
        if isinstance(self.rows, Exception):
            raise self.rows
        return FAKE.embed_documents(texts) if self.rows is None else self.rows

    def embed_query(self, text: str) -> list[float]:
        rows = self.embed_documents([text])
        return rows[0]


def embedder(rows: Any = None, **options: Any) -> LangChainEmbedder:
    return LangChainEmbedder(Recording(rows), **({"name": "fake"} | options))


def test_it_is_an_embedder_of_unit_rows() -> None:
    part = embedder()
    assert isinstance(part, Embedder)
    vectors = part.embed_texts(["a", "b"])
    assert (vectors.shape, vectors.dtype) == ((2, 6), np.float32)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)
    given = np.array(FAKE.embed_query("a"))
    np.testing.assert_allclose(vectors[0], given / np.linalg.norm(given), atol=1e-6)
    np.testing.assert_array_equal(part.embed_query("a"), vectors[0])
    np.testing.assert_array_equal(part.embed_queries(["a", "b"]), vectors)


def test_dim_is_asked_once_and_only_when_needed() -> None:
    part = embedder()
    calls = part.embeddings.calls  # type: ignore[attr-defined]
    assert calls == []
    assert part.card.dim == part.card.dim == 6
    assert len(calls) == 1
    assert embedder(dim=6).card.dim == 6
    assert part.embed_texts([]).shape == part.embed_queries([]).shape == (0, 6)


def test_chunks_are_embedded_with_their_context_in_one_call() -> None:
    document = Document("one two three four five six")
    chunks = RecursiveChunker(max_tokens=2, tokenizer="words")(document)
    part = embedder(dim=6)
    situated = [replace(chunks[0], context="Title"), *chunks[1:]]
    vectors = part.embed_batch([(document, situated[:1]), (document, situated[1:])])
    assert part.embeddings.calls == [[f"Title\n{chunks[0].text}", *(chunk.text for chunk in chunks[1:])]]  # type: ignore[attr-defined]
    np.testing.assert_array_equal(part.embed_chunks(document, situated), vectors)


def test_a_wider_window_is_refused() -> None:
    document = Document("one two three")
    chunk = replace(RecursiveChunker(max_tokens=2, tokenizer="words")(document)[0], window=Span(0, 13))
    with pytest.raises(CapabilityError, match="wider than its span"):
        embedder().embed_chunks(document, [chunk])


def test_a_long_text_is_refused_where_it_can_be_counted() -> None:
    part = embedder(window=3, tokenizer="words")
    part.embed_texts(["one two three"])
    with pytest.raises(TextTooLongError, match="Text 1 has 4 tokens"):
        part.embed_texts(["one", "one two three four"])
    with pytest.raises(TextTooLongError):
        part.embed_query("one two three four")


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ([[1.0, math.nan], [1.0, 2.0]], "text 0 of 2"),
        ([[1.0, 2.0], [0.0, 0.0]], "text 1 of 2"),
        ([[1.0, math.inf], [1.0, 2.0]], "text 0 of 2"),
        ([[1.0, 2.0]], r"shape \(1, 2\) for 2 texts"),
        ([[1.0, 2.0], [1.0]], "unequal lengths"),
        ([[], []], "shape"),
        (None, "6 numbers where dim is 2"),
        (RuntimeError("server on fire"), "failed on 2 texts: RuntimeError: server on fire"),
    ],
)
def test_unusable_vectors_are_errors(rows: Any, says: str) -> None:
    with pytest.raises(EmbeddingError, match=says):
        embedder(rows, dim=2).embed_texts(["a", "b"])


def test_bad_arguments() -> None:
    with pytest.raises(InvalidInputError, match="name is empty"):
        embedder(name="")
    with pytest.raises(InvalidInputError, match="dim is 0"):
        embedder(dim=0)
    with pytest.raises(InvalidInputError, match="takes a langchain_core"):
        LangChainEmbedder(len, name="x")  # type: ignore[arg-type]


def test_there_and_back_again_is_the_same() -> None:
    part = embedder()
    around = LangChainEmbedder(RagkitEmbeddings(part), name="fake")
    np.testing.assert_allclose(around.embed_texts(["a", "b"]), part.embed_texts(["a", "b"]), atol=1e-6)
    np.testing.assert_allclose(around.embed_query("a"), part.embed_query("a"), atol=1e-6)
    assert around.card.dim == part.card.dim
