"""A chat request on its way: read, looked up, perhaps joined to an identical one, forwarded, recorded, stored."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import Any

import httpx2
from opentelemetry.trace import Span
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from ragkit.cache import Scope, Verdict, normalised, refuse_storing
from ragkit.errors import RagkitError
from ragkit.proxy.activity import Activity
from ragkit.proxy.answers import Body, events, outcome_of, replayed, tokens_of
from ragkit.proxy.controls import Controls, status_headers
from ragkit.proxy.forwarding import (
    BadRequestError,
    Passing,
    encoded,
    failure,
    one_line_each,
    outgoing,
    passed_on,
    read_whole,
    upstream_failure,
)
from ragkit.proxy.memory import Found, Memory
from ragkit.proxy.metrics import Metrics
from ragkit.proxy.recording import Recording
from ragkit.proxy.requests import Asked, Endpoint, read_request
from ragkit.proxy.settings import Settings, Upstream
from ragkit.proxy.tasks import Tasks
from ragkit.proxy.tenancy import deciding, tenant_of
from ragkit.proxy.tracing import answering_span, storing_span, tell_verdict, upstream_span
from ragkit.proxy.upstreams import DECODED, Outgoing, UpstreamError, Upstreams, response_headers

#: Chunks of a stream that may wait for a slow client before the upstream has to wait, too.
_AHEAD = 64
Flight = asyncio.Future["Body | None"]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Job:
    """One request: what it asks, of whom, in which scope, with which wishes, and what the cache said. ``span`` is its trace."""

    asked: Asked
    data: bytes
    controls: Controls
    upstream: Upstream
    out: Outgoing
    scope: Scope | None
    found: Found | None
    headers: dict[str, str]
    span: Span
    flight: Flight | None = None
    forget: Callable[[], object] = lambda: None
    begun: float = field(default_factory=time.time)

    @property
    def storable(self) -> bool:
        return self.scope is not None and self.controls.store and not self.controls.dry_run

    def land(self, body: Body) -> None:
        """Give those who wait for this request its answer, and those who come before it is stored."""
        if self.flight is not None and not self.flight.done():
            self.flight.set_result(body)

    def end(self) -> None:
        """Nobody waits for this request any more; those who still do ask for themselves."""
        self.forget()
        if self.flight is not None and not self.flight.done():
            self.flight.set_result(None)


class Answering:
    """Answers chat and responses requests, from the cache where it may."""

    def __init__(
        self,
        settings: Settings,
        upstreams: Upstreams,
        memory: Memory,
        metrics: Metrics,
        activity: Activity,
        tasks: Tasks,
        secret: bytes,
    ) -> None:
        self._settings, self._upstreams, self._memory = settings, upstreams, memory
        self._metrics, self._activity, self._tasks, self._secret = metrics, activity, tasks, secret
        self._flights: dict[tuple[str, str], Flight] = {}

    async def __call__(self, request: Request, endpoint: Endpoint) -> Response:
        """The response to a request; errors are responses, too."""
        try:
            data, controls = await read_whole(request, self._settings)
        except BadRequestError as error:
            return failure(error.status, str(error), kind="invalid_request_error")
        asked = read_request(endpoint, data)
        upstream = self._settings.upstream_for(asked.model)
        if upstream is None:
            return failure(404, f"No upstream of this server serves the model {asked.model!r}.", kind="invalid_request_error")
        with answering_span(asked, request.headers, prompts=self._settings.trace_prompts) as span:
            return await self._answer(request, data, asked, controls, upstream, span)

    async def _answer(
        self, request: Request, data: bytes, asked: Asked, controls: Controls, upstream: Upstream, span: Span
    ) -> Response:
        out = outgoing(request, self._settings, data, plain=True)
        try:
            scope = None if asked.bypass else self._scope(asked, controls, one_line_each(request.headers), out)
        except RagkitError as error:
            asked, scope = replace(asked, bypass=f"no scope can be made of it: {error}"), None
        found = await self._memory.look(asked, scope, max_age=controls.max_age) if scope and controls.lookup else None
        job = _Job(
            asked=asked,
            data=data,
            controls=controls,
            upstream=upstream,
            out=out,
            scope=scope,
            found=found,
            headers=self._told(asked, controls, found, span),
            span=span,
        )
        if found is not None and found.body is not None and not controls.dry_run:
            if found.verdict.judge:
                self._tasks.start(self._audit(job))
            return self._served(asked, found, found.body)
        if controls.only_cached:
            return failure(
                504, "Only a cached answer was asked for, and there is none.", kind="only_if_cached", extra=job.headers
            )
        alike = asked.temperature is None or asked.temperature <= self._settings.max_temperature
        return await self._joined(job) if job.storable and controls.lookup and alike else await self._forward(job)

    def _scope(self, asked: Asked, controls: Controls, headers: Mapping[str, str], out: Outgoing) -> Scope:
        tenant = tenant_of(headers, self._secret, shared=self._settings.shared_tenant)
        named = {name: headers.get(name) for name in self._settings.scope_headers}
        sent = {"query": out.query, "headers": deciding(out.headers)}
        return asked.scope(tenant=tenant, extra={"headers": named, "scope": controls.scope, "sent": sent})

    def _told(self, asked: Asked, controls: Controls, found: Found | None, span: Span) -> dict[str, str]:
        """The headers of an answer that does not come from the cache; counts why."""
        if found is None:
            reason = asked.bypass or (
                "the cache could not be asked" if controls.lookup else "the request asked for a fresh answer"
            )
            self._metrics.bypasses.labels("request" if asked.bypass else "failure" if controls.lookup else "control").inc()
            self._activity.count("bypasses")
            tell_verdict(span, None, reason)
            return status_headers(None, reason=reason)
        verdict = found.verdict
        tell_verdict(span, verdict)
        if verdict.kind == "bypass":
            self._metrics.bypasses.labels("exact only").inc()
            self._activity.count("bypasses")
        elif verdict.kind != "hit" or controls.dry_run:
            self._metrics.misses.labels(verdict.refusals[-1].tier if verdict.refusals else "nothing near").inc()
            self._activity.count("misses")
        return status_headers(verdict, dry_run=controls.dry_run)

    # Served

    def _served(self, asked: Asked, found: Found, body: Body, *, collapsed: bool = False, stale: bool = False) -> Response:
        self._metrics.hits.labels("collapsed" if collapsed else found.verdict.tier).inc()
        self._activity.count("hits")
        read, written = tokens_of(body)
        self._metrics.tokens_saved.labels("read").inc(read)
        self._metrics.tokens_saved.labels("written").inc(written)
        self._activity.count("tokens", read + written)
        if money := self._settings.cost(asked.model, read=read, written=written):
            self._metrics.money_saved.inc(money)
            self._activity.count("money", money)
        headers = status_headers(found.verdict, age=found.verdict.age, ttl=found.ttl, collapsed=collapsed, stale=stale)
        answer = replayed(body)
        if asked.stream:
            return StreamingResponse(_each(events(asked, answer)), media_type="text/event-stream", headers=headers)
        return Response(json.dumps(answer), media_type="application/json", headers=headers)

    async def _audit(self, job: _Job) -> None:
        """The fresh answer that a hit has spared, made after all, so that the policy learns from the comparison."""
        asked = replace(job.asked, stream=False)
        body = {name: value for name, value in json.loads(job.data).items() if name not in ("stream", "stream_options")}
        out = replace(job.out, body=json.dumps(body).encode())
        try:
            async with asyncio.timeout(self._settings.deadline):
                response = await self._upstreams.send(job.upstream, out)
                try:
                    data = await response.aread()
                finally:
                    await response.aclose()
        except (UpstreamError, httpx2.HTTPError, TimeoutError):
            return
        await self._keep(replace(job, asked=asked), _json(data), status=response.status_code)

    # Forwarded

    async def _joined(self, job: _Job) -> Response:
        """Wait for an identical request that is already on its way, else be the one that others wait for."""
        assert job.scope is not None
        key = (job.scope.digest, normalised(job.asked.prompt) or job.asked.prompt)
        known = self._flights.get(key)
        if known is None:
            flight = self._flights[key] = asyncio.get_running_loop().create_future()
            return await self._forward(replace(job, flight=flight, forget=lambda: self._flights.pop(key, None)))
        body = await asyncio.shield(known)
        if body is None or job.found is None:
            return await self._forward(job)
        self._metrics.collapsed.inc()
        verdict = Verdict(kind="hit", similarity=1.0, reason="an identical request was on its way", tier="exact")
        return self._served(job.asked, replace(job.found, verdict=verdict, ttl=None), body, collapsed=True)

    async def _forward(self, job: _Job) -> Response:
        with ExitStack() as landing:
            # Whatever happens before somebody else has taken it over, nobody waits in vain.
            landing.callback(job.end)
            try:
                headers = dict(job.out.headers)
                with upstream_span(job.upstream.url, headers):
                    async with asyncio.timeout(self._settings.deadline):
                        response = await self._upstreams.send(job.upstream, replace(job.out, headers=headers))
            except (UpstreamError, TimeoutError) as error:
                return await self._failed(job, error)
            self._metrics.upstream_seconds.labels(job.upstream.url).observe(time.time() - job.begun)
            if response.status_code != 200 or not job.storable:
                return passed_on(response, job.headers)
            if not response.headers.get("content-type", "").startswith("text/event-stream"):
                return await self._whole(job, response, landing)
            landing.pop_all()
            return self._recorded(job, response)

    async def _failed(self, job: _Job, error: UpstreamError | TimeoutError) -> Response:
        """An entry past its time where the settings allow it, else what went wrong."""
        if isinstance(error, TimeoutError):
            error = UpstreamError(f"No answer within {self._settings.deadline:g} seconds.", status=504, kind="timeout")
        self._metrics.upstream_failures.labels(job.upstream.url, error.kind).inc()
        job.span.record_exception(error)
        if self._settings.stale_if_error and job.scope is not None and job.controls.lookup and job.controls.max_age is None:
            found = await self._memory.look(job.asked, job.scope, max_age=None, stale=True)
            if found is not None and found.body is not None:
                self._metrics.stale.inc()
                return self._served(job.asked, found, found.body, stale=True)
        return upstream_failure(error, job.headers)

    async def _whole(self, job: _Job, response: httpx2.Response, landing: ExitStack) -> Response:
        try:
            async with asyncio.timeout(self._settings.deadline):
                data = await response.aread()
        except (httpx2.HTTPError, TimeoutError) as error:
            self._metrics.upstream_failures.labels(job.upstream.url, "body").inc()
            broken = UpstreamError(f"The answer broke off: {type(error).__name__}.", status=502, kind="body")
            return upstream_failure(broken, job.headers)
        finally:
            await response.aclose()
        landing.pop_all()
        self._tasks.start(self._keep(job, _json(data), size=len(data)))
        answer = Response(data, status_code=response.status_code)
        answer.raw_headers += encoded([*response_headers(response.headers.multi_items(), DECODED), *job.headers.items()])
        return answer

    def _recorded(self, job: _Job, response: httpx2.Response) -> Response:
        """Pass a stream on while it is recorded. A client that leaves does not stop it: its answer is paid for, and kept."""
        stream = _Stream()
        self._tasks.start(self._pump(job, response, stream))
        answer = Passing(stream, status=response.status_code, ended=stream.leave)
        answer.raw_headers = encoded([*response_headers(response.headers.multi_items()), *job.headers.items()])
        return answer

    async def _pump(self, job: _Job, response: httpx2.Response, stream: _Stream) -> None:
        recording = Recording(job.asked.endpoint, limit=self._settings.max_entry)
        broken: BaseException | None = None
        try:
            async with asyncio.timeout(self._settings.deadline):
                async for data in response.aiter_raw():
                    recording.feed(data)
                    await stream.put(data)
        except (httpx2.HTTPError, TimeoutError) as error:
            self._metrics.upstream_failures.labels(job.upstream.url, "body").inc()
            broken = error
        except BaseException as error:
            # Stopped, or a fault of ours: the client must not take what it has for the whole.
            broken = error
            raise
        finally:
            body = None if broken else recording.body
            await response.aclose()
            if body is None:
                job.end()
                self._metrics.unstored.labels("incomplete").inc()
            else:
                # Beside the client, which may be slow to take the rest.
                self._tasks.start(self._keep(job, body))
            await stream.end(broken)

    async def _keep(self, job: _Job, body: Any, *, size: int = 0, status: int = 200) -> None:
        """Land those who wait, and store what may be stored."""
        with ExitStack() as landing:
            landing.callback(job.end)
            assert job.scope is not None
            outcome = outcome_of(job.asked.endpoint, body, asked=job.asked, status=status)
            if size > self._settings.max_entry:
                self._metrics.unstored.labels("too large").inc()
                return
            if outcome.error:
                self._metrics.unstored.labels("error").inc()
                return
            read, written = tokens_of(body)
            if refuse_storing(outcome, max_temperature=self._settings.max_temperature) is None:
                job.land(body)
            cost = self._settings.cost(job.asked.model, read=read, written=written) or float(read + written or 1)
            with storing_span(model=str(body.get("model", "")), finish=outcome.finish, read=read, written=written):
                refused = await self._memory.keep(job.asked, job.scope, job.found, body, outcome, begun=job.begun, cost=cost)
            (self._metrics.unstored.labels("refused") if refused else self._metrics.stored).inc()


class _Stream:
    """Bytes from the task that reads the upstream to the response that writes to the client, which may go away."""

    def __init__(self) -> None:
        self._queue: asyncio.Queue[bytes | None] = asyncio.Queue(_AHEAD)
        self._broken: BaseException | None = None
        self._gone = False

    async def put(self, data: bytes) -> None:
        """Hand on the next bytes; waits for a slow client, and not for one that has gone."""
        if not self._gone:
            await self._queue.put(data)

    async def end(self, broken: BaseException | None) -> None:
        """Nothing more comes, because of ``broken`` if that is given: then the client's connection breaks off, too."""
        self._broken = broken
        if not self._gone:
            await self._queue.put(None)

    async def __aiter__(self) -> Any:
        while (data := await self._queue.get()) is not None:
            yield data
        if self._broken is not None:
            raise ConnectionError("the upstream's stream broke off") from self._broken

    async def leave(self) -> None:
        """The client has gone, or has all: a reader of the upstream that waits for room goes on alone."""
        self._gone = True
        while not self._queue.empty():
            self._queue.get_nowait()


def _json(data: bytes) -> Any:
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        return None


async def _each(parts: Any) -> Any:
    for part in parts:
        yield part
