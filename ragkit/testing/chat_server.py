"""A stand-in for services that speak OpenAI's chat protocol: real HTTP on this machine, faults by order, no model."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What to send back: a message, or with another ``status`` than 200 an error; ``delay`` in seconds before it.

    ``body`` is sent as it is instead, whatever it is. ``close`` closes the connection without an answer.
    """

    text: str = ""
    finish_reason: str = "stop"
    refusal: str | None = None
    status: int = 200
    delay: float = 0.0
    body: bytes | None = None
    close: bool = False


Behaviour = Callable[[Sequence[Mapping[str, Any]]], Answer]


@dataclass(slots=True)
class ChatServer:
    """A running server: ``url`` for ``base_url=``, and every request body it got, in order."""

    url: str
    requests: list[dict[str, Any]] = field(default_factory=list)
    most_at_once: int = 0
    _running: int = 0
    _lock: Lock = field(default_factory=Lock)


@contextmanager
def chat_server(behave: Behaviour) -> Iterator[ChatServer]:
    """Serve ``POST /v1/chat/completions`` on a free port of 127.0.0.1; ``behave`` gets the messages and returns an Answer.

    Its token counts are words. What begins as an earlier request did counts as read from a prompt cache, like the real
    ones from 1,024 tokens on.
    """
    server = ChatServer(url="")

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            with server._lock:
                cached = _cached(server.requests, request)
                server.requests.append(request)
                server._running += 1
                server.most_at_once = max(server.most_at_once, server._running)
            try:
                answer = behave(request["messages"])
                time.sleep(answer.delay)
            finally:
                with server._lock:
                    server._running -= 1
            if answer.close:
                self.close_connection = True
                return
            body = answer.body if answer.body is not None else json.dumps(_completion(request, answer, cached)).encode()
            try:
                self.send_response(answer.status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)
            except OSError:
                # The client has stopped waiting, as some of the faults intend.
                self.close_connection = True

        def log_message(self, format: str, *args: Any) -> None:
            return None

    class Http(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 128

    http = Http(("127.0.0.1", 0), Handler)
    server.url = f"http://127.0.0.1:{http.server_port}/v1"
    thread = Thread(target=http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        http.shutdown()
        http.server_close()
        thread.join()


def text_of(messages: Sequence[Mapping[str, Any]]) -> str:
    """All text of the messages, whether it came as strings or as blocks."""
    parts = []
    for message in messages:
        content = message["content"]
        parts += [content] if isinstance(content, str) else [block.get("text", "") for block in content]
    return "".join(parts)


def _cached(earlier: Sequence[Mapping[str, Any]], request: Mapping[str, Any]) -> int:
    """Words at the beginning that some earlier request shares, in steps of 128 from 1,024 on."""
    words = text_of(request["messages"]).split()
    shared = 0
    for one in earlier:
        theirs = text_of(one["messages"]).split()
        same = next(
            (at for at, pair in enumerate(zip(words, theirs, strict=False)) if pair[0] != pair[1]), min(len(words), len(theirs))
        )
        shared = max(shared, same)
    return shared // 128 * 128 if shared >= 1024 else 0


def _completion(request: Mapping[str, Any], answer: Answer, cached: int) -> dict[str, Any]:
    if answer.status != 200:
        return {"error": {"message": answer.text or f"status {answer.status}", "type": "stand_in", "code": None}}
    read, written = len(text_of(request["messages"]).split()), len(answer.text.split())
    return {
        "id": "chatcmpl-stand-in",
        "object": "chat.completion",
        "created": 0,
        "model": request.get("model", "stand-in"),
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": answer.text, "refusal": answer.refusal},
                "finish_reason": answer.finish_reason,
            }
        ],
        "usage": {
            "prompt_tokens": read,
            "completion_tokens": written,
            "total_tokens": read + written,
            "prompt_tokens_details": {"cached_tokens": cached},
        },
    }
