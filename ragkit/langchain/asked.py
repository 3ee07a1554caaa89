"""What LangChain hands to a cache, taken apart: the last human text, and everything around it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ragkit.errors import InvalidInputError

#: Takes a last human text apart: the question, and the rest as a text.
QuestionIn = Callable[[str], tuple[str, str]]
_TEMPERATURE = re.compile(r"""["']temperature["']\s*[:,]\s*(\d+(?:\.\d+)?(?:[eE][-+]?\d+)?)""")


@dataclass(frozen=True, slots=True)
class Asked:
    """A request: ``text`` is compared by meaning if it is a str and exactly if it is a list, ``around`` exactly."""

    text: object
    around: tuple[Any, ...]
    temperature: float | None


def asked(prompt: str, llm_string: str, question_in: QuestionIn | None = None) -> Asked:
    """The request in ``prompt``, the JSON that ``BaseChatModel`` makes of messages, or a plain LLM's text.

    Raises InvalidInputError where ``question_in`` returns anything but two texts.
    """
    temperature = _temperature(llm_string)
    messages = _messages(prompt)
    if messages is None:
        return Asked([prompt], ("text",), temperature)
    found = _last_text(messages[-1])
    if found is None:
        return Asked(messages, ("messages",), temperature)
    text, frame = found
    around = ["chat", *messages[:-1], frame]
    if question_in is not None:
        parts = question_in(text)
        if not isinstance(parts, tuple) or len(parts) != 2 or not all(isinstance(part, str) for part in parts):
            raise InvalidInputError(f"question_in returned {parts!r}; it returns the question and the rest, both as texts.")
        text, rest = parts
        around.append(rest)
    return Asked(text, tuple(around), temperature)


def _messages(prompt: str) -> list[dict[str, Any]] | None:
    try:
        found = json.loads(prompt)
    except ValueError:
        return None
    if not isinstance(found, list) or not found:
        return None
    for one in found:
        if not (isinstance(one, dict) and one.get("lc") == 1 and isinstance(one.get("kwargs"), dict)):
            return None
    return found


def _last_text(message: dict[str, Any]) -> tuple[str, dict[str, Any]] | None:
    """The text of a human message and the message without it; None for other messages, and for other content."""
    given = message["kwargs"]
    if message.get("id", [""])[-1] != "HumanMessage" or given.get("type") != "human":
        return None
    content = given.get("content")
    if isinstance(content, str):
        return content, message | {"kwargs": {**given, "content": None}}
    if isinstance(content, list) and len(content) == 1:
        block = content[0]
        if isinstance(block, str):
            return block, message | {"kwargs": {**given, "content": [None]}}
        if isinstance(block, dict) and block.get("type") == "text" and isinstance(block.get("text"), str):
            return block["text"], message | {"kwargs": {**given, "content": [{**block, "text": None}]}}
    return None


def _temperature(llm_string: str) -> float | None:
    """The highest temperature that the model's description names: too high a guess keeps an answer out, and no more."""
    return max(map(float, _TEMPERATURE.findall(llm_string)), default=None)
