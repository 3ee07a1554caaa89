"""Identical requests at once: one goes upstream, the others wait for its answer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

Body = dict[str, Any]


@dataclass(slots=True, eq=False)
class Flight:
    """An answer on its way, begun at ``begun`` (seconds since 1970); ``landed`` gives its body, or None: ask for yourself."""

    key: str
    begun: float
    landed: asyncio.Future[Body | None] = field(default_factory=lambda: asyncio.get_running_loop().create_future())
    _awaited: bool = False
    _hurry: Callable[[], None] = lambda: None

    async def wait(self) -> Body | None:
        """Its body, or None; whoever makes the answer is told that it is waited for."""
        self._awaited = True
        self._hurry()
        return await asyncio.shield(self.landed)

    def when_awaited(self, hurry: Callable[[], None]) -> None:
        """Call ``hurry`` as soon as somebody waits, each time somebody more does."""
        self._hurry = hurry
        if self._awaited:
            hurry()

    def land(self, body: Body | None) -> None:
        """Give those who wait the answer; the first call counts."""
        if not self.landed.done():
            self.landed.set_result(body)


class Flights:
    """Flights by key, on one event loop. A flight stays until its answer is stored, so that who comes in between finds it."""

    def __init__(self) -> None:
        self._flights: dict[str, Flight] = {}
        #: How many have ended so far.
        self.ended = 0

    def get(self, key: str) -> Flight | None:
        """The flight for a key, if one is under way."""
        return self._flights.get(key)

    def begin(self, key: str, *, begun: float) -> Flight:
        """A new flight, in place of one that is too old to be joined."""
        flight = self._flights[key] = Flight(key, begun)
        return flight

    def end(self, flight: Flight) -> None:
        """Nobody can join this flight any more; those who still wait ask for themselves."""
        if self._flights.get(flight.key) is flight:
            del self._flights[flight.key]
            self.ended += 1
        flight.land(None)

    def __len__(self) -> int:
        return len(self._flights)
