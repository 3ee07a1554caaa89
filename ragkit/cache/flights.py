"""Single flight: of identical requests at the same time one makes the answer, and the others wait for it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from threading import Lock
from typing import Literal, NamedTuple


class Landing(NamedTuple):
    """How a flight ended: with an ``answer`` for all; "alone", and each waiter makes its own; "again", and one of them leads anew."""

    how: Literal["answer", "alone", "again"]
    answer: str = ""


@dataclass(slots=True, eq=False)
class Flight:
    """An answer being made for ``key``; ``awaited`` are the flights that its maker waits for meanwhile."""

    key: object
    landed: Future[Landing] = field(default_factory=Future)
    awaited: list[Flight] = field(default_factory=list)


#: Flights that the code running here is part of: a context goes with a task, and into ``asyncio.to_thread``.
_leading: ContextVar[tuple[Flight, ...]] = ContextVar("leading", default=())


class Flights:
    """Flights of threads and of tasks on any event loop, by key; no lock is held while an answer is made.

    Whoever leads must ``land``, whatever happens: with "alone" when the making failed, as an error is nobody's but its maker's;
    with "again" when it was cancelled, as nothing is known then. Makers may ask for other answers: who would wait in a circle,
    because the other flight waits for one of its own, is told "alone" at once. (A thread that a maker starts by itself is not
    known to belong to it.)
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._flights: dict[object, Flight] = {}

    def join(self, key: object) -> tuple[Flight, bool]:
        """The flight for ``key``, and whether the caller leads it."""
        with self._lock:
            flight = self._flights.get(key)
            if flight is not None:
                return flight, False
            flight = self._flights[key] = Flight(key)
        _leading.set((*_leading.get(), flight))
        return flight, True

    def land(self, flight: Flight, landing: Landing) -> None:
        """End a flight; later requests start another."""
        _leading.set(tuple(one for one in _leading.get() if one is not flight))
        with self._lock:
            if self._flights.get(flight.key) is flight:
                del self._flights[flight.key]
        if not flight.landed.done():
            flight.landed.set_result(landing)

    def wait(self, flight: Flight) -> Landing:
        """The end of somebody else's flight; "alone" where it could never come."""
        with self._waiting(flight) as hopeful:
            return flight.landed.result() if hopeful else Landing("alone")

    async def await_(self, flight: Flight) -> Landing:
        """``wait`` for a task; cancelling the waiter leaves the flight as it is."""
        with self._waiting(flight) as hopeful:
            return await asyncio.shield(asyncio.wrap_future(flight.landed)) if hopeful else Landing("alone")

    @contextmanager
    def _waiting(self, flight: Flight) -> Iterator[bool]:
        """While the flights led here wait for another; False when that one waits for them."""
        mine = _leading.get()
        with self._lock:
            hopeful = not _reaches(flight, mine)
            for one in mine if hopeful else ():
                one.awaited.append(flight)
        try:
            yield hopeful
        finally:
            with self._lock:
                for one in mine if hopeful else ():
                    one.awaited.remove(flight)

    def __len__(self) -> int:
        return len(self._flights)


def _reaches(flight: Flight, ends: tuple[Flight, ...]) -> bool:
    seen: list[Flight] = []
    todo = [flight]
    while todo:
        one = todo.pop()
        if one in ends:
            return True
        if one not in seen:
            seen.append(one)
            todo += one.awaited
    return False
