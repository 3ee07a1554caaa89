"""A chat request that goes upstream: sent, passed on, recorded as it passes, stored behind the answer."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace

import httpx2
from starlette.responses import Response

from ragkit.cache import refuse_storing
from ragkit.proxy.answers import Body, outcome_of, tokens_of
from ragkit.proxy.controls import Instead
from ragkit.proxy.flights import Flights
from ragkit.proxy.forwarding import Passing, aside, encoded, passed_on, upstream_failure
from ragkit.proxy.job import Job
from ragkit.proxy.memory import Memory
from ragkit.proxy.metrics import Metrics
from ragkit.proxy.reading import read_json
from ragkit.proxy.recording import Recording
from ragkit.proxy.serving import Serving
from ragkit.proxy.settings import Settings
from ragkit.proxy.streams import Stream
from ragkit.proxy.tasks import Tasks
from ragkit.proxy.tracing import storing_span, tell_failure, upstream_span
from ragkit.proxy.upstreams import DECODED, UpstreamError, Upstreams, response_headers

#: What counts as an error for entries past their time (RFC 5861, section 4).
_FAILING = frozenset((500, 502, 503, 504))


class Fetching:
    """Gets answers from upstreams. ``clock`` gives seconds since 1970.

    A job's flight is ended here, whatever happens: when nothing came of it, or once its answer is stored.
    """

    def __init__(
        self,
        settings: Settings,
        upstreams: Upstreams,
        memory: Memory,
        serving: Serving,
        metrics: Metrics,
        flights: Flights,
        tasks: Tasks,
        *,
        clock: Callable[[], float],
    ) -> None:
        self._settings, self._upstreams, self._memory, self._serving = settings, upstreams, memory, serving
        self._metrics, self._flights, self._tasks, self._clock = metrics, flights, tasks, clock

    async def __call__(self, job: Job) -> Response:
        """The upstream's response, or a failure that says why there is none."""
        self._serving.passed(job.asked, job.controls, job.found)
        with ExitStack() as landing:
            # Whatever happens before somebody else has taken it over, nobody waits in vain.
            landing.callback(self._end, job)
            try:
                headers = dict(job.out.headers)
                with upstream_span(job.upstream.url, headers):
                    async with asyncio.timeout(self._settings.deadline):
                        response = await self._upstreams.send(job.upstream, replace(job.out, headers=headers))
            except (UpstreamError, TimeoutError) as error:
                return await self._failed(job, error)
            self._metrics.upstream_seconds.labels(job.upstream.url).observe(max(0.0, self._clock() - job.begun))
            if response.status_code in _FAILING:
                instead = await self._stale(job, Instead(asked=True, status=response.status_code))
                if instead is not None:
                    await response.aclose()
                    return instead
            if response.status_code != 200 or not job.storable:
                return passed_on(response, job.headers)
            if not response.headers.get("content-type", "").startswith("text/event-stream"):
                return await self._whole(job, response, landing)
            landing.pop_all()
            return self._recorded(job, response)

    async def audit(self, job: Job) -> None:
        """Make the answer that a hit has spared after all, so that the policy learns from the comparison."""
        asked = replace(job.asked, stream=False)
        out = replace(job.out, body=await aside(len(job.data), lambda: _plain(job.data)))
        try:
            async with asyncio.timeout(self._settings.deadline):
                response = await self._upstreams.send(job.upstream, out)
                try:
                    data = await response.aread()
                finally:
                    await response.aclose()
        except (UpstreamError, httpx2.HTTPError, TimeoutError):
            return
        await self._keep(replace(job, asked=asked), data, status=response.status_code)

    def _end(self, job: Job) -> None:
        if job.flight is not None:
            self._flights.end(job.flight)

    async def _failed(self, job: Job, error: UpstreamError | TimeoutError) -> Response:
        """An entry past its time where the settings allow it, else what went wrong."""
        if isinstance(error, TimeoutError):
            error = UpstreamError(f"No answer within {self._settings.deadline:g} seconds.", status=504, kind="timeout")
        self._metrics.upstream_failures.labels(job.upstream.url, error.kind).inc()
        tell_failure(job.span, error, error.kind)
        instead = await self._stale(job, Instead(asked=error.kind not in ("breaker", "busy")))
        return upstream_failure(error, job.headers) if instead is None else instead

    async def _stale(self, job: Job, instead: Instead) -> Response | None:
        """An entry past its time, where the settings and the request allow one and there is one."""
        wanted = job.controls.lookup and not job.controls.dry_run and job.controls.max_age is None
        if not (self._settings.stale_if_error and wanted) or job.scope is None:
            return None
        found = await self._memory.look(job.asked, job.scope, size=len(job.data), max_age=None, stale=True)
        if found is None or found.body is None:
            return None
        self._metrics.stale.inc()
        return self._serving.served(job.asked, found, found.body, instead=instead)

    async def _whole(self, job: Job, response: httpx2.Response, landing: ExitStack) -> Response:
        try:
            async with asyncio.timeout(self._settings.deadline):
                data = await response.aread()
        except (httpx2.HTTPError, TimeoutError) as error:
            broken = UpstreamError(f"The answer broke off: {type(error).__name__}.", status=502, kind="body")
            return await self._failed(job, broken)
        finally:
            await response.aclose()
        landing.pop_all()
        # A task runs when this one waits for the first time: the answer is on its way by then.
        self._tasks.start(self._keep(job, data))
        answer = Response(data, status_code=response.status_code)
        answer.raw_headers += encoded([*response_headers(response.headers.multi_items(), DECODED), *job.headers.items()])
        return answer

    def _recorded(self, job: Job, response: httpx2.Response) -> Response:
        """Pass a stream on while it is recorded. A client that leaves does not stop it: its answer is paid for, and kept."""
        stream = Stream()
        if job.flight is not None:
            job.flight.when_awaited(stream.hurry)
        self._tasks.start(self._pump(job, response, stream))
        answer = Passing(stream, status=response.status_code, ended=stream.leave)
        answer.raw_headers = encoded([*response_headers(response.headers.multi_items()), *job.headers.items()])
        return answer

    async def _pump(self, job: Job, response: httpx2.Response, stream: Stream) -> None:
        recording = Recording(job.asked.endpoint, limit=self._settings.max_entry)
        broken: BaseException | None = None
        try:
            async with asyncio.timeout(self._settings.deadline):
                async for data in response.aiter_raw():
                    recording.feed(data)
                    if recording.spoilt:
                        # Who waits for it need not wait for the rest.
                        self._end(job)
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
            if body is None:
                self._end(job)
                self._metrics.unstored.labels("incomplete").inc()
            else:
                # Beside the client, which may be slow to take the rest.
                self._tasks.start(self._keep(job, body))
            stream.end(broken)
            # Last: a connection that cannot be closed is nobody's fault who waits here.
            await response.aclose()

    async def _keep(self, job: Job, given: bytes | Body, *, status: int = 200) -> None:
        """Land those who wait, and store what may be stored."""
        with ExitStack() as landing:
            landing.callback(self._end, job)
            assert job.scope is not None
            size = len(given) if isinstance(given, bytes) else 0
            if size > self._settings.max_entry:
                self._metrics.unstored.labels("too large").inc()
                return
            body = await aside(size, lambda: read_json(given)) if isinstance(given, bytes) else given
            outcome = outcome_of(job.asked.endpoint, body, asked=job.asked, status=status)
            if outcome.error:
                self._metrics.unstored.labels("error").inc()
                return
            read, written = tokens_of(body)
            if job.flight is not None and refuse_storing(outcome, max_temperature=self._settings.max_temperature) is None:
                job.flight.land(body)
            cost = self._settings.cost(job.asked.model, read=read, written=written) or float(read + written or 1)
            with storing_span(model=str(body.get("model", "")), finish=outcome.finish, read=read, written=written):
                refused = await self._memory.keep(job.asked, job.scope, job.found, body, outcome, begun=job.begun, cost=cost)
            (self._metrics.unstored.labels("refused") if refused else self._metrics.stored).inc()


def _plain(data: bytes) -> bytes:
    """A request as it would be without streaming."""
    body = {name: value for name, value in json.loads(data).items() if name not in ("stream", "stream_options")}
    return json.dumps(body).encode()
