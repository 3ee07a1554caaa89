"""Generations as text and back, and whether they are whole answers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from langchain_core._api.beta_decorator import suppress_langchain_beta_warning
from langchain_core.load import dumps, loads
from langchain_core.load.serializable import Serializable
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, Generation, GenerationChunk

from ragkit.cache import Outcome

#: All that is ever made of what the store holds.
_CLASSES = (AIMessage, AIMessageChunk, ChatGeneration, ChatGenerationChunk, Generation, GenerationChunk)
_FINISH = ("finish_reason", "stop_reason", "done_reason")

# LangChain says once that its loader may change; nobody who uses this cache can do anything about it.
with suppress_langchain_beta_warning():
    loads("0", allowed_objects=[])


def revived(text: str, classes: Sequence[type[Serializable]]) -> Any:
    """What LangChain's ``dumps`` wrote; makes objects of these classes and no others. Any exception for a foreign text."""
    return loads(text, allowed_objects=classes)


def packed(generations: Sequence[Generation]) -> str | None:
    """The generations as JSON; None where reading it would not give the same ones again."""
    try:
        text = dumps(list(generations))
        same = unpacked(text) == list(generations)
    except (TypeError, ValueError):
        return None
    return text if same else None


def unpacked(text: str) -> list[Generation] | None:
    """The generations in a text that ``packed`` made; None for any other text. Makes no object but messages and generations."""
    try:
        found = revived(text, _CLASSES)
    except Exception:
        # A foreign text can fail in any way: in JSON, in the loader, or in the classes' own checks.
        return None
    whole = isinstance(found, list) and found and all(isinstance(one, Generation) for one in found)
    return found if whole else None


def text_of(generations: Sequence[Generation]) -> str:
    """Their texts, one after the other."""
    return "\n\n".join(one.text for one in generations)


def outcome_of(generations: Sequence[Generation], *, temperature: float | None = None, error: str = "") -> Outcome:
    """What came back, as far as storing it is concerned: the worst of all generations."""
    if not generations:
        return Outcome(text="", error="no generation")
    ends = [_end(one) for one in generations]
    # The first end that is not an ordinary one speaks for all.
    finish = next((end for end in ends if end not in (None, "stop", "end_turn")), ends[0])
    return Outcome(
        text=min((one.text for one in generations), key=lambda text: len(text.strip())),
        finish=finish,
        error=error,
        tool_calls=sum(_calls(one) for one in generations),
        refusal=any(_refused(one) for one in generations),
        temperature=temperature,
    )


def _end(generation: Generation) -> str | None:
    known = [generation.generation_info or {}]
    if isinstance(generation, ChatGeneration):
        known.append(generation.message.response_metadata)
    for info in known:
        for name in _FINISH:
            if isinstance(info.get(name), str):
                return str(info[name]).casefold()
    return None


def _message(generation: Generation) -> BaseMessage | None:
    return generation.message if isinstance(generation, ChatGeneration) else None


def _calls(generation: Generation) -> int:
    message = _message(generation)
    if not isinstance(message, AIMessage):
        return 0
    more = message.additional_kwargs
    return (
        len(message.tool_calls) + len(message.invalid_tool_calls) + bool(more.get("tool_calls")) + bool(more.get("function_call"))
    )


def _refused(generation: Generation) -> bool:
    message = _message(generation)
    return message is not None and bool(message.additional_kwargs.get("refusal"))
