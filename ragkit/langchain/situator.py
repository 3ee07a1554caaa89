"""Any LangChain chat model as the one who says where a chunk stands."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import HumanMessage, SystemMessage
from langchain_core.runnables import Runnable

from ragkit.chunk import PromptedSituator
from ragkit.chunk.prompts import Prompt
from ragkit.chunk.verdict import Reply
from ragkit.errors import InvalidInputError
from ragkit.langchain.replies import read_reply
from ragkit.types import canonical_json, digest


class ChatSituator(PromptedSituator):
    """Words of a LangChain chat model about each chunk's place: ``Situate(write=ChatSituator(model, cache="context.db"))``.

    All of ``PromptedSituator`` holds: answers are kept in ``cache``, checked, and counted in ``report()``; ``estimate()``
    says before what it will cost. ``name`` enters recipes and keys; it defaults to the model's own ``model`` or
    ``model_name``, and must be given for a model that does not tell, or for a chain around one. Two models of one name and
    the same parameters (temperature, limits) share answers.

    Time-outs, retries and limits of an answer are the model's: ``ChatOpenAI(timeout=60, max_retries=3, max_tokens=200)``.
    ``prefix_mark`` is added to the message block that holds the document, for providers that want the text
    to cache marked: ``{"cache_control": {"type": "ephemeral"}}`` for Anthropic. OpenAI and others find it by themselves.

    Raises InvalidInputError for something that is no chat model, or has no name; later as PromptedSituator does.
    """

    def __init__(
        self,
        model: BaseChatModel | Runnable[Any, Any],
        *,
        cache: str | Path,
        name: str | None = None,
        words: int = 50,
        window: int = 32_000,
        concurrency: int = 4,
        patience: int = 10,
        prefix_mark: Mapping[str, Any] | None = None,
    ) -> None:
        if not isinstance(model, Runnable):
            raise InvalidInputError(f"model is a {type(model).__name__}; ChatSituator takes a LangChain chat model.")
        name = name or next(
            (value for key in ("model", "model_name") if isinstance(value := getattr(model, key, None), str)), None
        )
        if not name:
            raise InvalidInputError(
                f"{type(model).__name__} does not say which model it is; pass name= (it decides which answers are kept for it)."
            )
        self.model = model
        self._mark = dict(prefix_mark or {})
        super().__init__(
            self._reply,
            name=name,
            cache=cache,
            settings=_settings(model),
            words=words,
            window=window,
            concurrency=concurrency,
            patience=patience,
        )

    def _reply(self, prompt: Prompt) -> Reply:
        question: str | list[Any] = prompt.shown + prompt.passage
        if self._mark:
            question = [{"type": "text", "text": prompt.shown, **self._mark}, {"type": "text", "text": prompt.passage}]
        return read_reply(self.model.invoke([SystemMessage(prompt.task), HumanMessage(question)]))


def _settings(model: Runnable[Any, Any]) -> dict[str, Any]:
    """What the model says that its answers depend on, as a digest: it may be long."""
    told = getattr(model, "_identifying_params", None)
    known = _json_like(told) if isinstance(told, Mapping) else {}
    return {"parameters": digest(canonical_json(known))} if known else {}


def _json_like(value: Any) -> Any:
    """The part of a value that JSON can hold; the rest would differ from one process to the next."""
    if isinstance(value, Mapping):
        return {str(key): _json_like(item) for key, item in value.items() if _plain(item)}
    return [_json_like(item) for item in value if _plain(item)] if isinstance(value, (list, tuple)) else value


def _plain(value: Any) -> bool:
    return (
        isinstance(value, (str, int, bool, Mapping, list, tuple))
        or value is None
        or (isinstance(value, float) and value == value)
    )
