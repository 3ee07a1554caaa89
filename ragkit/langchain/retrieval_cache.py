"""Results of a retriever, given again for the same question and its paraphrases, as long as the index stands still."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping, Sequence
from typing import Any

from langchain_core.callbacks import AsyncCallbackManagerForRetrieverRun, CallbackManagerForRetrieverRun
from langchain_core.documents import Document
from langchain_core.load import dumps
from langchain_core.retrievers import BaseRetriever
from pydantic import ConfigDict, Field

from ragkit.cache import Outcome, Scope, SemanticCache, Verdict
from ragkit.errors import EmbeddingError, InvalidInputError, StoreError
from ragkit.langchain.answers import revived
from ragkit.langchain.retriever import RagkitRetriever

_LOG = logging.getLogger(__name__)
_SPARED = (StoreError, EmbeddingError)
#: What a function does cannot be compared; ``version`` has to say it.
_FUNCTIONS = ("rewrite", "rerank")


class RagkitCachedRetriever(BaseRetriever):
    """A ``RagkitRetriever`` that asks a ``SemanticCache`` first.

    The question is compared as the cache's policy allows. The tenant, ``access`` (what the asker may read), every setting of the
    retriever and of the call (``where`` among them), and the version of the index must match exactly: after any write to the
    index nothing found before it is given again. The documents behind a result are compared with the index once more before it is
    given, so an index made anew at the same place serves nothing old. ``version`` names what ``rewrite`` and ``rerank`` do, and is
    required where one is set.

    Where the policy asks for a judgement the search is made, and both results say the same if at least ``agree`` of their
    chunks are the same: a certified policy learns from searches alone, without a judge. Results whose metadata JSON does not give back
    exactly are not stored. A cache that fails is passed by with a warning in the log. Settings of a call are those of
    ``RagkitRetriever``.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True)

    retriever: RagkitRetriever
    cache: SemanticCache
    tenant: str = Field(min_length=1)
    access: Any = None
    version: str = ""
    agree: float = Field(default=0.8, gt=0, le=1)

    def _get_relevant_documents(
        self, query: str, *, run_manager: CallbackManagerForRetrieverRun, **changes: Any
    ) -> list[Document]:
        begun, scope = time.time(), self._scope(changes)
        verdict = self._asked(query, scope)
        found = None if verdict is None or verdict.answer is None else self._standing(verdict.answer)
        if found is not None and verdict is not None and not verdict.judge:
            return found
        fresh = self.retriever.invoke(query, config={"callbacks": run_manager.get_child()}, **changes)
        self._learn(query, scope, fresh, verdict, begun)
        return fresh

    async def _aget_relevant_documents(
        self, query: str, *, run_manager: AsyncCallbackManagerForRetrieverRun, **changes: Any
    ) -> list[Document]:
        begun, scope = time.time(), self._scope(changes)
        verdict = await asyncio.to_thread(self._asked, query, scope)
        found = None
        if verdict is not None and verdict.answer is not None:
            found = await asyncio.to_thread(self._standing, verdict.answer)
        if found is not None and verdict is not None and not verdict.judge:
            return found
        fresh = await self.retriever.ainvoke(query, config={"callbacks": run_manager.get_child()}, **changes)
        await asyncio.to_thread(self._learn, query, scope, fresh, verdict, begun)
        return fresh

    def _scope(self, changes: Mapping[str, Any]) -> Scope:
        """Everything that a result depends on beside the question. The index's version is read before it is searched."""
        settings = self.retriever._settings(changes)
        if any(settings[name] is not None for name in _FUNCTIONS) and not self.version:
            raise InvalidInputError(
                "rewrite or rerank is set, and version is empty: name what they do, version='reranked by m', so that results of another "
                "one are never given."
            )
        index = self.retriever.index
        plain = {name: _plain(value) for name, value in settings.items() if name not in _FUNCTIONS}
        using = {name: settings[name] is not None for name in _FUNCTIONS}
        return Scope(
            self.tenant,
            "retrieval",
            sampling=plain | using,
            access=self.access,
            documents=[str(index.path.resolve()), index.card.fingerprint, index.version],
            extra=self.version,
        )

    def _asked(self, query: str, scope: Scope) -> Verdict | None:
        try:
            return self.cache.lookup(query, scope=scope)
        except _SPARED as error:
            _LOG.warning("The cache could not be asked, and the index is searched: %s", error)
            return None

    def _standing(self, answer: str) -> list[Document] | None:
        """The stored documents, if each rests on what the index holds now."""
        read = _unpacked(answer)
        if read is None:
            return None
        found, digests = read
        return found if self.retriever.index.digests(list(digests)) == digests else None

    def _learn(self, query: str, scope: Scope, fresh: Sequence[Document], verdict: Verdict | None, begun: float) -> None:
        if verdict is None:
            return
        try:
            stored = self.cache.get(str(verdict.entry)) if verdict.judge else None
            before = _unpacked(stored.answer) if stored is not None else None
            if before is not None:
                self.cache.judged(verdict, same=_likeness(before[0], fresh) >= self.agree)
            names = sorted({name for one in fresh if (name := _source(one))})
            text = _packed(fresh, self.retriever.index.digests(names))
            outcome = Outcome(text="documents", error="" if text else "the documents cannot be stored exactly")
            self.cache.put(query, text or "-", outcome=outcome, scope=scope, sources=names, begun=begun)
        except _SPARED as error:
            _LOG.warning("The documents found could not be stored: %s", error)


def _plain(value: Any) -> Any:
    """What a scope can hold; what JSON has no name for enters as it is written in Python."""
    if value is None or isinstance(value, (str, bool, int, float)):
        return value
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return f"{type(value).__name__}: {value!r}"


def _source(document: Document) -> str:
    return str(document.metadata.get("ragkit", {}).get("document") or "")


def _likeness(left: Sequence[Document], right: Sequence[Document]) -> float:
    """The share of the texts in either that are in both; two empty results are alike."""
    one, other = ({(_source(document), document.page_content) for document in found} for found in (left, right))
    return len(one & other) / len(one | other) if one | other else 1.0


def _packed(found: Sequence[Document], digests: Mapping[str, str]) -> str | None:
    try:
        text = dumps({"documents": list(found), "digests": dict(digests)})
    except (TypeError, ValueError):
        return None
    return text if _unpacked(text) == (list(found), dict(digests)) else None


def _unpacked(text: str) -> tuple[list[Document], dict[str, str]] | None:
    """Documents and digests; None for what ``_packed`` did not make. Makes no object but documents."""
    try:
        data = revived(text, [Document])
        return list(data["documents"]), dict(data["digests"])
    except Exception:
        return None
