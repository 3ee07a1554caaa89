"""Rerankers behind LangChain's compressor, and LangChain's compressors before ragkit's hits."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from langchain_core.documents import BaseDocumentCompressor
from langchain_core.documents import Document as LangChainDocument

from ragkit import Document, Index
from ragkit.chunk import FixedChunker
from ragkit.errors import InvalidInputError
from ragkit.langchain import RagkitReranker, reranker_from
from ragkit.rerank import CompressedReranker, TokenCompressor
from ragkit.testing.embedders import HashReader

TEXTS = [
    "The cat sat on the mat while it rained in the old town.",
    "Dogs bark at night, and nobody knows why they bark so much.",
    "Rain falls on the town; the river rises, and the bridge is closed until morning.",
    "A compressor merges tokens that say the same, so that few vectors stand for many.",
]
QUESTION = "is the bridge over the river closed until morning"


@pytest.fixture(scope="module")
def reader() -> HashReader:
    return HashReader(dim=64)


@pytest.fixture(scope="module")
def compressor(reader: HashReader) -> TokenCompressor:
    return TokenCompressor.untrained(reader, TEXTS, layers=(1,), vectors=8, bits=64)


@pytest.fixture
def index(tmp_path: Path, reader: HashReader, compressor: TokenCompressor) -> Iterator[Index]:
    with Index(tmp_path / "kb", embedder=reader, compressor=compressor, chunker=FixedChunker(64)) as made:
        made.add([Document(text, id=f"d{at}") for at, text in enumerate(TEXTS)])
        yield made


def documents(texts: Sequence[str] = TEXTS) -> list[LangChainDocument]:
    return [LangChainDocument(page_content=text, metadata={"at": at, "deep": {"x": 1}}) for at, text in enumerate(texts)]


def test_foreign_documents_are_scored_and_none_is_lost_or_changed(compressor: TokenCompressor, reader: HashReader) -> None:
    given = [*documents(), documents([TEXTS[2], ""])[0], documents([""])[0]]
    before = [document.model_copy(deep=True) for document in given]
    reranker = RagkitReranker(reranker=CompressedReranker(compressor, reader=reader))
    found = reranker.compress_documents(given, QUESTION)
    assert isinstance(reranker, BaseDocumentCompressor)
    assert given == before
    assert sorted(document.page_content for document in found) == sorted(document.page_content for document in given)
    # Equal texts keep the order in which they came.
    assert [document.metadata["at"] for document in found[:2]] == [2, 0]
    scores = [document.metadata["relevance_score"] for document in found]
    assert scores == sorted(scores, reverse=True)
    assert all(document.metadata["deep"] == {"x": 1} for document in found)
    assert asyncio.run(reranker.acompress_documents(given, QUESTION)) == found
    assert reranker.compress_documents([], QUESTION) == []
    best = RagkitReranker(reranker=CompressedReranker(compressor, reader=reader), top_n=1)
    assert best.compress_documents(given, QUESTION) == found[:1]
    with pytest.raises(InvalidInputError, match="blank"):
        reranker.compress_documents(given, " ")


def test_documents_of_the_index_need_no_text(index: Index, compressor: TokenCompressor, reader: HashReader) -> None:
    reranker = RagkitReranker(reranker=CompressedReranker(compressor), index=index)
    foreign = LangChainDocument(page_content="The bridge is closed.")
    whole = [LangChainDocument(page_content="", id=f"d{at}") for at in range(2)]
    by_chunk = [LangChainDocument(page_content="", id=index.chunks_of(f"d{at}")[0].id) for at in (2, 3)]
    found = reranker.compress_documents([*whole, *by_chunk, foreign], QUESTION)
    told = {document.id: document.metadata["relevance_score"] for document in found}
    expected = CompressedReranker(compressor, reader=reader).scores(QUESTION, [*TEXTS, foreign.page_content])
    for document, score in zip([*whole, *by_chunk, foreign], expected, strict=True):
        assert told[document.id] == pytest.approx(score, abs=1e-6)
    assert found[0].id == by_chunk[0].id


def test_a_document_with_neither_text_nor_codes_is_kept_and_told(index: Index, compressor: TokenCompressor) -> None:
    index.codes.drop()
    given = [LangChainDocument(page_content="", id="d2"), *documents(TEXTS[:2])]
    with pytest.warns(RuntimeWarning, match="1 of 3 passages have neither text nor codes"):
        found = RagkitReranker(reranker=CompressedReranker(compressor), index=index).compress_documents(given, QUESTION)
    assert found[-1].id == "d2"
    assert len(found) == 3


class Shortest(BaseDocumentCompressor):
    told: bool = True

    def compress_documents(self, documents: Sequence[LangChainDocument], query: str, callbacks: Any = None) -> Any:
        kept = sorted(documents, key=lambda document: len(document.page_content))[:3]
        for document in kept:
            if self.told:
                document.metadata["relevance_score"] = -len(document.page_content)
        return kept


class Rewrites(BaseDocumentCompressor):
    def compress_documents(self, documents: Sequence[LangChainDocument], query: str, callbacks: Any = None) -> Any:
        return [LangChainDocument(page_content="short")]


@pytest.mark.parametrize("told", [True, False])
def test_a_compressor_reranks_hits(index: Index, told: bool) -> None:
    hits = index.search(QUESTION, rerank=reranker_from(Shortest(told=told)))
    read = [hit for hit in hits if "rerank" in hit.parts]
    assert [len(hit.chunk.text) for hit in read] == sorted(len(text) for text in TEXTS)[:3]
    assert len(hits) == 4


def test_a_compressor_that_writes_other_documents_is_refused(index: Index) -> None:
    with pytest.raises(InvalidInputError, match="Rewrites does not give back"):
        index.search(QUESTION, rerank=reranker_from(Rewrites()))
