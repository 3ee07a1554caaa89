"""The cache as the server uses it: on the event loop where memory tells, else in threads; it may fail without failing a request."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from ragkit.cache import Outcome, Scope, SemanticCache, Verdict
from ragkit.errors import RagkitError
from ragkit.proxy.activity import Activity
from ragkit.proxy.answers import Body
from ragkit.proxy.forwarding import aside, is_small
from ragkit.proxy.metrics import Metrics
from ragkit.proxy.requests import Asked
from ragkit.proxy.storing import Gathered

_LOG = logging.getLogger("ragkit.proxy")
_T = TypeVar("_T")
#: What may go wrong with a cache while requests go on.
_SPARED = (RagkitError, OSError, ValueError)


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A verdict, and for a hit the stored body and the seconds it has left (None: for ever)."""

    verdict: Verdict
    body: Body | None = None
    ttl: float | None = None


class Memory:
    """A SemanticCache behind the server.

    A look-up or a write that fails is counted, logged without its texts, and passed over. ``ttl`` is the age up to which entries
    are fresh: the cache itself may keep them longer, to be served when no upstream answers.
    """

    def __init__(self, cache: SemanticCache, metrics: Metrics, activity: Activity, *, ttl: float | None) -> None:
        self.cache = cache
        self._metrics, self._activity, self._ttl = metrics, activity, ttl
        self._readers = ThreadPoolExecutor(16, thread_name_prefix="ragkit-look")
        self._writers = ThreadPoolExecutor(8, thread_name_prefix="ragkit-keep")
        self._together = Gathered[str](self._writers)

    async def look(self, asked: Asked, scope: Scope, *, size: int, max_age: float | None, stale: bool = False) -> Found | None:
        """What the cache says of a request of ``size`` bytes; None when it could not be asked.

        With ``stale`` entries past their time are served, too.
        """
        wanted = self._wanted(asked, scope, max_age=max_age, stale=stale)
        begun = time.perf_counter()
        try:
            at_once = self.cache.recall(asked.prompt, **wanted) if is_small(size) else None
            found = (
                await self._run(self._readers, lambda: self._found(asked, self.cache.lookup(asked.prompt, **wanted)))
                if at_once is None
                else self._found(asked, at_once)
            )
        except _SPARED as error:
            self._failed("lookup", error)
            return None
        self._metrics.lookup_seconds.observe(time.perf_counter() - begun)
        return found

    async def stored_since(self, asked: Asked, scope: Scope, *, size: int, max_age: float | None) -> Found | None:
        """An exact repetition for a request that has missed before; None where there is none, or it cannot be told."""
        found = await self.look(replace(asked, exact=asked.exact or "missed before"), scope, size=size, max_age=max_age)
        return None if found is None or found.body is None else found

    def _wanted(self, asked: Asked, scope: Scope, *, max_age: float | None, stale: bool = False) -> dict[str, Any]:
        ages = [age for age in (max_age, None if stale else self._ttl) if age is not None]
        return {"scope": scope, "max_age": min(ages, default=None), "exact_only": bool(asked.exact)}

    def _found(self, asked: Asked, verdict: Verdict) -> Found:
        if verdict.kind == "near":
            self._near(asked, verdict)
        if verdict.kind == "bypass" and self.cache.policy.name == "exact":
            # Where nothing is ever compared by meaning, a prompt that is not stored is simply missing.
            verdict = replace(verdict, kind="miss", reason="not stored in this scope")
        if verdict.kind != "hit" or verdict.answer is None:
            return Found(verdict=verdict)
        left = [verdict.ttl, None if self._ttl is None or verdict.age is None else self._ttl - verdict.age]
        return Found(
            verdict=verdict,
            body=json.loads(verdict.answer),
            ttl=min((seconds for seconds in left if seconds is not None), default=None),
        )

    def _near(self, asked: Asked, verdict: Verdict) -> None:
        nearest = verdict.entry or (verdict.refusals[0].entry if verdict.refusals else "")
        stored = self.cache.get(nearest) if nearest else None
        self._activity.near(asked.prompt, verdict, model=asked.model, stored=stored.prompt if stored else "")

    async def keep(
        self,
        asked: Asked,
        scope: Scope,
        found: Found | None,
        body: Mapping[str, Any],
        outcome: Outcome,
        *,
        begun: float,
        cost: float,
    ) -> str:
        """Store an answer begun at ``begun`` (seconds since 1970), and judge by it what came near; "" or why it is not stored."""

        def store() -> str:
            stored = self.cache.put(
                asked.prompt,
                json.dumps(body),
                scope=scope,
                outcome=outcome,
                verdict=found.verdict if found is not None and found.verdict.judge else None,
                begun=begun,
                cost=cost,
                exact_only=bool(asked.exact),
            )
            return stored.reason

        try:
            return await self._together(store)
        except _SPARED as error:
            self._failed("put", error)
            return "the cache failed"

    async def key(self, asked: Asked, scope: Scope, *, size: int) -> str:
        """The same for identical requests; ``size`` is that of the request in bytes."""
        return await aside(size, lambda: self.cache.key(asked.prompt, scope=scope))

    async def overtaken(self, asked: Asked, scope: Scope, *, begun: float) -> bool:
        """Whether an answer begun at ``begun`` has been invalidated since; True where that cannot be told."""
        told = await self._in(self._readers, "lookup", lambda: self.cache.overtaken(asked.prompt, scope=scope, begun=begun))
        return True if told is None else told

    async def call(self, doing: str, act: Callable[[], _T]) -> _T | None:
        """Anything else of the cache, off the event loop; None when it failed."""
        return await self._in(self._writers, doing, act)

    async def _in(self, pool: ThreadPoolExecutor, doing: str, act: Callable[[], _T]) -> _T | None:
        try:
            return await self._run(pool, act)
        except _SPARED as error:
            self._failed(doing, error)
            return None

    async def _run(self, pool: ThreadPoolExecutor, act: Callable[[], _T]) -> _T:
        return await asyncio.get_running_loop().run_in_executor(pool, act)

    def _failed(self, doing: str, error: Exception) -> None:
        self._metrics.failures.labels(doing).inc()
        _LOG.warning("cache %s failed: %s: %s", doing, type(error).__name__, error)

    def close(self) -> None:
        """Finish what was begun and close the cache."""
        self._readers.shutdown()
        self._writers.shutdown()
        self.cache.close()
