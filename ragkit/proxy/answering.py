"""A chat request: read, looked up, served, joined to an identical one, or sent on."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace

from opentelemetry.trace import Span
from starlette.requests import Request
from starlette.responses import Response

from ragkit.cache import Scope, Verdict
from ragkit.errors import RagkitError
from ragkit.proxy.activity import Activity
from ragkit.proxy.answers import Body
from ragkit.proxy.fetching import Fetching
from ragkit.proxy.flights import Flight, Flights
from ragkit.proxy.forwarding import BadRequestError, Received, aside, failure, outgoing, read_whole
from ragkit.proxy.job import Job
from ragkit.proxy.memory import Found, Memory
from ragkit.proxy.metrics import Metrics
from ragkit.proxy.requests import Asked, Endpoint, read_request
from ragkit.proxy.serving import Serving
from ragkit.proxy.settings import Settings, Upstream
from ragkit.proxy.tasks import Tasks
from ragkit.proxy.tenancy import deciding, tenant_of
from ragkit.proxy.tracing import answering_span
from ragkit.proxy.upstreams import Outgoing, Upstreams


class Answering:
    """Answers chat and responses requests, from the cache where it may. ``clock`` gives seconds since 1970."""

    def __init__(
        self,
        settings: Settings,
        upstreams: Upstreams,
        memory: Memory,
        metrics: Metrics,
        activity: Activity,
        tasks: Tasks,
        secret: bytes,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._settings, self._memory, self._metrics = settings, memory, metrics
        self._tasks, self._secret, self._clock = tasks, secret, clock
        self._flights = Flights()
        self._serving = Serving(settings, metrics, activity)
        self._fetch = Fetching(settings, upstreams, memory, self._serving, metrics, self._flights, tasks, clock=clock)

    async def __call__(self, request: Request, endpoint: Endpoint) -> Response:
        """The response to a request; errors are responses, too."""
        try:
            received = await read_whole(request, self._settings)
        except BadRequestError as error:
            return failure(error.status, str(error), kind="invalid_request_error")
        asked = await aside(len(received.data), lambda: read_request(endpoint, received.data))
        upstream = self._settings.upstream_for(asked.model)
        if upstream is None:
            return failure(404, f"No upstream of this server serves the model {asked.model!r}.", kind="invalid_request_error")
        with answering_span(asked, received.headers, prompts=self._settings.trace_prompts) as span:
            return await self._answer(request, received, asked, upstream, span)

    async def _answer(self, request: Request, received: Received, asked: Asked, upstream: Upstream, span: Span) -> Response:
        controls = received.controls
        out = outgoing(request, self._settings, received.data, headers=received.headers, plain=True)
        scope: Scope | None = None
        if not asked.bypass:
            try:
                scope = await aside(len(received.data), lambda: self._scope(asked, received, out))
            except RagkitError as error:
                asked = replace(asked, bypass=f"no scope can be made of it: {error}")
        found, ended = None, self._flights.ended
        if scope is not None and controls.lookup:
            found = await self._memory.look(asked, scope, size=len(received.data), max_age=controls.max_age)
        job = Job(
            asked=asked,
            data=received.data,
            controls=controls,
            upstream=upstream,
            out=out,
            scope=scope,
            found=found,
            headers=self._serving.told(asked, controls, found, span),
            span=span,
            begun=self._clock(),
        )
        if found is not None and found.body is not None and not controls.dry_run:
            return self._hit(job, found, found.body)
        if controls.only_cached:
            self._serving.passed(asked, controls, found)
            return failure(
                504, "Only a cached answer was asked for, and there is none.", kind="only_if_cached", extra=job.headers
            )
        alike = asked.temperature is None or asked.temperature <= self._settings.max_temperature
        return await self._joined(job, ended) if job.storable and controls.lookup and alike else await self._fetch(job)

    def _scope(self, asked: Asked, received: Received, out: Outgoing) -> Scope:
        headers: Mapping[str, str] = received.headers
        tenant = tenant_of(headers, self._secret, shared=self._settings.shared_tenant)
        named = {name: headers.get(name) for name in self._settings.scope_headers}
        sent = {"query": out.query, "headers": deciding(out.headers)}
        return asked.scope(tenant=tenant, extra={"headers": named, "scope": received.controls.scope, "sent": sent})

    def _hit(self, job: Job, found: Found, body: Body) -> Response:
        if found.verdict.judge:
            self._tasks.start(self._fetch.audit(replace(job, found=found)))
        return self._serving.served(job.asked, found, body)

    async def _joined(self, job: Job, ended: int) -> Response:
        """Wait for an identical request that is already on its way, else be the one that others wait for.

        ``ended`` is how many flights had ended before the cache was asked.
        """
        assert job.scope is not None
        key = await self._memory.key(job.asked, job.scope, size=len(job.data))
        looked = False
        while (flight := self._flights.get(key)) is None or not await self._may_join(job, flight):
            if flight is None and self._flights.ended != ended and not looked:
                # An identical request may have come to its end between the look into the cache and now: its answer is there.
                found = await self._memory.stored_since(job.asked, job.scope, size=len(job.data), max_age=job.controls.max_age)
                if found is not None and found.body is not None:
                    return self._hit(job, found, found.body)
                looked = True
            elif self._flights.get(key) is flight:
                return await self._fetch(replace(job, flight=self._flights.begin(key, begun=job.begun)))
        body = await flight.wait()
        if body is None or job.found is None:
            return await self._fetch(job)
        self._metrics.collapsed.inc()
        verdict = Verdict(kind="hit", similarity=1.0, reason="an identical request was on its way", tier="exact")
        return self._serving.served(job.asked, replace(job.found, verdict=verdict, ttl=None), body, collapsed=True)

    async def _may_join(self, job: Job, flight: Flight) -> bool:
        """Whether an answer begun when ``flight`` was is new enough: not older than asked for, and nothing was invalidated since."""
        assert job.scope is not None
        if job.controls.max_age is not None and self._clock() - flight.begun > job.controls.max_age:
            return False
        return not await self._memory.overtaken(job.asked, job.scope, begun=flight.begun)
