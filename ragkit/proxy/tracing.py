"""Spans in OpenTelemetry's names for generative AI; without a configured SDK they cost next to nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from urllib.parse import urlsplit

from opentelemetry import propagate, trace
from opentelemetry.trace import Span, SpanKind, StatusCode

from ragkit.cache import Verdict
from ragkit.proxy.requests import Asked

_TRACER = trace.get_tracer("ragkit.proxy")


@contextmanager
def answering_span(asked: Asked, headers: Mapping[str, str], *, prompts: bool) -> Iterator[Span]:
    """The span of one request, a child of the client's where ``traceparent`` names it; prompt text only where ``prompts`` asks for it."""
    attributes: dict[str, str | float] = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": asked.model,
    }
    if asked.temperature is not None:
        attributes["gen_ai.request.temperature"] = asked.temperature
    if prompts and asked.prompt:
        turn = {"role": "user", "parts": [{"type": "text", "content": asked.prompt}]}
        attributes["gen_ai.input.messages"] = json.dumps([turn], ensure_ascii=False)
    parent = propagate.extract(dict(headers))
    with _TRACER.start_as_current_span(
        f"chat {asked.model}", context=parent, kind=SpanKind.SERVER, attributes=attributes
    ) as span:
        yield span


def tell_verdict(span: Span, verdict: Verdict | None, reason: str = "") -> None:
    """What the cache said, on the span."""
    span.set_attribute("ragkit.cache.kind", "bypass" if verdict is None else verdict.kind)
    span.set_attribute("ragkit.cache.reason", reason if verdict is None else verdict.reason)
    if verdict is not None and verdict.tier:
        span.set_attribute("ragkit.cache.tier", verdict.tier)
    if verdict is not None and verdict.similarity is not None:
        span.set_attribute("ragkit.cache.similarity", verdict.similarity)


def tell_failure(span: Span, error: Exception, kind: str) -> None:
    """That no answer came, and why, on the span."""
    span.record_exception(error)
    span.set_attribute("error.type", kind)
    span.set_status(StatusCode.ERROR)


@contextmanager
def upstream_span(url: str, headers: dict[str, str]) -> Iterator[Span]:
    """The span of the call upstream; ``headers`` get the trace's context."""
    parts = urlsplit(url)
    attributes: dict[str, str | int] = {"server.address": parts.hostname or ""}
    if parts.port:
        attributes["server.port"] = parts.port
    with _TRACER.start_as_current_span("POST", kind=SpanKind.CLIENT, attributes=attributes) as span:
        propagate.inject(headers)
        yield span


@contextmanager
def storing_span(*, model: str, finish: str | None, read: int, written: int) -> Iterator[Span]:
    """The span of storing what the upstream answered, with its usage: a child of the request's, which may have ended by then."""
    attributes: dict[str, str | int | list[str]] = {
        "gen_ai.response.model": model,
        "gen_ai.usage.input_tokens": read,
        "gen_ai.usage.output_tokens": written,
    }
    if finish:
        attributes["gen_ai.response.finish_reasons"] = [finish]
    with _TRACER.start_as_current_span("ragkit.cache.store", kind=SpanKind.INTERNAL, attributes=attributes) as span:
        yield span
