"""What a client gets from the cache, and what it is told where nothing comes from there; both are counted here."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterable

from opentelemetry.trace import Span
from starlette.responses import Response, StreamingResponse

from ragkit.cache import Verdict
from ragkit.proxy.activity import Activity
from ragkit.proxy.answers import Body, events, replayed, tokens_of
from ragkit.proxy.controls import Controls, status_headers
from ragkit.proxy.memory import Found
from ragkit.proxy.metrics import Metrics
from ragkit.proxy.requests import Asked
from ragkit.proxy.settings import Settings
from ragkit.proxy.tracing import tell_verdict


class Serving:
    """Makes responses of stored bodies, and headers of verdicts."""

    def __init__(self, settings: Settings, metrics: Metrics, activity: Activity) -> None:
        self._settings, self._metrics, self._activity = settings, metrics, activity

    def served(self, asked: Asked, found: Found, body: Body, *, collapsed: bool = False, stale: bool = False) -> Response:
        """A stored body, or with ``collapsed`` that of an identical request, as the answer to this one."""
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

    def told(self, asked: Asked, controls: Controls, found: Found | None, span: Span) -> dict[str, str]:
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
            self._metrics.misses.labels(_refused_by(verdict)).inc()
            self._activity.count("misses")
        return status_headers(verdict, dry_run=controls.dry_run)


def _refused_by(verdict: Verdict) -> str:
    return verdict.refusals[-1].tier if verdict.refusals else "nothing near"


async def _each(parts: Iterable[bytes]) -> AsyncIterator[bytes]:
    for part in parts:
        yield part
