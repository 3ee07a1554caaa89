"""Answers gather for a moment and are stored together: waking a thread costs more than storing one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Generic, TypeVar

_T = TypeVar("_T")
#: Seconds for which the first answer waits for others.
_GATHER = 0.005


class Gathered(Generic[_T]):
    """Runs what is given within a few milliseconds in one go of a thread of ``pool``; each caller gets its own result or error."""

    def __init__(self, pool: ThreadPoolExecutor) -> None:
        self._pool = pool
        self._waiting: list[tuple[Callable[[], _T], asyncio.Future[_T]]] = []

    async def __call__(self, act: Callable[[], _T]) -> _T:
        """What ``act()`` returns, or raises."""
        loop = asyncio.get_running_loop()
        done: asyncio.Future[_T] = loop.create_future()
        self._waiting.append((act, done))
        if len(self._waiting) == 1:
            loop.call_later(_GATHER, self._start, loop)
        return await done

    def _start(self, loop: asyncio.AbstractEventLoop) -> None:
        taken, self._waiting = self._waiting, []
        self._pool.submit(_work, taken, loop)


def _work(taken: list[tuple[Callable[[], _T], asyncio.Future[_T]]], loop: asyncio.AbstractEventLoop) -> None:
    told: list[tuple[asyncio.Future[_T], Callable[[], None]]] = []
    for act, done in taken:
        try:
            told.append((done, partial(done.set_result, act())))
        except BaseException as error:
            told.append((done, partial(done.set_exception, error)))
    loop.call_soon_threadsafe(_tell, told)


def _tell(told: list[tuple[asyncio.Future[_T], Callable[[], None]]]) -> None:
    for done, tell in told:
        if not done.done():
            tell()
