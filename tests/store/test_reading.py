"""The loop that searches run on: from threads, from inside another loop, and where no thread can be started."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from ragkit.store import reading


async def _answer(number: int) -> int:
    await asyncio.sleep(0)
    return number


def test_any_thread_and_any_loop_may_ask() -> None:
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(lambda number: reading.run(_answer(number)), range(50))) == list(range(50))

    async def inside() -> int:
        return reading.run(_answer(7))

    assert asyncio.run(inside()) == 7


def test_a_thread_that_cannot_be_started_is_an_error_and_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(reading, "_loop", None)
    with monkeypatch.context() as full:
        full.setattr(threading.Thread, "start", refuse)
        with pytest.raises(RuntimeError, match="new thread"):
            reading.run(_answer(1))
    assert reading.run(_answer(2)) == 2
