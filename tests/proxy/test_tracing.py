"""What traces say, and what they must not."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from inside import CHAT, Upstream, asks, inside
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

PARENT = (("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),)
SECRET = "the payroll of march"


@pytest.fixture(scope="module")
def exporter() -> InMemorySpanExporter:
    """A process has one provider for good; ``spans`` empties it for each test."""
    made = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(made))
    trace.set_tracer_provider(provider)
    return made


@pytest.fixture
def spans(exporter: InMemorySpanExporter, caplog: pytest.LogCaptureFixture) -> Iterator[InMemorySpanExporter]:
    exporter.clear()
    with caplog.at_level(logging.WARNING):
        yield exporter
    # A span that is written to after its end says so there, and nowhere else.
    assert not [record for record in caplog.records if record.name.startswith("opentelemetry")]


def named(spans: InMemorySpanExporter, name: str) -> list[ReadableSpan]:
    return [span for span in spans.get_finished_spans() if span.name == name]


def facts(span: ReadableSpan) -> dict[str, Any]:
    return dict(span.attributes or {})


async def test_spans_have_the_names_for_generative_ai(tmp_path: Path, spans: InMemorySpanExporter) -> None:
    up = Upstream()
    async with inside(tmp_path, up, prices={"m": {"read": 1, "written": 2}}) as app:
        for stream in (False, True):
            await app.ask(CHAT, asks(f"What is {SECRET}?", temperature=0.5, stream=stream), headers=PARENT)
            await app.settled()
    asked = named(spans, "chat m")
    assert [facts(span)["ragkit.cache.kind"] for span in asked] == ["miss", "hit"]
    for span in asked:
        assert span.kind == SpanKind.SERVER
        assert span.parent is not None
        assert f"{span.context.trace_id:032x}" == "0af7651916cd43dd8448eb211c80319c"
        wanted = {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": "openai",
            "gen_ai.request.model": "m",
            "gen_ai.request.temperature": 0.5,
        }
        assert wanted.items() <= facts(span).items()
    assert facts(asked[1])["ragkit.cache.tier"] == "exact"
    (sent,), (stored,) = named(spans, "POST"), named(spans, "ragkit.cache.store")
    assert (sent.kind, facts(sent)["server.address"]) == (SpanKind.CLIENT, "up.test")
    assert up.seen[0].headers["traceparent"].split("-")[2] == f"{sent.context.span_id:016x}"
    assert facts(stored)["gen_ai.response.finish_reasons"] == ("stop",)
    assert {sent.parent.span_id, stored.parent.span_id} == {asked[0].context.span_id}  # type: ignore[union-attr]
    assert SECRET not in "".join(span.to_json() for span in spans.get_finished_spans())


async def test_prompts_only_where_they_are_asked_for(tmp_path: Path, spans: InMemorySpanExporter) -> None:
    async with inside(tmp_path, Upstream(), trace_prompts=True) as app:
        await app.ask(CHAT, asks(f"What is {SECRET}?"))
    (asked,) = named(spans, "chat m")
    assert SECRET in str(facts(asked)["gen_ai.input.messages"])


async def test_a_failure_is_on_the_span(tmp_path: Path, spans: InMemorySpanExporter) -> None:
    async def answer(request: httpx2.Request) -> httpx2.Response:
        raise httpx2.ConnectError("refused", request=request)

    async with inside(tmp_path, answer, retries=0) as app:
        await app.ask(CHAT, asks(f"What is {SECRET}?"))
    (asked,) = named(spans, "chat m")
    assert asked.status.status_code == StatusCode.ERROR
    assert facts(asked)["error.type"] == "connection"
    assert SECRET not in asked.to_json()
