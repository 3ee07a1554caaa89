"""What a client gets from the cache, and what it is told where nothing comes from there; both are counted here."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterable

from opentelemetry.trace import Span
from starlette.responses import Response, StreamingResponse

from ragkit.cache import Verdict
from ragkit.proxy.activity import Activity
from ragkit.proxy.answers import Body, events, replayed, tokens_of
from ragkit.proxy.controls import Controls, Instead, status_headers
from ragkit.proxy.memory import Found
from ragkit.proxy.metrics import Metrics
from ragkit.proxy.requests import Asked
from ragkit.proxy.settings import Settings
from ragkit.proxy.tracing import tell_verdict


class Serving:
    """Makes responses of stored bodies, and headers of verdicts."""

    def __init__(self, settings: Settings, metrics: Metrics, activity: Activity) -> None:
        self._settings, self._metrics, self._activity = settings, metrics, activity

    def served(
        self, asked: Asked, found: Found, body: Body, *, collapsed: bool = False, instead: Instead | None = None
    ) -> Response:
        """A stored body, or with ``collapsed`` that of an identical request, as the answer to this one; ``instead`` of an upstream's failure."""
        self._metrics.hits.labels("collapsed" if collapsed else found.verdict.tier).inc()
        self._activity.count("hits")
        read, written = tokens_of(body)
        self._metrics.tokens_saved.labels("read").inc(read)
        self._metrics.tokens_saved.labels("written").inc(written)
        self._activity.count("tokens", read + written)
        if money := self._settings.cost(asked.model, read=read, written=written):
            self._metrics.money_saved.inc(money)
            self._activity.count("money", money)
        headers = status_headers(found.verdict, age=found.verdict.age, ttl=found.ttl, collapsed=collapsed, instead=instead)
        answer = replayed(body)
        if asked.stream:
            return StreamingResponse(_each(events(asked, answer)), media_type="text/event-stream", headers=headers)
        return Response(json.dumps(answer), media_type="application/json", headers=headers)

    def told(self, asked: Asked, controls: Controls, found: Found | None, span: Span) -> dict[str, str]:
        """The headers of an answer that does not come from the cache."""
        if found is None:
            reason = asked.bypass or (
                "the cache could not be asked" if controls.lookup else "the request asked for a fresh answer"
            )
            tell_verdict(span, None, reason)
            return status_headers(None, reason=reason)
        tell_verdict(span, found.verdict)
        return status_headers(found.verdict, dry_run=controls.dry_run)

    def passed(self, asked: Asked, controls: Controls, found: Found | None) -> None:
        """Count a request that the cache does not answer, by why."""
        if found is None:
            self._metrics.bypasses.labels("request" if asked.bypass else "failure" if controls.lookup else "control").inc()
        elif found.verdict.kind == "bypass":
            self._metrics.bypasses.labels("exact only").inc()
        else:
            self._metrics.misses.labels(_refused_by(found.verdict)).inc()
            self._activity.count("misses")
            return
        self._activity.count("bypasses")


def _refused_by(verdict: Verdict) -> str:
    return verdict.refusals[-1].tier if verdict.refusals else "nothing near"


async def _each(parts: Iterable[bytes]) -> AsyncIterator[bytes]:
    for part in parts:
        yield part
