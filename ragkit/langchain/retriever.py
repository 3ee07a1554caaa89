"""An Index as a LangChain retriever."""

from __future__ import annotations

import asyncio
from typing import Any

from langchain_core.callbacks import AsyncCallbackManagerForRetrieverRun, CallbackManagerForRetrieverRun
from langchain_core.documents import Document as LangChainDocument
from langchain_core.retrievers import BaseRetriever
from pydantic import ConfigDict

from ragkit.index import Index
from ragkit.langchain.documents import explained, from_hits
from ragkit.retrieve import DEFAULT_FETCH_K, Mode
from ragkit.types import Hit


class RagkitRetriever(BaseRetriever):
    """Search an index; each document says where it stands and why it ranked.

    Documents are those of ``RagkitVectorStore``, with ``metadata["ragkit"]`` added: ``citation`` (file:lines),
    ``lines``, ``score`` (higher is better), ``rank`` and ``parts``, each arm's score, rank and share. Every setting
    can be given anew in a call: ``retriever.invoke(question, k=3, where={"lang": "en"})``.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True)

    index: Index
    k: int = 4
    mode: Mode = "hybrid"
    where: dict[str, Any] | None = None
    fetch_k: int = DEFAULT_FETCH_K

    def _get_relevant_documents(
        self,
        query: str,
        *,
        run_manager: CallbackManagerForRetrieverRun,
        k: int | None = None,
        mode: Mode | None = None,
        where: dict[str, Any] | None = None,
        fetch_k: int | None = None,
    ) -> list[LangChainDocument]:
        return self._documents(self.index.search(query, **self._settings(k, mode, where, fetch_k)))

    async def _aget_relevant_documents(
        self,
        query: str,
        *,
        run_manager: AsyncCallbackManagerForRetrieverRun,
        k: int | None = None,
        mode: Mode | None = None,
        where: dict[str, Any] | None = None,
        fetch_k: int | None = None,
    ) -> list[LangChainDocument]:
        hits = await self.index.asearch(query, **self._settings(k, mode, where, fetch_k))
        return await asyncio.to_thread(self._documents, hits)

    def _settings(self, k: int | None, mode: Mode | None, where: dict[str, Any] | None, fetch_k: int | None) -> dict[str, Any]:
        return {
            "k": self.k if k is None else k,
            "mode": self.mode if mode is None else mode,
            "where": self.where if where is None else where,
            "fetch_k": self.fetch_k if fetch_k is None else fetch_k,
        }

    def _documents(self, hits: list[Hit]) -> list[LangChainDocument]:
        return [explained(document, hit) for document, hit in zip(from_hits(self.index, hits), hits, strict=True)]
