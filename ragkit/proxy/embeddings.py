"""``POST /v1/embeddings`` with a content-addressed cache: an input that was embedded before is not sent again."""

from __future__ import annotations

import asyncio
import json
import logging
import sqlite3
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import httpx2
from starlette.requests import Request
from starlette.responses import Response

from ragkit.errors import RagkitError
from ragkit.proxy.forwarding import (
    BadRequestError,
    aside,
    encoded,
    failure,
    outgoing,
    passed_on,
    read_whole,
    upstream_failure,
)
from ragkit.proxy.metrics import Metrics
from ragkit.proxy.reading import read_json
from ragkit.proxy.settings import Settings, Upstream
from ragkit.proxy.tenancy import deciding, tenant_of
from ragkit.proxy.upstreams import DECODED, UpstreamError, Upstreams, response_headers
from ragkit.proxy.vectors import Vectors
from ragkit.types import canonical_json, digest

_LOG = logging.getLogger("ragkit.proxy")
#: What decides a vector beside its input; anything else in a body means that this cache does not know the request.
_DECIDING = ("model", "dimensions", "encoding_format", "input_type", "task")
_KNOWN = frozenset({*_DECIDING, "input", "user"})


class Embedding:
    """Answers embedding requests; what is not known of a request goes upstream, and only that."""

    def __init__(self, settings: Settings, upstreams: Upstreams, vectors: Vectors, metrics: Metrics, secret: bytes) -> None:
        self._settings, self._upstreams, self._vectors, self._metrics, self._secret = (
            settings,
            upstreams,
            vectors,
            metrics,
            secret,
        )

    async def __call__(self, request: Request) -> Response:
        """The response to a request; errors are responses, too."""
        try:
            received = await read_whole(request, self._settings)
        except BadRequestError as error:
            return failure(error.status, str(error), kind="invalid_request_error")
        data, controls = received.data, received.controls
        body = await aside(len(data), lambda: _body(data))
        model = str(body.get("model", ""))
        upstream = self._settings.upstream_for(model)
        if upstream is None:
            return failure(404, f"No upstream of this server serves the model {model!r}.", kind="invalid_request_error")
        inputs = _inputs(body)
        out = outgoing(request, self._settings, data, headers=received.headers)
        known: dict[str, Any] = {}
        keys: list[str] = []
        if inputs is not None and controls.store:
            tenant = tenant_of(received.headers, self._secret, shared=self._settings.shared_tenant)
            sent = {"query": out.query, "headers": deciding(out.headers)}
            about = canonical_json([{name: body.get(name) for name in _DECIDING}, sent])
            keys = await aside(len(data), lambda: [digest(tenant, upstream.url, about, canonical_json(one)) for one in inputs])
            known = await self._look(keys) if controls.lookup and not controls.dry_run else {}
        missing = [place for place, key in enumerate(keys) if key not in known]
        if inputs is not None and keys and not missing:
            return await self._answer(body, [known[key] for key in keys], {}, [], _told(len(keys), 0))
        if controls.only_cached:
            told = _told(len(keys) - len(missing), len(missing) or 1)
            return failure(504, "Only stored embeddings were asked for, and some are not.", kind="only_if_cached", extra=told)
        if keys:
            # The answer is read here.
            out = replace(out, headers={**out.headers, "accept-encoding": "identity"})
        if inputs is not None and known:
            out = replace(out, body=json.dumps({**body, "input": [inputs[place] for place in missing]}).encode())
        headers = _told(len(keys) - len(missing), len(missing) or 1)
        try:
            async with asyncio.timeout(self._settings.deadline):
                response = await self._upstreams.send(upstream, out)
                if response.status_code != 200 or not keys:
                    return passed_on(response, headers)
                return await self._joined(body, keys, known, missing, response, headers)
        except TimeoutError:
            late = UpstreamError(f"No answer within {self._settings.deadline:g} seconds.", status=504, kind="timeout")
            return self._gone(upstream, late, headers)
        except UpstreamError as error:
            return self._gone(upstream, error, headers)

    def _gone(self, upstream: Upstream, error: UpstreamError, headers: dict[str, str]) -> Response:
        self._metrics.upstream_failures.labels(upstream.url, error.kind).inc()
        return upstream_failure(error, headers)

    async def _joined(
        self,
        body: dict[str, Any],
        keys: list[str],
        known: dict[str, Any],
        missing: list[int],
        response: httpx2.Response,
        headers: dict[str, str],
    ) -> Response:
        """The upstream's embeddings put between those that were known, in the order asked for."""
        try:
            data = await response.aread()
        except httpx2.HTTPError as error:
            raise UpstreamError(f"The answer broke off: {type(error).__name__}.", status=502, kind="body") from error
        finally:
            await response.aclose()
        told = await aside(len(data), lambda: _body(data))
        fresh = _fresh(told, len(missing))
        if fresh is None:
            if known:
                return failure(502, f"The upstream did not give {len(missing)} embeddings for as many inputs.", extra=headers)
            answer = Response(data, status_code=response.status_code)
            answer.raw_headers += encoded([*response_headers(response.headers.multi_items(), DECODED), *headers.items()])
            return answer
        added = {keys[place]: value for place, value in zip(missing, fresh, strict=True)}
        try:
            await asyncio.to_thread(self._vectors.save, added)
        except (RagkitError, sqlite3.Error) as error:
            self._failed("put", error)
        return await self._answer(
            body, [(known | added)[key] for key in keys], told, response_headers(response.headers.multi_items(), DECODED), headers
        )

    async def _answer(
        self,
        body: Mapping[str, Any],
        values: list[Any],
        told: Mapping[str, Any],
        upstream: list[tuple[str, str]],
        headers: dict[str, str],
    ) -> Response:
        about = {"object": "list", "model": body["model"], "usage": {"prompt_tokens": 0, "total_tokens": 0}, **told}
        size = sum(len(value) for value in values if isinstance(value, (str, list)))
        answer = Response(await aside(size, lambda: _written(about, values)), media_type="application/json")
        own = {name.decode() for name, _ in answer.raw_headers}
        answer.raw_headers += encoded([*((name, value) for name, value in upstream if name.lower() not in own), *headers.items()])
        return answer

    async def _look(self, keys: list[str]) -> dict[str, Any]:
        try:
            return await asyncio.to_thread(self._vectors.load, keys)
        except (RagkitError, sqlite3.Error, ValueError) as error:
            self._failed("lookup", error)
            return {}

    def _failed(self, doing: str, error: Exception) -> None:
        self._metrics.failures.labels(f"embeddings {doing}").inc()
        _LOG.warning("embeddings %s failed: %s: %s", doing, type(error).__name__, error)


