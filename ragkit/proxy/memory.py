"""The cache as the server uses it: look-ups and writes in threads of their own, which may fail without failing a request."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from ragkit.cache import Made, Outcome, Scope, SemanticCache, Verdict, refuse_storing
from ragkit.cache.questions import Question
from ragkit.errors import RagkitError
from ragkit.proxy.activity import Activity
from ragkit.proxy.answers import Body
from ragkit.proxy.judging import Judge
from ragkit.proxy.metrics import Metrics
from ragkit.proxy.requests import Asked

_LOG = logging.getLogger("ragkit.proxy")
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A verdict on a question; for a hit the stored body, its age, and the seconds it has left (None: for ever)."""

    question: Question
    verdict: Verdict
    body: Body | None = None
    age: float | None = None
    ttl: float | None = None


class Memory:
    """A SemanticCache behind the server.

    A look-up or a write that fails is counted, logged without its texts, and passed over. ``ttl`` is the age up to which entries
    are fresh: the cache itself may keep them longer, to be served when no upstream answers.
    """

    def __init__(
        self,
        cache: SemanticCache,
        metrics: Metrics,
        activity: Activity,
        *,
        judge: Judge | None,
        ttl: float | None,
        max_temperature: float,
    ) -> None:
        self.cache = cache
        self._metrics, self._activity, self._judge = metrics, activity, judge
        self._ttl, self._max_temperature = ttl, max_temperature
        self._readers = ThreadPoolExecutor(16, thread_name_prefix="ragkit-look")
        self._writers = ThreadPoolExecutor(8, thread_name_prefix="ragkit-keep")

    async def look(self, asked: Asked, scope: Scope, *, max_age: float | None, stale: bool = False) -> Found | None:
        """What the cache says; None when it could not be asked. With ``stale`` entries past their time are served, too."""
        ages = [age for age in (max_age, None if stale else self._ttl) if age is not None]

        def ask() -> Found:
            question = self.cache.question(asked.prompt, scope)
            if asked.exact:
                question.alone = asked.exact
            verdict = self.cache.look(question, max_age=min(ages, default=None))
            if verdict.kind == "near":
                self._near(asked, verdict)
            entry = self.cache.get(verdict.entry) if verdict.kind == "hit" and verdict.entry else None
            if verdict.answer is None or entry is None:
                return Found(question=question, verdict=verdict)
            age = time.time() - entry.created
            left = [
                end for end in (entry.expires - time.time(), None if self._ttl is None else self._ttl - age) if end is not None
            ]
            ttl = min(left)
            return Found(
                question=question,
                verdict=verdict,
                body=json.loads(verdict.answer),
                age=age,
                ttl=None if ttl == float("inf") else ttl,
            )

        begun = time.perf_counter()
        found = await self._in(self._readers, "lookup", ask)
        self._metrics.lookup_seconds.observe(time.perf_counter() - begun)
        return found

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
        refused = refuse_storing(outcome, max_temperature=self._max_temperature)
        if refused:
            return refused

        def store() -> str:
            question = found.question if found is not None else self.cache.question(asked.prompt, scope)
            if asked.exact:
                question.alone = asked.exact
            made = Made(outcome=replace(outcome, text=json.dumps(body)), cost=cost)
            stored = self.cache.store(question, made, begun=begun)
            if found is not None and found.verdict.judge and self._judge is not None:
                self._compare(question, found.verdict, body, stored.entry)
            return stored.reason

        told = await self._in(self._writers, "put", store)
        return "the cache failed" if told is None else told

    def _compare(self, question: Question, verdict: Verdict, fresh: Mapping[str, Any], entry: str | None) -> None:
        stored = self.cache.get(str(verdict.entry))
        if stored is None or self._judge is None:
            return
        same = self._judge(question.text, json.loads(stored.answer), fresh)
        self.cache.judged(verdict, same=same)
        if same and entry is not None:
            self.cache.join(entry, stored.group)

    async def call(self, doing: str, act: Callable[[], _T]) -> _T | None:
        """Anything else of the cache, off the event loop; None when it failed."""
        return await self._in(self._writers, doing, act)

    async def _in(self, pool: ThreadPoolExecutor, doing: str, act: Callable[[], _T]) -> _T | None:
        try:
            return await asyncio.get_running_loop().run_in_executor(pool, act)
        except (RagkitError, OSError, ValueError) as error:
            self._metrics.failures.labels(doing).inc()
            _LOG.warning("cache %s failed: %s: %s", doing, type(error).__name__, error)
            return None

    def close(self) -> None:
        """Finish what was begun and close the cache."""
        self._readers.shutdown()
        self._writers.shutdown()
        self.cache.close()
