"""Late and situated recipes through LangChain's interfaces."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import numpy as np
import pytest
from langchain_core.documents import BaseDocumentTransformer, Document
from langchain_core.embeddings import DeterministicFakeEmbedding

import ragkit
from ragkit.chunk import Late, RecursiveChunker, Situate
from ragkit.errors import CapabilityError
from ragkit.langchain import RagkitDocumentTransformer, RagkitRetriever, RagkitTextSplitter, RagkitVectorStore
from ragkit.testing.embedders import HashEmbedder

TEXT = "The pump has a seal. It wears out.\n\nChange it in spring. The part is cheap.\n\nCats sleep all day."
DOCUMENTS = [Document(id="garden", page_content=TEXT, metadata={"title": "Garden manual", "source": "garden.md"})]
SITUATED = RecursiveChunker(34, tokenizer="words") | Situate(before=1, max_tokens=20)
LATE = RecursiveChunker(14, tokenizer="words") | Late(blend=0.5)


@pytest.mark.parametrize("chunker", [SITUATED, LATE], ids=["situated", "late"])
@pytest.mark.parametrize("add_context", [False, True])
def test_store_of_any_recipe(tmp_path: Path, chunker: ragkit.chunk.Pipeline, add_context: bool) -> None:
    store = RagkitVectorStore.from_documents(
        DOCUMENTS, HashEmbedder(), path=tmp_path / "kb", chunker=chunker, add_context=add_context
    )
    found = store.similarity_search("change the pump's seal in spring", k=3)
    assert len(found) == 3
    for part in found:
        start, end = part.metadata["start_index"], part.metadata["end_index"]
        assert part.page_content == TEXT[start:end]
        assert "Garden manual" not in part.page_content
        assert ("context" in part.metadata) == (add_context and chunker is SITUATED)
    if add_context and chunker is SITUATED:
        assert all(part.metadata["context"].startswith("Garden manual") for part in found)
        assert store.get_by_ids([found[0].id or ""]) == [found[0]]
    assert "context" not in RagkitRetriever(index=store.index).invoke("seal", k=1)[0].metadata
    assert store.get_by_ids(["garden"])[0].page_content == TEXT


def test_context_moves_vectors(tmp_path: Path) -> None:
    """What a chunk does not say itself is found by its context."""
    plain = RagkitVectorStore.from_documents(
        DOCUMENTS, HashEmbedder(), path=tmp_path / "a", chunker=RecursiveChunker(14, tokenizer="words")
    )
    situated = RagkitVectorStore.from_documents(DOCUMENTS, HashEmbedder(), path=tmp_path / "b", chunker=SITUATED)
    scores = []
    for store in (plain, situated):
        hits = store.similarity_search_with_score("garden manual", k=3, mode="dense")
        scores += [score for part, score in hits if part.page_content.startswith("Cats")]
    assert scores[1] > scores[0] + 0.1


def test_langchain_embeddings_read_context_but_not_the_document(tmp_path: Path) -> None:
    fake = DeterministicFakeEmbedding(size=16)
    store = RagkitVectorStore.from_documents(DOCUMENTS, fake, path=tmp_path / "kb", chunker=SITUATED, name="fake")
    assert store.similarity_search("seal", k=1)
    with pytest.raises(CapabilityError, match="one vector per text"):
        RagkitVectorStore.from_documents(DOCUMENTS, fake, path=tmp_path / "late", chunker=LATE, name="fake")


@pytest.mark.parametrize("chunker", [SITUATED, LATE], ids=["situated", "late"])
def test_transformer_for_other_stores(chunker: ragkit.chunk.Pipeline) -> None:
    """Pieces and the vectors that belong to them, the same as in an index of ours."""
    embedder = HashEmbedder()
    documents = [*DOCUMENTS, Document(page_content="Trains run.", metadata={"day": date(2024, 1, 1)})]
    transformer = RagkitDocumentTransformer(chunker, embedder=embedder)
    assert isinstance(transformer, BaseDocumentTransformer)
    pieces, vectors = transformer.embed_documents(documents)
    assert pieces == transformer.transform_documents(documents)
    assert "".join(piece.page_content for piece in pieces[:-1]) == TEXT
    assert pieces[-1].metadata == {"day": date(2024, 1, 1), "start_index": 0}
    assert all("context" not in piece.metadata for piece in pieces)
    document = ragkit.Document(TEXT, id="garden", metadata=DOCUMENTS[0].metadata)
    np.testing.assert_allclose(vectors[:-1], embedder.embed_chunks(document, chunker(document)), atol=1e-6)
    assert not np.allclose(vectors[0], embedder.embed_texts([pieces[0].page_content])[0], atol=1e-3)
    told = RagkitDocumentTransformer(chunker, embedder=embedder, add_context=True).transform_documents(documents)
    assert any("context" in piece.metadata for piece in told) == (chunker is SITUATED)
    assert transformer.embed_documents([]) == ([], [])


def test_default_embedder_is_the_real_model() -> None:
    transformer = RagkitDocumentTransformer(RecursiveChunker(40) | Late(blend=0.5))
    pieces, vectors = transformer.embed_documents(DOCUMENTS)
    assert len(pieces) == len(vectors)
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(1.0, abs=1e-5)


def test_splitter_keeps_texts() -> None:
    pieces = RagkitTextSplitter(SITUATED).split_documents(DOCUMENTS)
    assert "".join(piece.page_content for piece in pieces) == TEXT
