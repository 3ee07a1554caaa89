"""Making answers that are not there yet: one call for identical requests, judgements and audits behind the answer."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from ragkit.cache.admission import Outcome
from ragkit.cache.desk import Desk
from ragkit.cache.flights import Flight, Flights, Landing
from ragkit.cache.made import Judge, Made, made_of
from ragkit.cache.questions import Question
from ragkit.cache.verdict import Verdict
from ragkit.errors import EmbeddingError, StoreError

Make = Callable[[], str | Outcome | Made]
AsyncMake = Callable[[], Awaitable[str | Outcome | Made] | str | Outcome | Made]
_SPARED = (StoreError, EmbeddingError)


class Fresh(NamedTuple):
    """What a maker returned, when it was called (microseconds since 1970), the seconds it took, and what was ``given`` by then."""

    answer: str | Outcome | Made
    at: int
    seconds: float
    given: Made


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A question with who asks it, how old an answer may be, and what is known beforehand of an answer still to be made."""

    asked: Question
    given: Made
    principal: str
    max_age: float | None

    @property
    def key(self) -> object:
        """Equal for requests that may share one answer in the making."""
        return self.asked.key, self.principal


class Maker:
    """``get_or`` and ``aget_or``. A store that fails is passed by; ``desk.behind.trouble`` says how."""

    def __init__(self, desk: Desk, judge: Judge | None) -> None:
        self._desk, self._judge = desk, judge
        self.flights = Flights()
        self._tasks: set[asyncio.Task[None]] = set()

    # In threads

    def get(self, request: Request, make: Make) -> str:
        """The stored answer, one that is being made, or a new one."""
        verdict = self._look(request)
        if verdict.answer is not None:
            if self._audits(verdict):
                self._desk.behind.do(lambda: self._audited(request, verdict, self._timed(request, make)))
            return verdict.answer
        while True:
            flight, leads = self.flights.join(request.key)
            if leads:
                return self._lead(flight, request, verdict, make)
            landing = self.flights.wait(flight)
            if landing.how == "answer":
                return landing.answer
            if landing.how == "alone":
                return self._kept(request, verdict, self._timed(request, make))[0]

    def _lead(self, flight: Flight, request: Request, verdict: Verdict, make: Make) -> str:
        landing = Landing("alone")
        try:
            known = self._already(request)
            answer, shared = (known, True) if known is not None else self._kept(request, verdict, self._timed(request, make))
            if shared:
                landing = Landing("answer", answer)
            return answer
        finally:
            self.flights.land(flight, landing)

    # On an event loop

    async def aget(self, request: Request, make: AsyncMake) -> str:
        """``get`` for a task: embedding and the store work in threads."""
        verdict = await asyncio.to_thread(self._look, request)
        if verdict.answer is not None:
            if self._audits(verdict):
                self._spawn(self._aaudit(request, verdict, make))
            return verdict.answer
        while True:
            flight, leads = self.flights.join(request.key)
            if leads:
                return await self._alead(flight, request, verdict, make)
            landing = await self.flights.await_(flight)
            if landing.how == "answer":
                return landing.answer
            if landing.how == "alone":
                return (await asyncio.to_thread(self._kept, request, verdict, await self._atimed(request, make)))[0]

    async def _alead(self, flight: Flight, request: Request, verdict: Verdict, make: AsyncMake) -> str:
        landing = Landing("alone")
        try:
            known = await asyncio.to_thread(self._already, request)
            if known is not None:
                answer, shared = known, True
            else:
                answer, shared = await asyncio.to_thread(self._kept, request, verdict, await self._atimed(request, make))
            if shared:
                landing = Landing("answer", answer)
            return answer
        except asyncio.CancelledError:
            landing = Landing("again")
            raise
        finally:
            self.flights.land(flight, landing)

    async def _aaudit(self, request: Request, verdict: Verdict, make: AsyncMake) -> None:
        await asyncio.to_thread(self._audited, request, verdict, await self._atimed(request, make))

    def _spawn(self, work: Any) -> None:
        async def run() -> None:
            try:
                await work
            except Exception as error:
                self._desk.behind.failed(error)

        # The loop keeps weak references only.
        task = asyncio.get_running_loop().create_task(run())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # In both

    def _look(self, request: Request) -> Verdict:
        try:
            return self._desk.look(request.asked, principal=request.principal, max_age=request.max_age)
        except _SPARED as error:
            self._desk.behind.failed(error)
            return Verdict(kind="bypass", reason=f"the cache failed: {error}")

    def _already(self, request: Request, *, any_age: bool = False) -> str | None:
        """The answer that another flight has stored since this request looked."""
        try:
            age = None if any_age else request.max_age
            found = self._desk.repetition(request.asked, principal=request.principal, max_age=age)
        except _SPARED as error:
            self._desk.behind.failed(error)
            return None
        return found.answer if found is not None else None

    def _audits(self, verdict: Verdict) -> bool:
        return verdict.judge and self._judge is not None

    def _kept(self, request: Request, verdict: Verdict, fresh: Fresh) -> tuple[str, bool]:
        """The text of a new answer, now stored, and whether others may have it; the entry that came near is judged by it."""
        made = made_of(fresh.answer).added_to(fresh.given, fresh.seconds)
        shared = self._desk.refuse(request.asked, made) is None
        try:
            stored = self._desk.store(request.asked, made, principal=request.principal, begun=fresh.at)
        except _SPARED as error:
            self._desk.behind.failed(error)
            return made.text, shared
        if stored:
            # What was invalidated or has changed while it was made is nothing for those who came after that.
            shared = self._already(request, any_age=True) is not None
        if shared and verdict.kind == "near":
            self.compare(request.asked, verdict, made.text, stored.entry)
        return made.text, shared

    def _audited(self, request: Request, verdict: Verdict, fresh: Fresh) -> None:
        """Keep the answer that a hit had spared, and judge the hit by it."""
        made = made_of(fresh.answer).added_to(fresh.given, fresh.seconds)
        if self._desk.refuse(request.asked, made) is None:
            stored = self._desk.store(request.asked, made, principal=request.principal, begun=fresh.at)
            self.compare(request.asked, verdict, made.text, stored.entry)

    def _pinned(self, given: Made) -> Made:
        """Before making: a document that changes meanwhile must not be taken for the one that was read."""
        try:
            return self._desk.pinned(given)
        except _SPARED as error:
            self._desk.behind.failed(error)
            return given

    def _timed(self, request: Request, make: Make) -> Fresh:
        given = self._pinned(request.given)
        at, begun = self._desk.vault.now(), time.perf_counter()
        return Fresh(make(), at, time.perf_counter() - begun, given)

    async def _atimed(self, request: Request, make: AsyncMake) -> Fresh:
        given = await asyncio.to_thread(self._pinned, request.given) if request.given.sources else request.given
        at, begun = self._desk.vault.now(), time.perf_counter()
        made = make() if inspect.iscoroutinefunction(make) else await asyncio.to_thread(make)
        answer = await made if inspect.isawaitable(made) else made
        return Fresh(answer, at, time.perf_counter() - begun, given)

    def compare(self, asked: Question, verdict: Verdict, fresh: str, entry: str | None) -> None:
        """Have the judge compare the verdict's entry with a fresh answer, stored as ``entry``, soon; nothing without a judge."""
        judge, near = self._judge, verdict.entry
        if judge is None or near is None or not verdict.judge:
            return

        def work() -> None:
            stored = self._desk.get(near)
            if stored is None:
                return
            same = bool(judge(asked.text, stored.answer, fresh))
            self._desk.judged(verdict, same=same)
            if same and entry is not None:
                self._desk.note(entry, wait=False, group=stored.group)

        self._desk.behind.do(work)
