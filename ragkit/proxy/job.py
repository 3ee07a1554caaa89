"""One chat request on its way upstream, with all that is known of it."""

from __future__ import annotations

from dataclasses import dataclass

from opentelemetry.trace import Span

from ragkit.cache import Scope
from ragkit.proxy.controls import Controls
from ragkit.proxy.flights import Flight
from ragkit.proxy.memory import Found
from ragkit.proxy.requests import Asked
from ragkit.proxy.settings import Upstream
from ragkit.proxy.upstreams import Outgoing


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What is asked, of whom, in which scope, with which wishes, and what the cache said.

    ``begun`` is when it was begun, in seconds since 1970; ``headers`` tell the client of the cache, ``span`` is its trace,
    ``flight`` what identical requests wait for.
    """

    asked: Asked
    data: bytes
    controls: Controls
    upstream: Upstream
    out: Outgoing
    scope: Scope | None
    found: Found | None
    headers: dict[str, str]
    span: Span
    begun: float
    flight: Flight | None = None

    @property
    def storable(self) -> bool:
        """Whether the answer may be stored, as far as the request is concerned."""
        return self.scope is not None and self.controls.store and not self.controls.dry_run
