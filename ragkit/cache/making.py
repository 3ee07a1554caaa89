"""Making answers that are not there yet: one call for identical requests, judgements and audits behind the answer."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from threading import Lock
from typing import TYPE_CHECKING, Any

from ragkit.cache.admission import Outcome
from ragkit.cache.candidate import Candidate
from ragkit.cache.flights import Flight, Flights, Landing
from ragkit.cache.questions import Question
from ragkit.cache.sources import Source
from ragkit.cache.verdict import Verdict, Verifier
from ragkit.errors import EmbeddingError, StoreError

if TYPE_CHECKING:
    from ragkit.cache.semantic import SemanticCache

#: Says of a prompt, a stored answer and a fresh one whether both say the same. One that raises has not judged.
Judge = Callable[[str, str, str], bool]
#: Judgements and audits that may wait; more are skipped and counted.
_WAITING = 64
_STORE = (StoreError, EmbeddingError)


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """A fresh answer with what it rests on; ``get_or``'s ``make`` may return one instead of a text.

    ``sources`` and ``tags`` are added to those given with the prompt; ``cost`` None counts the seconds it took.
    """

    outcome: Outcome
    sources: tuple[Source, ...] = ()
    tags: tuple[str, ...] = ()
    cost: float | None = None
    ttl: float | None = None


Make = Callable[[], "str | Outcome | Made"]
AsyncMake = Callable[[], "Awaitable[str | Outcome | Made] | str | Outcome | Made"]


class Maker:
    """``get_or`` and ``aget_or`` of a cache, and the work behind them in two threads."""

    def __init__(self, cache: SemanticCache, judge: Judge | None, flights: Flights) -> None:
        self._cache, self._judge, self.flights = cache, judge, flights
        self._pool = ThreadPoolExecutor(2, thread_name_prefix="ragkit-cache-behind")
        self._tasks: set[asyncio.Task[None]] = set()
        self._waiting: set[Future[None]] = set()
        self._lock = Lock()
        self.skipped = 0
        self.trouble = ""

    # Sync

    def get(self, asked: Question, make: Make, given: Made, principal: str, max_age: float | None) -> str:
        """The stored answer, one that is being made, or a new one."""
        verdict = self._look(asked, principal, max_age)
        if verdict.kind == "hit" and verdict.answer is not None:
            if verdict.judge and self._judge is not None:
                self._behind(lambda: self._audit(asked, verdict, given, principal, make))
            return verdict.answer
        while True:
            flight, leads = self.flights.join((asked.key, principal))
            if leads:
                return self._lead(flight, asked, verdict, make, given, principal, max_age)
            landing = self.flights.wait(flight)
            if landing.how == "answer":
                return landing.answer
            if landing.how == "alone":
                return self._fresh(asked, verdict, make, given, principal)[0]

    def _lead(
        self, flight: Flight, asked: Question, verdict: Verdict, make: Make, given: Made, principal: str, max_age: float | None
    ) -> str:
        landing = Landing("alone")
        try:
            known = self._already(asked, principal, max_age)
            answer, shared = (known, True) if known is not None else self._fresh(asked, verdict, make, given, principal)
            if shared:
                landing = Landing("answer", answer)
            return answer
        finally:
            self.flights.land(flight, landing)

    def _fresh(self, asked: Question, verdict: Verdict, make: Make, given: Made, principal: str) -> tuple[str, bool]:
        """A new answer, stored, and whether others may have it."""
        begun, started = self._cache.time(), time.perf_counter()
        made = _merged(make(), given, time.perf_counter() - started)
        return made.outcome.text, self._keep(asked, verdict, made, principal, begun)

    # Async

    async def aget(self, asked: Question, make: AsyncMake, given: Made, principal: str, max_age: float | None) -> str:
        """``get`` on the running loop."""
        verdict = await asyncio.to_thread(self._look, asked, principal, max_age)
        if verdict.kind == "hit" and verdict.answer is not None:
            if verdict.judge and self._judge is not None:
                self._spawn(self._aaudit(asked, verdict, given, principal, make))
            return verdict.answer
        while True:
            flight, leads = self.flights.join((asked.key, principal))
            if leads:
                return await self._alead(flight, asked, verdict, make, given, principal, max_age)
            landing = await self.flights.await_(flight)
            if landing.how == "answer":
                return landing.answer
            if landing.how == "alone":
                return (await self._afresh(asked, verdict, make, given, principal))[0]

    async def _alead(
        self,
        flight: Flight,
        asked: Question,
        verdict: Verdict,
        make: AsyncMake,
        given: Made,
        principal: str,
        max_age: float | None,
    ) -> str:
        landing = Landing("alone")
        try:
            known = await asyncio.to_thread(self._already, asked, principal, max_age)
            answer, shared = (known, True) if known is not None else await self._afresh(asked, verdict, make, given, principal)
            if shared:
                landing = Landing("answer", answer)
            return answer
        except asyncio.CancelledError:
            landing = Landing("again")
            raise
        finally:
            self.flights.land(flight, landing)

    async def _afresh(self, asked: Question, verdict: Verdict, make: AsyncMake, given: Made, principal: str) -> tuple[str, bool]:
        begun, started = self._cache.time(), time.perf_counter()
        made = _merged(await _result(make), given, time.perf_counter() - started)
        return made.outcome.text, await asyncio.to_thread(self._keep, asked, verdict, made, principal, begun)

    # Both

    def _look(self, asked: Question, principal: str, max_age: float | None) -> Verdict:
        try:
            return self._cache.look(asked, principal=principal, max_age=max_age)
        except _STORE as error:
            self.trouble = str(error)
            return Verdict(kind="bypass", reason=f"the cache cannot be read: {error}")

    def _already(self, asked: Question, principal: str, max_age: float | None) -> str | None:
        """The answer that another flight has stored since this request looked."""
        try:
            found = self._cache.again(asked, principal=principal, max_age=max_age)
        except _STORE as error:
            self.trouble = str(error)
            return None
        return found.answer if found is not None else None

    def _keep(self, asked: Question, verdict: Verdict, made: Made, principal: str, begun: float) -> bool:
        """Store what was made; judge the near entry by it. False where it must not reach others."""
        if self._cache.refuse(asked, made.outcome):
            self._cache.store(asked, made, principal=principal, begun=begun)
            return False
        entry = None
        try:
            entry = self._cache.store(asked, made, principal=principal, begun=begun).entry
        except _STORE as error:
            self.trouble = str(error)
        if verdict.kind == "near" and verdict.judge and self._judge is not None:
            self._behind(lambda: self._compare(asked, verdict, made.outcome.text, entry))
        return True

    def _compare(self, asked: Question, verdict: Verdict, fresh: str, entry: str | None) -> None:
        assert self._judge is not None
        stored = self._cache.get(str(verdict.entry))
        if stored is None:
            return
        same = bool(self._judge(asked.text, stored.answer, fresh))
        self._cache.judged(verdict, same=same)
        if same and entry is not None:
            self._cache.join(entry, stored.group)

    def _audit(self, asked: Question, verdict: Verdict, given: Made, principal: str, make: Make) -> None:
        """Make the answer that a hit has spared, and compare."""
        begun, started = self._cache.time(), time.perf_counter()
        made = _merged(make(), given, time.perf_counter() - started)
        self._audited(asked, verdict, made, principal, begun)

    async def _aaudit(self, asked: Question, verdict: Verdict, given: Made, principal: str, make: AsyncMake) -> None:
        begun, started = self._cache.time(), time.perf_counter()
        made = _merged(await _result(make), given, time.perf_counter() - started)
        await asyncio.to_thread(self._audited, asked, verdict, made, principal, begun)

    def _audited(self, asked: Question, verdict: Verdict, made: Made, principal: str, begun: float) -> None:
        if self._cache.refuse(asked, made.outcome):
            return
        entry = self._cache.store(asked, made, principal=principal, begun=begun).entry
        self._compare(asked, verdict, made.outcome.text, entry)

    def verify_later(self, asked: Question, verdict: Verdict, verifier: Verifier) -> None:
        """Ask about a candidate that only the policy refused; where approved, its answer is stored for this prompt as well.

        Sources, tags and the end of its life are the candidate's own.
        """
        stored = self._cache.get(str(verdict.entry))
        if stored is None or verdict.similarity is None:
            return
        candidate = Candidate(entry=stored.id, prompt=stored.prompt, answer=stored.answer, similarity=verdict.similarity)

        def ask() -> None:
            if verifier(asked.text, candidate) is True and stored.alive:
                self._cache.repeat(stored, asked)

        self._behind(ask)

    def _behind(self, work: Callable[[], None]) -> None:
        def run() -> None:
            try:
                work()
            except Exception as error:
                self.trouble = f"{type(error).__name__}: {error}"

        with self._lock:
            self._waiting = {one for one in self._waiting if not one.done()}
            if len(self._waiting) >= _WAITING:
                self.skipped += 1
                return
            self._waiting.add(self._pool.submit(run))

    def _spawn(self, work: Any) -> None:
        async def run() -> None:
            try:
                await work
            except Exception as error:
                self.trouble = f"{type(error).__name__}: {error}"

        task = asyncio.get_running_loop().create_task(run())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def flush(self) -> None:
        """Wait for the work in threads."""
        while True:
            with self._lock:
                waiting = [one for one in self._waiting if not one.done()]
            if not waiting:
                return
            for one in waiting:
                one.result()

    def close(self) -> None:
        """Finish what waits and end the threads."""
        self._pool.shutdown()


async def _result(make: AsyncMake) -> str | Outcome | Made:
    if inspect.iscoroutinefunction(make):
        return await make()  # type: ignore[no-any-return]
    made = await asyncio.to_thread(make)
    return await made if inspect.isawaitable(made) else made


def _merged(made: str | Outcome | Made, given: Made, seconds: float) -> Made:
    if isinstance(made, str):
        made = Outcome(text=made)
    if isinstance(made, Outcome):
        made = Made(outcome=made)
    cost = given.cost if given.cost is not None else made.cost
    return replace(
        made,
        sources=(*given.sources, *made.sources),
        tags=(*given.tags, *made.tags),
        cost=cost if cost is not None else seconds,
        ttl=min((ttl for ttl in (given.ttl, made.ttl) if ttl is not None), default=None),
    )
