"""From a client's request to an upstream's, and back, untouched."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import httpx2
from starlette.background import BackgroundTask
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response, StreamingResponse

from ragkit.proxy.controls import CONTROL_HEADERS
from ragkit.proxy.settings import Settings
from ragkit.proxy.upstreams import Outgoing, UpstreamError, request_headers, response_headers

V1 = "/v1"


class TooLargeError(Exception):
    """A body over the limit."""


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


def outgoing(request: Request, settings: Settings, body: bytes | AsyncIterator[bytes], *, plain: bool = False) -> Outgoing:
    """The request as the upstream gets it; ``plain`` asks for an answer that is not compressed, so that it can be read here."""
    headers = request_headers(request.headers.items(), settings.request_headers)
    headers = {name: value for name, value in headers.items() if name not in CONTROL_HEADERS}
    headers["accept-encoding"] = "identity" if plain else request.headers.get("accept-encoding", "identity")
    return Outgoing(
        method=request.method,
        path=request.url.path.removeprefix(V1),
        query=request.url.query,
        headers=headers,
        body=body,
    )


def passed_on(response: httpx2.Response, extra: dict[str, str]) -> StreamingResponse:
    """An open upstream response for the client, byte by byte."""
    answer = StreamingResponse(response.aiter_raw(), status_code=response.status_code, background=BackgroundTask(response.aclose))
    answer.raw_headers = encoded([*response_headers(response.headers.multi_items()), *extra.items()])
    return answer


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


__all__ = [
    "V1", "ClientDisconnect", "TooLargeError", "encoded", "failure", "outgoing", "passed_on", "read_body", "upstream_failure",
]  # fmt: skip
