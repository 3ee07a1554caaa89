"""A stream between an upstream that sends and a client that may be slow, or go away."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator

#: Parts that may wait for a slow client before the upstream has to wait, too.
_AHEAD = 64


class Stream:
    """Bytes from the task that reads the upstream to the response that writes to the client."""

    def __init__(self) -> None:
        self._parts: deque[bytes] = deque()
        self._come, self._room = asyncio.Event(), asyncio.Event()
        self._broken: BaseException | None = None
        self._ended = self._hurried = self._gone = False

    async def put(self, data: bytes) -> None:
        """Hand on the next bytes; waits for a slow client, unless it has gone or somebody else is in a hurry."""
        if self._gone:
            return
        self._parts.append(data)
        self._come.set()
        if len(self._parts) >= _AHEAD and not self._hurried:
            self._room.clear()
            await self._room.wait()

    def end(self, broken: BaseException | None) -> None:
        """Nothing more comes, because of ``broken`` if that is given: then the client's connection breaks off, too."""
        self._broken, self._ended = broken, True
        self._come.set()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while self._parts or not self._ended:
            if self._parts:
                data = self._parts.popleft()
                self._room.set()
                yield data
            else:
                self._come.clear()
                await self._come.wait()
        if self._broken is not None:
            raise ConnectionError("the upstream's stream broke off") from self._broken

    def hurry(self) -> None:
        """Others wait for the end, too: what a slow client has not taken gathers here, and the upstream waits no more."""
        self._hurried = True
        self._room.set()

    async def leave(self) -> None:
        """The client has gone, or has all: a reader of the upstream that waits for room goes on alone."""
        self._gone = True
        self._parts.clear()
        self.hurry()