def _body(data: bytes) -> dict[str, Any]:
    body = read_json(data)
    return body if isinstance(body, dict) else {}


def _inputs(body: Mapping[str, Any]) -> list[Any] | None:
    """The inputs of a body in its known form: texts, or lists of token ids; None for any other."""
    given = body.get("input")
    if body.keys() - _KNOWN or not given or not isinstance(body.get("model"), str):
        return None
    if isinstance(given, str):
        return [given]
    if not isinstance(given, list):
        return None
    if all(isinstance(one, int) for one in given):
        return [given]
    one_kind = all(isinstance(one, str) for one in given) or all(isinstance(one, list) for one in given)
    return given if one_kind and all(given) else None


def _fresh(told: Mapping[str, Any], count: int) -> list[Any] | None:
    data = told.get("data")
    if not isinstance(data, list) or len(data) != count or not all(isinstance(one, dict) and "embedding" in one for one in data):
        return None
    places = [one.get("index", place) for place, one in enumerate(data)]
    if sorted(place for place in places if isinstance(place, int)) != list(range(count)):
        return None
    return [one["embedding"] for _, one in sorted(zip(places, data, strict=True), key=lambda pair: pair[0])]


def _written(about: Mapping[str, Any], values: list[Any]) -> str:
    """The answer as JSON, one embedding after the other: the encoder lets nobody else run while it is at one."""
    head = json.dumps({name: value for name, value in about.items() if name != "data"})
    found = ({"object": "embedding", "index": place, "embedding": value} for place, value in enumerate(values))
    return f'{head[:-1]}, "data": [{", ".join(map(json.dumps, found))}]}}'


def _told(known: int, asked: int) -> dict[str, str]:
    """Cache-Status for a request of which ``known`` inputs were stored and ``asked`` were not."""
    state = "hit" if not asked else "fwd=partial" if known else "fwd=uri-miss"
    return {
        "cache-status": f"ragkit; {state}",
        "x-ragkit-cache": f"{'HIT' if not asked else 'MISS'}; stored={known}; asked={asked}",
    }
