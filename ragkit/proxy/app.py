"""The server as an ASGI application: routes, start and stop."""

from __future__ import annotations

import asyncio
import json
import math
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import httpx2
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from ragkit.cache import Certified, Judge, Limits, Policy, SemanticCache, Static, load_policy
from ragkit.embed import CoalescingEmbedder, TransformerEmbedder
from ragkit.errors import InvalidInputError
from ragkit.proxy.activity import Activity
from ragkit.proxy.answering import Answering
from ragkit.proxy.embeddings import Embedding
from ragkit.proxy.forwarding import BadPathError, failure, one_line_each, outgoing, passed_on, upstream_failure
from ragkit.proxy.judging import same_text, similar
from ragkit.proxy.memory import Memory
from ragkit.proxy.metrics import Metrics
from ragkit.proxy.settings import Settings
from ragkit.proxy.tasks import Tasks
from ragkit.proxy.tenancy import load_secret
from ragkit.proxy.upstreams import UpstreamError, Upstreams
from ragkit.proxy.vectors import Vectors
from ragkit.seams import Embedder

Handler = Callable[[Request], Awaitable[Response]]


class Server:
    """The parts of one running server, made at start and let go at stop."""

    def __init__(
        self,
        settings: Settings,
        *,
        transport: httpx2.AsyncBaseTransport | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.settings, self.clock = settings, clock
        self.metrics = Metrics()
        self.activity = Activity(show_prompts=settings.show_prompts, clock=clock)
        self.tasks = Tasks()
        #: ``started`` while there is a cache to be asked, ``ready`` while new requests are welcome.
        self.started = self.ready = False
        self.transport = transport

    @asynccontextmanager
    async def running(self, _: Starlette) -> AsyncIterator[None]:
        """Open the cache and the way upstream; at the end wait for answers that are still being stored."""
        settings = self.settings
        secret = load_secret(settings.secret_path)
        cache = await asyncio.to_thread(open_cache, settings, warm=True, clock=self.clock)
        vectors = Vectors(settings.cache.with_name(settings.cache.name + ".embeddings"), limit=settings.max_embeddings)
        self.memory = Memory(cache, self.metrics, self.activity, ttl=settings.ttl)
        try:
            async with Upstreams(settings, transport=self.transport) as upstreams:
                self.upstreams = upstreams
                self.answering = Answering(
                    settings, upstreams, self.memory, self.metrics, self.activity, self.tasks, secret, clock=self.clock
                )
                self.embedding = Embedding(settings, upstreams, vectors, self.metrics, secret)
                self.started = self.ready = True
                yield
                self.ready = False
                await self.tasks.drain(settings.drain)
        finally:
            self.started = False
            vectors.close()
            await asyncio.to_thread(self.memory.close)

    async def chat(self, request: Request) -> Response:
        """``POST /v1/chat/completions``."""
        return await self.answering(request, "chat")

    async def responses(self, request: Request) -> Response:
        """``POST /v1/responses``."""
        return await self.answering(request, "responses")

    async def embeddings(self, request: Request) -> Response:
        """``POST /v1/embeddings``."""
        return await self.embedding(request)

    async def anything(self, request: Request) -> Response:
        """Everything else under /v1, untouched, bodies streamed both ways; asked of the first upstream."""
        upstream = self.settings.upstreams[0]
        has_body = "content-length" in request.headers or "transfer-encoding" in request.headers
        body = request.stream() if has_body else b""
        out = outgoing(request, self.settings, body, headers=one_line_each(request.headers))
        if "content-length" in request.headers:
            # Not every upstream takes a body of unknown length.
            out = replace(out, headers={**out.headers, "content-length": request.headers["content-length"]})
        try:
            response = await self.upstreams.send(upstream, out)
        except UpstreamError as error:
            self.metrics.upstream_failures.labels(upstream.url, error.kind).inc()
            return upstream_failure(error, {})
        return passed_on(response, {})

    async def health(self, _: Request) -> Response:
        """``/healthz``: the process answers."""
        return JSONResponse({"status": "ok"})

    async def readiness(self, _: Request) -> Response:
        """``/readyz``: started, not stopping, and at least one upstream not known to be down."""
        down = self.upstreams.open_breakers() if self.ready else []
        ready = self.ready and len(down) < len(self.settings.upstreams)
        return JSONResponse({"ready": ready, "upstreams_down": down}, status_code=200 if ready else 503)

    async def metrics_page(self, _: Request) -> Response:
        """``/metrics``, in Prometheus' text form."""
        policy = self.memory.cache.policy
        self.metrics.budget.set(policy.settings.budget if isinstance(policy, Certified) else math.nan)
        self.metrics.bound.set(policy.wrong_upper if isinstance(policy, Certified) and not policy.shadow else math.nan)
        return Response(generate_latest(self.metrics.registry), headers={"content-type": CONTENT_TYPE_LATEST})

    def counted(self, endpoint: str, handler: Handler) -> Handler:
        """``handler`` with its requests counted, and a plain error where it fails."""

        async def answer(request: Request) -> Response:
            with self.metrics.in_flight.track_inprogress():
                try:
                    response = await handler(request)
                except ClientDisconnect:
                    # Nobody reads this; 499 is what servers count such requests as.
                    response = failure(499, "The client left before its request was whole.")
                except BadPathError:
                    response = failure(400, "The path holds '.' or '..' as a step.", kind="invalid_request_error")
            self.metrics.requests.labels(endpoint, str(response.status_code)).inc()
            return response

        return answer


def _embedder(settings: Settings) -> Embedder | None:
    """The model that compares prompts, shared by requests that come together; None where only repetitions are served."""
    if settings.policy == "exact":
        return None
    return CoalescingEmbedder(TransformerEmbedder(settings.embedder) if settings.embedder else TransformerEmbedder())


def open_cache(settings: Settings, *, warm: bool = False, clock: Callable[[], float] = time.time) -> SemanticCache:
    """The cache that the settings describe, with ``warm`` its model loaded; its errors, and InvalidInputError for a policy that is no name and no readable file."""
    embedder = _embedder(settings)
    if warm and embedder is not None:
        embedder.embed_query("The first question waits for nobody.")
    grace = settings.stale_if_error
    return SemanticCache(
        settings.cache,
        embedder=embedder,
        policy=_policy(settings),
        ttl=None if settings.ttl is None else settings.ttl + grace,
        limits=Limits() if settings.max_entries is None else Limits(entries=settings.max_entries),
        max_temperature=settings.max_temperature,
        judge=_judge(settings, embedder),
        clock=clock,
    )


def _policy(settings: Settings) -> str | Policy:
    if settings.policy == "static" and settings.threshold is not None:
        return Static(settings.threshold)
    if settings.policy in ("exact", "static", "calibrated", "certified"):
        return settings.policy
    try:
        return load_policy(json.loads(Path(settings.policy).read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise InvalidInputError(
            f"policy is {settings.policy!r}, which is neither exact, static, calibrated or certified nor a file with a policy: {error}."
        ) from error


def _judge(settings: Settings, embedder: Embedder | None) -> Judge | None:
    if settings.judge == "none" or embedder is None:
        return None
    return same_text if settings.judge == "same-text" else similar(embedder)


def make_app(
    settings: Settings,
    *,
    transport: httpx2.AsyncBaseTransport | None = None,
    clock: Callable[[], float] = time.time,
) -> Starlette:
    """The application for clients: /v1, /healthz, /readyz. ``make_admin`` makes the one for operators.

    ``transport`` takes the place of the network, ``clock`` that of the time of day in seconds since 1970.
    """
    server = Server(settings, transport=transport, clock=clock)
    counted = server.counted
    every = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
    routes = [
        Route("/v1/chat/completions", counted("chat", server.chat), methods=["POST"]),
        Route("/v1/responses", counted("responses", server.responses), methods=["POST"]),
        Route("/v1/embeddings", counted("embeddings", server.embeddings), methods=["POST"]),
        Route("/v1/{rest:path}", counted("other", server.anything), methods=every),
        Route("/healthz", server.health),
        Route("/readyz", server.readiness),
    ]
    app = Starlette(routes=routes, lifespan=server.running, exception_handlers={404: _unknown})
    app.state.server = server
    return app


async def _unknown(request: Request, _: Exception) -> Response:
    return failure(404, f"There is nothing at {request.url.path}; the API is under /v1.", kind="invalid_request_error")
