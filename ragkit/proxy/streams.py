"""A stream between an upstream that sends and a client that may be slow, or go away."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

#: Parts that may wait for a slow client before the upstream has to wait, too.
_AHEAD = 64


class Stream:
    """Bytes from the task that reads the upstream to the response that writes to the client."""

    def __init__(self) -> None:
        self._queue: asyncio.Queue[bytes | None] = asyncio.Queue(_AHEAD)
        self._broken: BaseException | None = None
        self._gone = False

    async def put(self, data: bytes) -> None:
        """Hand on the next bytes; waits for a slow client, and not for one that has gone."""
        if not self._gone:
            await self._queue.put(data)

    async def end(self, broken: BaseException | None) -> None:
        """Nothing more comes, because of ``broken`` if that is given: then the client's connection breaks off, too."""
        self._broken = broken
        if not self._gone:
            await self._queue.put(None)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while (data := await self._queue.get()) is not None:
            yield data
        if self._broken is not None:
            raise ConnectionError("the upstream's stream broke off") from self._broken

    async def leave(self) -> None:
        """The client has gone, or has all: a reader of the upstream that waits for room goes on alone."""
        self._gone = True
        while not self._queue.empty():
            self._queue.get_nowait()
