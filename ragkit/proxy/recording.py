"""A stream put together while it passes: what the client would have got without streaming, once its last event has come."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ragkit.proxy.reading import read_json
from ragkit.proxy.requests import Endpoint

Body = dict[str, Any]
#: Keys of a chunk that say nothing about the whole.
_OF_CHUNKS = frozenset({"choices", "object", "obfuscation", "usage"})


class Recording:
    """Feed it bytes as they pass; ``body`` is the whole answer once the terminal event has come, None before and after a fault.

    ``limit`` is the most bytes of one event, and of all texts together: a stream with more is passed on and not recorded. What
    events are wrapped in does not count, or a long answer could be stored from a plain request only. ``why`` says why there is no body.
    """

    def __init__(self, endpoint: Endpoint, *, limit: int) -> None:
        self._take: Callable[[str, Body], None] = self._chat if endpoint == "chat" else self._responses
        self._limit = self._left = limit
        self._held = 0
        self._lines = b""
        self._data: list[bytes] = []
        self._frame: Body = {}
        self._message: dict[str, list[str]] = {}
        self._finish: str | None = None
        self._done = False
        self.why = "the stream broke off"

    def feed(self, data: bytes) -> None:
        """The next bytes of the stream, cut anywhere."""
        if self._left <= 0:
            return
        *lines, self._lines = (self._lines + data).replace(b"\r\n", b"\n").split(b"\n")
        for line in lines:
            if line.startswith(b"data:"):
                self._data.append(line[5:].removeprefix(b" "))
                self._held += len(line)
            elif not line and self._data:
                found, self._data, self._held = b"\n".join(self._data), [], 0
                self._event(found)
        if self._held + len(self._lines) > self._limit:
            self._spoil("the answer is longer than entries may be")

    @property
    def spoilt(self) -> bool:
        """Whether it is known already that there will be no body."""
        return self._left <= 0

    @property
    def body(self) -> Body | None:
        """The answer as it would have come without streaming."""
        return self._frame if self._done and not self.why else None

    def _spoil(self, why: str) -> None:
        self._left, self.why, self._done = 0, why, False
        self._frame, self._message, self._lines, self._data = {}, {}, b"", []

    def _event(self, data: bytes) -> None:
        if self._done:
            return
        if data == b"[DONE]":
            self._finished()
            return
        value = read_json(data)
        if not isinstance(value, dict):
            self._spoil("an event is no JSON object")
            return
        if value.get("error"):
            self._spoil("the upstream reported an error in the stream")
            return
        try:
            self._take(str(value.get("type", "")), value)
        except (KeyError, TypeError, AttributeError, IndexError):
            self._spoil("an event has an unknown shape")

    def _finished(self) -> None:
        if self._message or self._finish:
            message = {name: "".join(parts) for name, parts in self._message.items()}
            choice = {
                "index": 0,
                "message": {"role": "assistant", "content": None, **message},
                "logprobs": None,
                "finish_reason": self._finish,
            }
            self._frame = {**self._frame, "object": "chat.completion", "choices": [choice]}
            self._done, self.why = True, ""

    def _chat(self, _: str, chunk: Body) -> None:
        for name, value in chunk.items():
            if name not in _OF_CHUNKS:
                self._frame.setdefault(name, value)
        if isinstance(chunk.get("usage"), Mapping):
            self._frame["usage"] = chunk["usage"]
        for choice in chunk["choices"]:
            if choice.get("index", 0) != 0:
                self._spoil("there is more than one choice")
                return
            for name, value in (choice.get("delta") or {}).items():
                if name == "role" or value is None or value in ([], {}):
                    continue
                if not isinstance(value, str):
                    self._spoil(
                        "tool calls: their effects cannot be replayed" if "call" in name else f"a delta of {name!r} is no text"
                    )
                    return
                self._message.setdefault(name, []).append(value)
                self._left -= len(value)
                if self._left <= 0:
                    self._spoil("the answer is longer than entries may be")
                    return
            self._finish = choice.get("finish_reason") or self._finish

    def _responses(self, kind: str, event: Body) -> None:
        if kind == "response.completed":
            self._frame, self._done, self.why = {**event["response"]}, True, ""
        elif kind in ("response.failed", "response.incomplete", "error"):
            self._spoil(f"the stream ended with {kind}")
