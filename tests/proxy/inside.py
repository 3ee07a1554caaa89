"""The application in the tests' own process, before an upstream that is a function."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import httpx2

from ragkit.proxy.app import make_app
from ragkit.proxy.settings import Settings

Answer = Callable[[httpx2.Request], Awaitable[httpx2.Response]]


@dataclass
class Reply:
    """What the application sent."""

    status: int = 0
    headers: list[tuple[str, str]] = field(default_factory=list)
    body: bytes = b""
    whole: bool = False

    def header(self, name: str) -> str:
        return ", ".join(value for one, value in self.headers if one == name)

    def json(self) -> Any:
        return json.loads(self.body)


class Inside:
    """Asks an application that runs."""

    def __init__(self, app: Any, server: Any) -> None:
        self.app, self.server = app, server

    async def ask(
        self,
        path: str,
        body: Any = None,
        *,
        method: str = "POST",
        headers: tuple[tuple[str, str], ...] = (),
        leaves: asyncio.Event | None = None,
        more: bool = False,
        send: Callable[[dict[str, Any]], Awaitable[None]] | None = None,
    ) -> Reply:
        """One request; ``leaves`` is when its client goes away, ``more`` promises a rest that never comes, ``send`` is a client of your own."""
        data = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        plain, _, query = path.partition("?")
        sized = (("content-length", str(len(data))),) if data else ()
        scope = {
            "type": "http", "asgi": {"version": "3.0", "spec_version": "2.3"}, "http_version": "1.1", "method": method, "scheme": "http",
            "path": unquote(plain), "raw_path": plain.encode(), "query_string": query.encode(), "root_path": "",
            "headers": [(name.encode(), value.encode("latin-1")) for name, value in (*headers, *sized)],
            "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 80), "state": {},
        }  # fmt: skip
        waiting = [{"type": "http.request", "body": data, "more_body": more}]
        reply = Reply()

        async def receive() -> dict[str, Any]:
            if waiting:
                return waiting.pop()
            await (leaves or asyncio.Event()).wait()
            return {"type": "http.disconnect"}

        async def taken(message: dict[str, Any]) -> None:
            if message["type"] == "http.response.start":
                reply.status = message["status"]
                reply.headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in message["headers"]]
            else:
                reply.body += message.get("body", b"")
                reply.whole = not message.get("more_body", False)

        await self.app(scope, receive, send or taken)
        return reply

    async def settled(self) -> None:
        """Until everything that was begun is stored."""
        await self.server.tasks.drain(10)


class Unread(httpx2.AsyncBaseTransport):
    """Gives answers as a network does: their bodies not yet read."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        made = await self._answer(request)
        if not made.is_closed:
            return made
        headers = {name: value for name, value in made.headers.items() if name != "content-length"}
        return httpx2.Response(made.status_code, headers=headers, stream=httpx2.ByteStream(made.content))


@asynccontextmanager
async def inside(
    folder: Path, answer: Answer, *, clock: Callable[[], float] = time.time, **settings: Any
) -> AsyncIterator[Inside]:
    """The application over a new cache, which serves repetitions only."""
    told = {"upstreams": ({"url": "http://up.test/v1"},), "cache": folder / "cache.lance", "policy": "exact", **settings}
    app = make_app(Settings(**told), transport=Unread(answer), clock=clock)
    async with app.router.lifespan_context(app):
        yield Inside(app, app.state.server)


CHAT = "/v1/chat/completions"


def asks(text: str, **more: Any) -> dict[str, Any]:
    return {"model": "m", "messages": [{"role": "user", "content": text}], **more}


def completion(text: str, finish: str = "stop") -> dict[str, Any]:
    message = {"role": "assistant", "content": text}
    return {
        "id": "c",
        "object": "chat.completion",
        "created": 1,
        "model": "m",
        "choices": [{"index": 0, "message": message, "finish_reason": finish}],
    }


class Upstream:
    """Counts what it is asked; answers ``text``, after ``wait`` is set where it is given."""

    def __init__(self, finish: str = "stop") -> None:
        self.seen: list[httpx2.Request] = []
        self.wait: asyncio.Event | None = None
        self.finish = finish

    async def __call__(self, request: httpx2.Request) -> httpx2.Response:
        self.seen.append(request)
        number = len(self.seen)
        if self.wait is not None:
            await self.wait.wait()
        return httpx2.Response(200, json=completion(f"answer {number}", self.finish))


def text_of(reply: Any) -> str:
    return str(reply.json()["choices"][0]["message"]["content"])


def streamed(words: int, broken: bool = False) -> httpx2.Response:
    async def events() -> AsyncIterator[bytes]:
        for number in range(words):
            await asyncio.sleep(0)
            one = {"index": 0, "delta": {"content": f"w{number} "}, "finish_reason": None}
            yield b"data: " + json.dumps({"id": "c", "model": "m", "choices": [one]}).encode() + b"\n\n"
        if broken:
            raise RuntimeError("a fault of no known kind")
        last = {"index": 0, "delta": {}, "finish_reason": "stop"}
        yield b"data: " + json.dumps({"id": "c", "model": "m", "choices": [last]}).encode() + b"\n\ndata: [DONE]\n\n"

    return httpx2.Response(200, headers={"content-type": "text/event-stream"}, content=events())
