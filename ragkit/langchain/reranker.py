"""Rerankers as LangChain's document compressors, and LangChain's compressors as rerankers."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Sequence
from typing import Any

from langchain_core.callbacks import Callbacks
from langchain_core.documents import BaseDocumentCompressor
from langchain_core.documents import Document as LangChainDocument
from pydantic import ConfigDict, Field

from ragkit.errors import InvalidInputError
from ragkit.index import Index
from ragkit.rerank import CompressedReranker, TextReranker
from ragkit.rerank.texts import ALONE, Score


class RagkitReranker(BaseDocumentCompressor):
    """Documents in the order of their scores, each with ``metadata["relevance_score"]``; none is dropped, changed or lost.

    With ``index`` the documents that it holds (by chunk id, or by document id where the document is one chunk) are scored by their stored
    codes and their text is not read; others are compressed on the fly. ``top_n`` keeps the best so many, None all.
    ``reranker`` is a CompressedReranker, or anything with ``scores(query, texts)`` such as CrossEncoderReranker. The scores are the reranker's
    own (for CompressedReranker in [-1, 1]); equal ones keep the order in which the documents came.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True)

    reranker: Any = Field(default_factory=CompressedReranker)
    index: Index | None = None
    top_n: int | None = Field(default=None, ge=1)

    def compress_documents(
        self, documents: Sequence[LangChainDocument], query: str, callbacks: Callbacks | None = None
    ) -> list[LangChainDocument]:
        """Copies of the documents, best first. Raises InvalidInputError for a blank query."""
        if not query.strip():
            raise InvalidInputError(f"The query {query!r} is blank; ask with at least one word.")
        if not documents:
            return []
        scores = self._scores(documents, query)
        order = sorted(range(len(documents)), key=lambda at: (-scores[at], at))
        return [_scored(documents[at], scores[at]) for at in order[: self.top_n]]

    async def acompress_documents(
        self, documents: Sequence[LangChainDocument], query: str, callbacks: Callbacks | None = None
    ) -> list[LangChainDocument]:
        """``compress_documents`` in a worker thread of the running loop."""
        return await asyncio.to_thread(self.compress_documents, documents, query, callbacks)

    def _scores(self, documents: Sequence[LangChainDocument], query: str) -> list[float]:
        texts = [document.page_content for document in documents]
        if self.index is None or not isinstance(self.reranker, CompressedReranker):
            found = self.reranker.scores(query, texts)
            return [float(found[at]) for at in range(len(texts))]
        return self.index.codes.scores(self.reranker, query, ids=[document.id for document in documents], texts=texts)


def _scored(document: LangChainDocument, score: float) -> LangChainDocument:
    metadata = copy.deepcopy(document.metadata) | {"relevance_score": score}
    return document.model_copy(update={"metadata": metadata})


def reranker_from(compressor: BaseDocumentCompressor, *, depth: int = 100) -> TextReranker:
    """A LangChain compressor that reranks, for ``index.search(..., rerank=...)``; it reads the hits' text.

    Its order counts, and ``metadata["relevance_score"]`` where it gives one to every document; hits it leaves out keep their place.
    Raises InvalidInputError, when it is asked, for a compressor that makes other documents out of those it gets.
    """
    return TextReranker(_score_of(compressor), weights=ALONE, depth=depth)


def _score_of(compressor: BaseDocumentCompressor) -> Score:
    def score(query: str, texts: Sequence[str]) -> dict[int, float]:
        asked = [LangChainDocument(page_content=text, metadata={"ragkit": at}) for at, text in enumerate(texts)]
        kept = list(compressor.compress_documents(asked, query))
        numbers = [document.metadata.get("ragkit") for document in kept]
        if len(set(numbers)) != len(numbers) or not all(isinstance(at, int) and 0 <= at < len(texts) for at in numbers):
            raise InvalidInputError(
                f"{type(compressor).__name__} does not give back the documents it got, each at most once, so it cannot rerank hits."
            )
        told = [document.metadata.get("relevance_score") for document in kept]
        values = (
            [-float(rank) for rank in range(len(kept))]
            if any(one is None for one in told)
            else [float(one) for one in told if one is not None]
        )
        return {at: value for at, value in zip(numbers, values, strict=True) if isinstance(at, int)}

    return score
