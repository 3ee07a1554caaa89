"""The way to the upstreams: one HTTP client, retries where nothing was sent yet, and a breaker for each upstream that is down."""

from __future__ import annotations

from collections.abc import AsyncIterable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

import httpx2
from circuitbreaker import CircuitBreaker
from tenacity import (
    AsyncRetrying,
    RetryCallState,
    retry_if_exception_type,
    retry_if_result,
    stop_after_attempt,
    wait_random_exponential,
)

from ragkit.proxy.settings import Settings, Upstream

#: RFC 9110, section 7.6.1, and what the client library sets itself.
_HOP_BY_HOP = frozenset(
    {
        "connection", "content-length", "host", "keep-alive", "proxy-authenticate", "proxy-authorization", "proxy-connection", "te", "trailer",
        "transfer-encoding", "upgrade",
    }
)  # fmt: skip
#: What is no longer true of a body that was read here: the client library has unpacked it, and the server tells its own type.
DECODED = frozenset({"content-encoding"})
_DOWN = frozenset({502, 503, 504})
#: Failures before the request left: nothing was asked, so asking again costs nothing.
_UNSENT = (httpx2.ConnectError, httpx2.ConnectTimeout)
#: Failures of an upstream that is down, or as good as that.
_GONE = (*_UNSENT, httpx2.ReadTimeout, httpx2.RemoteProtocolError, httpx2.ReadError)


class UpstreamError(Exception):
    """No answer came; ``status`` is what to tell the client, ``kind`` a word for metrics."""

    def __init__(self, message: str, *, status: int, kind: str) -> None:
        super().__init__(message)
        self.status, self.kind = status, kind


@dataclass(frozen=True, slots=True, kw_only=True)
class Outgoing:
    """A request to pass on; ``path`` is what follows the upstream's base ("/chat/completions"), ``body`` bytes or a stream of them."""

    method: str
    path: str
    query: str = ""
    headers: Mapping[str, str]
    body: bytes | AsyncIterable[bytes] = b""


class Upstreams:
    """Sends requests; use as an asynchronous context manager. Responses come open: read or close them."""

    def __init__(self, settings: Settings, *, transport: httpx2.AsyncBaseTransport | None = None) -> None:
        self._settings = settings
        self._client = httpx2.AsyncClient(
            http2=True,
            transport=transport,
            timeout=httpx2.Timeout(settings.read_timeout, connect=settings.connect_timeout),
            limits=httpx2.Limits(max_connections=settings.connections, max_keepalive_connections=settings.connections),
            follow_redirects=False,
            trust_env=False,
        )
        self._breakers = {
            upstream.url: CircuitBreaker(
                failure_threshold=settings.breaker_failures,
                recovery_timeout=settings.breaker_seconds,
                expected_exception=_DownError,
                name=upstream.url,
            )
            for upstream in settings.upstreams
        }

    async def __aenter__(self) -> Self:
        await self._client.__aenter__()
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self._client.__aexit__(kind, error, trace)

    def open_breakers(self) -> list[str]:
        """The upstreams that are not asked for now."""
        return [url for url, breaker in self._breakers.items() if breaker.opened]

    async def send(self, upstream: Upstream, out: Outgoing) -> httpx2.Response:
        """The response, its body unread.

        A request that never left (refused, no connection) is sent again, up to ``retries`` times with growing pauses; GET and
        HEAD also after 502, 503 and 504. Nothing else is: the upstream may have answered already, and charged for it.

        Raises UpstreamError when no response came, or the breaker is open.
        """
        breaker = self._breakers[upstream.url]
        if breaker.opened:
            raise UpstreamError(
                f"The upstream {upstream.url} failed {self._settings.breaker_failures} times in a row; it is asked again in "
                f"{max(breaker.open_remaining, 0):.0f} seconds.",
                status=503,
                kind="breaker",
            )
        try:
            response = await self._tried(upstream, out)
        except httpx2.PoolTimeout as error:
            # A queue of our own: it says nothing about the upstream.
            raise UpstreamError(
                f"All {self._settings.connections} connections to upstreams are in use.", status=503, kind="busy"
            ) from error
        except httpx2.HTTPError as error:
            if isinstance(error, _GONE):
                _count(breaker, down=True)
            raise _told(upstream, error) from error
        # What gateways say of a dead service counts, too.
        _count(breaker, down=response.status_code in _DOWN)
        return response

    async def _tried(self, upstream: Upstream, out: Outgoing) -> httpx2.Response:
        again = isinstance(out.body, bytes)
        retry: Any = retry_if_exception_type(_UNSENT)
        if out.method in ("GET", "HEAD"):
            retry = retry | retry_if_result(lambda response: response.status_code in _DOWN)

        async def close(state: RetryCallState) -> None:
            if state.outcome is not None and not state.outcome.failed:
                await state.outcome.result().aclose()

        retrying = AsyncRetrying(
            stop=stop_after_attempt(1 + (self._settings.retries if again else 0)),
            wait=wait_random_exponential(multiplier=0.1, max=2),
            retry=retry,
            before_sleep=close,
            retry_error_callback=lambda state: state.outcome.result() if state.outcome is not None else None,
            reraise=True,
        )
        response: httpx2.Response = await retrying(self._once, upstream, out)
        return response

    async def _once(self, upstream: Upstream, out: Outgoing) -> httpx2.Response:
        headers = dict(out.headers)
        if upstream.api_key is not None:
            headers = {name: value for name, value in headers.items() if name not in ("authorization", "api-key", "x-api-key")}
            headers["authorization"] = f"Bearer {upstream.api_key.get_secret_value()}"
        url = upstream.url + quote(out.path, safe="/:@!$&'()*+,;=~%") + (f"?{out.query}" if out.query else "")
        request = self._client.build_request(out.method, url, headers=headers, content=out.body)
        return await self._client.send(request, stream=True)


class _DownError(Exception):
    """What the breaker counts."""


def _count(breaker: CircuitBreaker, *, down: bool) -> None:
    """Tell the breaker how a call ended; of one that was given up it hears nothing."""
    with suppress(_DownError), breaker:
        if down:
            raise _DownError


def _told(upstream: Upstream, error: Exception) -> UpstreamError:
    late = isinstance(error, httpx2.TimeoutException)
    return UpstreamError(
        f"The upstream {upstream.url} did not answer: {type(error).__name__}{f': {error}' if str(error) else ''}.",
        status=504 if late else 502,
        kind="timeout" if late else "connection",
    )


def request_headers(headers: Iterable[tuple[str, str]], allowed: Iterable[str]) -> dict[str, str]:
    """The headers that may be passed on: those named in ``allowed``, where a name may end in "*"."""
    names = frozenset(allowed)
    starts = tuple(name[:-1] for name in names if name.endswith("*"))
    return {
        name: value
        for name, value in headers
        if name not in _HOP_BY_HOP and (name in names or (bool(starts) and name.startswith(starts)))
    }


def response_headers(headers: Iterable[tuple[str, str]], without: frozenset[str] = frozenset()) -> list[tuple[str, str]]:
    """The upstream's headers for the client, those of the connection, and the date that the server writes itself, left out."""
    left_out = _HOP_BY_HOP | {"date"} | without
    return [(name, value) for name, value in headers if name.lower() not in left_out]
