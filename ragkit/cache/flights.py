"""Single flight: of identical requests at the same time one makes the answer, and the others wait for it."""

from __future__ import annotations

import asyncio
from concurrent.futures import Future
from dataclasses import dataclass, field
from threading import Lock, get_ident
from typing import Any, Literal, NamedTuple


class Landing(NamedTuple):
    """How a flight ended: with an ``answer`` for all; "alone", and each waiter makes its own; "again", and one of them leads anew."""

    how: Literal["answer", "alone", "again"]
    answer: str = ""


@dataclass(slots=True, eq=False)
class Flight:
    """An answer being made for ``key`` by one thread, or by one task."""

    key: object
    thread: int
    task: asyncio.Task[Any] | None
    landed: Future[Landing] = field(default_factory=Future)


class Flights:
    """Flights of threads and of tasks on any event loop, by key; no lock is held while an answer is made.

    Whoever leads must ``land``, whatever happens: with "alone" when the making failed, as an error is nobody's but its maker's;
    with "again" when it was cancelled, as nothing is known then.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._flights: dict[object, Flight] = {}

    def join(self, key: object) -> tuple[Flight, bool]:
        """The flight for ``key``, and whether the caller leads it."""
        task = _task()
        with self._lock:
            flight = self._flights.get(key)
            if flight is not None:
                return flight, False
            flight = self._flights[key] = Flight(key, get_ident(), task)
            return flight, True

    def land(self, flight: Flight, landing: Landing) -> None:
        """End a flight; later requests start another."""
        with self._lock:
            if self._flights.get(flight.key) is flight:
                del self._flights[flight.key]
        if not flight.landed.done():
            flight.landed.set_result(landing)

    def wait(self, flight: Flight) -> Landing:
        """The end of somebody else's flight. A leader on this very thread could never finish: "alone"."""
        return Landing("alone") if flight.thread == get_ident() else flight.landed.result()

    async def await_(self, flight: Flight) -> Landing:
        """``wait`` for a task; cancelling the waiter leaves the flight as it is."""
        if flight.task is not None and flight.task is _task():
            return Landing("alone")
        return await asyncio.shield(asyncio.wrap_future(flight.landed))

    def __len__(self) -> int:
        return len(self._flights)


def _task() -> asyncio.Task[Any] | None:
    try:
        return asyncio.current_task()
    except RuntimeError:
        return None
