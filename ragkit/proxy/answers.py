"""Answers as they are stored and replayed: one JSON object per endpoint, whether the client streams or not."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from uuid import uuid4

from ragkit.cache import Outcome
from ragkit.proxy.requests import Asked, Endpoint

Body = dict[str, Any]
#: Characters per event of a replayed stream: enough for speed, few enough that a client sees progress.
_PIECE = 256
#: Tokens that no answer has: a double still holds it.
_MANY = 2**53


def outcome_of(endpoint: Endpoint, body: Any, *, status: int = 200, asked: Asked, no_store: bool = False) -> Outcome:
    """What came back, as far as storing it is concerned; a body of an unknown shape counts as an error."""
    facts: dict[str, Any] = {"status": status, "temperature": asked.temperature, "no_store": no_store}
    if not isinstance(body, Mapping):
        return Outcome(text="", error="the body is no JSON object", **facts)
    if body.get("error"):
        return Outcome(text="", error="the upstream reported an error", **facts)
    return (_chat_outcome if endpoint == "chat" else _responses_outcome)(body, facts)


def _chat_outcome(body: Mapping[str, Any], facts: dict[str, Any]) -> Outcome:
    choices = body.get("choices")
    if not isinstance(choices, list) or len(choices) != 1 or not isinstance(choices[0], Mapping):
        return Outcome(text="", error="not one choice", **facts)
    message = choices[0].get("message")
    if not isinstance(message, Mapping) or not isinstance(message.get("content"), (str, type(None))):
        return Outcome(text="", error="no message", **facts)
    called = message.get("tool_calls")
    calls = (len(called) if isinstance(called, list) else bool(called)) + bool(message.get("function_call"))
    return Outcome(
        text=message.get("content") or "",
        finish=str(choices[0].get("finish_reason") or "nothing"),
        tool_calls=calls,
        refusal=bool(message.get("refusal")),
        **facts,
    )


def _responses_outcome(body: Mapping[str, Any], facts: dict[str, Any]) -> Outcome:
    items = body.get("output")
    if not isinstance(items, list) or not all(isinstance(item, Mapping) for item in items):
        return Outcome(text="", error="no output", **facts)
    parts = [part for item in items if item.get("type") == "message" for part in item.get("content") or ()]
    if not all(isinstance(part, Mapping) and isinstance(part.get("text", ""), str) for part in parts):
        return Outcome(text="", error="a message of an unknown shape", **facts)
    return Outcome(
        text="".join(str(part.get("text") or "") for part in parts if part.get("type") == "output_text"),
        finish=str(body.get("status")),
        tool_calls=sum(item.get("type") not in ("message", "reasoning") for item in items),
        refusal=any(part.get("type") == "refusal" for part in parts),
        **facts,
    )


def text_of(body: Mapping[str, Any]) -> str:
    """The text of a stored body, of either endpoint."""
    endpoint: Endpoint = "chat" if "choices" in body else "responses"
    return outcome_of(endpoint, body, asked=Asked(endpoint=endpoint, model="")).text


def tokens_of(body: Mapping[str, Any]) -> tuple[int, int]:
    """Tokens read and written, as the upstream counted them; zeros where it did not."""
    usage = body.get("usage")
    if not isinstance(usage, Mapping):
        return 0, 0
    read = usage.get("prompt_tokens", usage.get("input_tokens"))
    written = usage.get("completion_tokens", usage.get("output_tokens"))
    return _count(read), _count(written)


def _count(told: object) -> int:
    """What an upstream says of itself is summed up here and must not break it: a negative or absurd number counts as none."""
    return int(told) if isinstance(told, int) and 0 <= told < _MANY else 0


def replayed(body: Mapping[str, Any]) -> Body:
    """A stored body as the answer to a new request: everything as it came, and a usage of nothing, for nothing was used."""
    usage = body.get("usage")
    if isinstance(usage, Mapping):
        return {**body, "usage": _nothing(usage)}
    # A stream of which nobody asked the usage recorded none; who asks for this answer plain, or with it, expects one.
    return {**body, "usage": {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}} if "choices" in body else dict(body)


def _nothing(usage: Mapping[str, Any]) -> Body:
    return {
        name: 0 if isinstance(value, (int, float)) else _nothing(value) if isinstance(value, Mapping) else value
        for name, value in usage.items()
    }


def events(asked: Asked, body: Mapping[str, Any]) -> Iterator[bytes]:
    """A replayed body as server-sent events, in the order in which the endpoint sends them."""
    yield from _chat_events(asked, body) if asked.endpoint == "chat" else _responses_events(body)


def _chat_events(asked: Asked, body: Mapping[str, Any]) -> Iterator[bytes]:
    choice = body["choices"][0]
    message = choice["message"]
    frame = {name: value for name, value in body.items() if name not in ("choices", "usage", "object")}
    frame = {"id": f"chatcmpl-{uuid4().hex}", "created": int(time.time()), **frame, "object": "chat.completion.chunk"}
    if asked.include_usage:
        frame["usage"] = None

    def chunk(delta: Body, finish: str | None = None) -> bytes:
        one = {"index": choice.get("index", 0), "delta": delta, "logprobs": None, "finish_reason": finish}
        return _event({**frame, "choices": [one]})

    yield chunk({"role": "assistant", "content": ""})
    for name, told in message.items():
        if name == "role" or told in (None, [], {}):
            continue
        for piece in _pieces(told) if isinstance(told, str) else [told]:
            yield chunk({name: piece})
    yield chunk({}, choice.get("finish_reason"))
    if asked.include_usage:
        yield _event({**frame, "choices": [], "usage": body.get("usage")})
    yield b"data: [DONE]\n\n"


def _responses_events(body: Mapping[str, Any]) -> Iterator[bytes]:
    told: list[Body] = []
    begun = {**body, "status": "in_progress", "output": [], "usage": None}
    told.append({"type": "response.created", "response": begun})
    told.append({"type": "response.in_progress", "response": begun})
    for place, item in enumerate(body.get("output") or ()):
        at = {"output_index": place}
        told.append({"type": "response.output_item.added", **at, "item": {**item, "content": [], "status": "in_progress"}})
        for part_place, part in enumerate(item.get("content") or () if item.get("type") == "message" else ()):
            where = {"item_id": item.get("id"), **at, "content_index": part_place}
            if part.get("type") == "output_text":
                told.append({"type": "response.content_part.added", **where, "part": {**part, "text": "", "annotations": []}})
                told += [
                    {"type": "response.output_text.delta", **where, "delta": piece, "logprobs": []}
                    for piece in _pieces(part["text"])
                ]
                told.append({"type": "response.output_text.done", **where, "text": part["text"], "logprobs": []})
                told.append({"type": "response.content_part.done", **where, "part": part})
        told.append({"type": "response.output_item.done", **at, "item": item})
    told.append({"type": "response.completed", "response": body})
    for number, event in enumerate(told):
        yield f"event: {event['type']}\n".encode() + _event({**event, "sequence_number": number})


def _pieces(text: str) -> Iterable[str]:
    return (text[at : at + _PIECE] for at in range(0, len(text), _PIECE))


def _event(value: Body) -> bytes:
    # Escaped: half a surrogate pair, which JSON may hold, is no UTF-8.
    return b"data: " + json.dumps(value, separators=(",", ":")).encode() + b"\n\n"
