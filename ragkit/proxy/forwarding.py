"""From a client's request to an upstream's, and back, untouched."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import quote, unquote

import httpx2
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from ragkit.proxy.controls import CONTROL_HEADERS, BadControlError, Controls, read_controls
from ragkit.proxy.settings import Settings
from ragkit.proxy.upstreams import Outgoing, UpstreamError, request_headers, response_headers

V1 = "/v1"
#: Bytes up to which a body is read on the event loop: a thread costs more than it spares.
_SMALL = 65_536
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """A request that has come whole: ``headers`` in lower case, several lines of one name joined."""

    data: bytes
    headers: Mapping[str, str]
    controls: Controls


class TooLargeError(Exception):
    """A body over the limit."""


class BadRequestError(Exception):
    """A request that is refused before anything is looked up; ``status`` and the message are for the client."""

    def __init__(self, message: str, *, status: int) -> None:
        super().__init__(message)
        self.status = status


class BadPathError(Exception):
    """A path with steps such as "..", by which a request could leave the upstream's base."""


async def read_body(request: Request, limit: int) -> bytes:
    """The whole body; TooLargeError beyond ``limit`` bytes, as soon as that is known."""
    declared = request.headers.get("content-length", "")
    if declared.isdigit() and int(declared) > limit:
        raise TooLargeError
    parts: list[bytes] = []
    size = 0
    async for part in request.stream():
        size += len(part)
        if size > limit:
            raise TooLargeError
        parts.append(part)
    return b"".join(parts)


async def read_whole(request: Request, settings: Settings) -> Received:
    """The body, headers and cache directives; BadRequestError for what is too large, too slow, or cannot be read."""
    try:
        async with asyncio.timeout(settings.deadline):
            data = await read_body(request, settings.max_body)
        headers = one_line_each(request.headers)
        return Received(data=data, headers=headers, controls=read_controls(headers))
    except TimeoutError as error:
        raise BadRequestError(f"The request did not come whole within {settings.deadline:g} seconds.", status=408) from error
    except TooLargeError as error:
        raise BadRequestError(f"The body is larger than {settings.max_body} bytes, the server's limit.", status=413) from error
    except BadControlError as error:
        raise BadRequestError(str(error), status=400) from error


def is_small(size: int) -> bool:
    """Whether so many bytes are looked at in less time than waking a thread takes."""
    return size <= _SMALL


async def aside(size: int, act: Callable[[], _T]) -> _T:
    """``act()``, in a thread where its ``size`` in bytes would keep everybody else waiting."""
    return act() if is_small(size) else await asyncio.to_thread(act)


def one_line_each(headers: Headers) -> dict[str, str]:
    """Headers by name, several lines of one name joined as RFC 9110 (section 5.2) has it: everybody must read the same of them."""
    found: dict[str, str] = {}
    for name, value in headers.items():
        found[name] = f"{found[name]}, {value}" if name in found else value
    return found


def outgoing(
    request: Request,
    settings: Settings,
    body: bytes | AsyncIterator[bytes],
    *,
    headers: Mapping[str, str],
    plain: bool = False,
) -> Outgoing:
    """The request as the upstream gets it; ``plain`` asks for an answer that is not compressed, so that it can be read here.

    ``headers`` are the request's, one line each. Raises BadPathError for a path that could lead out of the upstream's base.
    """
    sent = request_headers(headers.items(), settings.request_headers)
    sent = {name: value for name, value in sent.items() if name not in CONTROL_HEADERS}
    sent["accept-encoding"] = "identity" if plain else headers.get("accept-encoding", "identity")
    return Outgoing(
        method=request.method,
        path=_path(request),
        query=request.scope["query_string"].decode("latin-1"),
        headers=sent,
        body=body,
    )


def _path(request: Request) -> str:
    """The path behind /v1 as the client wrote it: decoding and encoding it again would make another one of "%2F" or "%3F"."""
    written = request.scope.get("raw_path") or quote(request.scope["path"]).encode()
    path = str(written.decode("latin-1")).partition("?")[0]
    steps = unquote(path).replace("\\", "/").split("/")
    if not path.startswith(V1 + "/") or ".." in steps or "." in steps:
        raise BadPathError
    return path.removeprefix(V1)


def passed_on(response: httpx2.Response, extra: dict[str, str]) -> StreamingResponse:
    """An open upstream response for the client, byte by byte."""
    answer = Passing(response.aiter_raw(), status=response.status_code, ended=response.aclose)
    answer.raw_headers = encoded([*response_headers(response.headers.multi_items()), *extra.items()])
    return answer


class Passing(StreamingResponse):
    """A body handed on; ``ended`` is awaited whatever becomes of it, also where the client left before the first byte."""

    def __init__(self, body: Any, *, status: int, ended: Callable[[], Awaitable[None]]) -> None:
        super().__init__(body, status_code=status)
        self._ended = ended

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            await self._ended()


def encoded(headers: list[tuple[str, str]]) -> list[tuple[bytes, bytes]]:
    """Headers as ASGI wants them."""
    return [(name.lower().encode("latin-1"), value.encode("latin-1", "replace")) for name, value in headers]


def failure(status: int, message: str, *, kind: str = "ragkit_error", extra: dict[str, str] | None = None) -> Response:
    """An error in the form that OpenAI's clients read."""
    body = {"error": {"message": message, "type": kind, "param": None, "code": None}}
    return Response(json.dumps(body), status_code=status, media_type="application/json", headers=extra)


def upstream_failure(error: UpstreamError, extra: dict[str, str]) -> Response:
    """What a client is told when no answer came."""
    return failure(error.status, str(error), kind=f"upstream_{error.kind}", extra=extra)
