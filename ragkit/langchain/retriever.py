"""An Index as a LangChain retriever."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypedDict, Unpack, cast

from langchain_core.callbacks import (
    AsyncCallbackManager,
    AsyncCallbackManagerForRetrieverRun,
    CallbackManager,
    CallbackManagerForRetrieverRun,
)
from langchain_core.documents import Document as LangChainDocument
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import RunnableConfig
from langchain_core.runnables.config import get_config_list, get_executor_for_config, set_config_context
from pydantic import ConfigDict

from ragkit.errors import InvalidInputError
from ragkit.index import Index
from ragkit.index.asking import Query
from ragkit.index.runs import run_hits
from ragkit.langchain.documents import explained, from_hits
from ragkit.retrieve import DEFAULT_FETCH_K, Mode, Rewriter, Shape, rewritten
from ragkit.types import Hit

_Answer = list[LangChainDocument] | Exception


class Settings(TypedDict, total=False):
    """What a call may give anew; None, or nothing, is the retriever's own."""

    k: int | None
    mode: Mode | None
    where: dict[str, Any] | None
    fetch_k: int | None
    shape: Shape | None
    rewrite: Rewriter | None
    rerank: Callable[[str, Sequence[Hit]], Sequence[Hit]] | None
    runs: int | None


class RagkitRetriever(BaseRetriever):
    """Search an index; each document says where it stands and why it ranked.

    Documents are those of ``RagkitVectorStore``, with ``metadata["ragkit"]`` added: ``citation`` (file:lines), ``lines``, ``document``
    and ``span`` (its id and the characters), ``score`` (higher is better), ``rank`` and ``parts``, each arm's score, rank and share.
    ``mode``, ``where``, ``fetch_k``, ``shape`` and ``rerank`` are those of ``Index.search``. ``rewrite`` puts a question into other words,
    such as ``MultiQuery(model)``; what was asked then stands in ``metadata["ragkit"]["asked"]``, with the cost and with what went
    wrong. ``runs`` is for an index of sentences: the most tokens of a run of them (``Index.search_runs``).

    Every setting can be given anew in a call: ``retriever.invoke(question, k=3, where={"lang": "en"})``. ``batch`` and ``abatch`` are one
    ``Index.search_many``; every input keeps its own config and callbacks.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True)

    index: Index
    k: int = 4
    mode: Mode = "hybrid"
    where: dict[str, Any] | None = None
    fetch_k: int = DEFAULT_FETCH_K
    shape: Shape | None = None
    rewrite: Callable[[str], Any] | None = None
    rerank: Callable[[str, Sequence[Hit]], Sequence[Hit]] | None = None
    runs: int | None = None

    def _get_relevant_documents(
        self, query: str, *, run_manager: CallbackManagerForRetrieverRun, **changes: Unpack[Settings]
    ) -> list[LangChainDocument]:
        return _or_raise(self._answers([query], [run_manager], {}, changes)[0])

    async def _aget_relevant_documents(
        self, query: str, *, run_manager: AsyncCallbackManagerForRetrieverRun, **changes: Unpack[Settings]
    ) -> list[LangChainDocument]:
        answers = await asyncio.to_thread(self._answers, [query], [run_manager.get_sync()], {}, changes)
        return _or_raise(answers[0])

    def batch(
        self,
        inputs: list[str],
        config: RunnableConfig | list[RunnableConfig] | None = None,
        *,
        return_exceptions: bool = False,
        **kwargs: Any,
    ) -> list[list[LangChainDocument]]:
        """All inputs in one search. With ``return_exceptions`` one that fails is asked again alone, and so are the others."""
        if not inputs:
            return []
        configs = get_config_list(config, len(inputs))
        runs = [
            CallbackManager.configure(**self._tracing(one, kwargs)).on_retriever_start(
                None, query, name=one.get("run_name") or self.get_name(), run_id=one.get("run_id")
            )
            for query, one in zip(inputs, configs, strict=True)
        ]
        answers = self._answers(inputs, runs, configs[0], kwargs, alone=return_exceptions)
        for run, answer in zip(runs, answers, strict=True):
            if isinstance(answer, Exception):
                run.on_retriever_error(answer)
            else:
                run.on_retriever_end(answer)
        return cast("list[list[LangChainDocument]]", answers) if return_exceptions else [_or_raise(one) for one in answers]

    async def abatch(
        self,
        inputs: list[str],
        config: RunnableConfig | list[RunnableConfig] | None = None,
        *,
        return_exceptions: bool = False,
        **kwargs: Any,
    ) -> list[list[LangChainDocument]]:
        """``batch`` in a worker thread, with the callbacks on the running loop."""
        if not inputs:
            return []
        configs = get_config_list(config, len(inputs))
        runs = [
            await AsyncCallbackManager.configure(**self._tracing(one, kwargs)).on_retriever_start(
                None, query, name=one.get("run_name") or self.get_name(), run_id=one.get("run_id")
            )
            for query, one in zip(inputs, configs, strict=True)
        ]
        managers = [run.get_sync() for run in runs]
        answers = await asyncio.to_thread(self._answers, inputs, managers, configs[0], kwargs, alone=return_exceptions)
        for run, answer in zip(runs, answers, strict=True):
            if isinstance(answer, Exception):
                await run.on_retriever_error(answer)
            else:
                await run.on_retriever_end(answer)
        return cast("list[list[LangChainDocument]]", answers) if return_exceptions else [_or_raise(one) for one in answers]

    def _tracing(self, config: RunnableConfig, changes: dict[str, Any]) -> dict[str, Any]:
        """What ``BaseRetriever.invoke`` gives its callbacks."""
        return {
            "inheritable_callbacks": config.get("callbacks"),
            "inheritable_tags": config.get("tags"),
            "local_tags": self.tags,
            "inheritable_metadata": {**(config.get("metadata") or {}), **self._get_ls_params(**changes)},
            "local_metadata": self.metadata,
        }

    def _answers(
        self,
        questions: Sequence[str],
        managers: Sequence[CallbackManagerForRetrieverRun],
        config: RunnableConfig,
        changes: Mapping[str, Any],
        *,
        alone: bool = False,
    ) -> list[_Answer]:
        """The documents for each question, or what went wrong; ``alone``: what fails together is tried one by one."""
        try:
            settings = self._settings(changes)
            queries = self._rewritten(questions, managers, config, settings.pop("rewrite"))
        except Exception as error:
            return [error] * len(questions)
        try:
            return list(self._search(queries, settings))
        except Exception as error:
            if not alone or len(queries) == 1:
                return [error] * len(queries)
        answers: list[_Answer] = []
        for query in queries:
            try:
                answers += self._search([query], settings)
            except Exception as error:
                answers.append(error)
        return answers

    def _settings(self, changes: Mapping[str, Any]) -> dict[str, Any]:
        known = Settings.__optional_keys__
        if unknown := set(changes) - known:
            raise InvalidInputError(f"The retriever got the unknown settings {sorted(unknown)}; it knows {sorted(known)}.")
        settings = {name: getattr(self, name) if changes.get(name) is None else changes[name] for name in known}
        if settings["runs"] is not None and settings["shape"] is not None:
            raise InvalidInputError(
                "runs and shape are both set: runs choose and expand hits by a rule of their own. Leave one out."
            )
        return settings

    def _rewritten(
        self,
        questions: Sequence[str],
        managers: Sequence[CallbackManagerForRetrieverRun],
        config: RunnableConfig,
        rewrite: Rewriter | None,
    ) -> list[Query]:
        if rewrite is None:
            return list(questions)

        def one(question: str, manager: CallbackManagerForRetrieverRun) -> Query:
            # A chat model in there is traced as a part of this retriever's run.
            with set_config_context({"callbacks": manager.get_child()}) as context:
                return context.run(rewritten, rewrite, question)

        with get_executor_for_config(config) as pool:
            return list(pool.map(one, questions, managers))

    def _search(self, queries: Sequence[Query], settings: dict[str, Any]) -> list[list[LangChainDocument]]:
        settings = dict(settings)
        runs, k = settings.pop("runs"), settings["k"]
        if runs is not None:
            settings["k"] = settings["fetch_k"]
        found = self.index.search_many(queries, **settings)
        if runs is not None:
            tokenizer = None if settings["mode"] == "bm25" else self.index.embedder.tokenizer
            found = [run_hits(hits, self.index.chunks_of, k=k, max_tokens=runs, gap=1, tokenizer=tokenizer) for hits in found]
        documents = iter(from_hits(self.index, [hit for hits in found for hit in hits]))
        return [[explained(next(documents), hit, query) for hit in hits] for query, hits in zip(queries, found, strict=True)]


def _or_raise(answer: _Answer) -> list[LangChainDocument]:
    if isinstance(answer, Exception):
        raise answer
    return answer
