"""Identical requests at once: who may have the answer that another one began."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
from inside import CHAT, asks, completion, inside, streamed, text_of


class Slow:
    """Answers the first request when ``open`` is set, the others at once."""

    def __init__(self) -> None:
        self.open, self.count = asyncio.Event(), 0

    async def __call__(self, _: httpx2.Request) -> httpx2.Response:
        self.count += 1
        number = self.count
        if number == 1:
            await self.open.wait()
        else:
            await asyncio.sleep(0.05)
        return httpx2.Response(200, json=completion(f"answer {number}"))

    async def begun(self) -> None:
        while not self.count:
            await asyncio.sleep(0.005)


async def test_nobody_joins_an_answer_that_began_before_an_invalidation(tmp_path: Path) -> None:
    up = Slow()
    async with inside(tmp_path, up) as app:
        first = asyncio.create_task(app.ask(CHAT, asks("What is the price of a ticket?")))
        await up.begun()
        await asyncio.to_thread(app.server.memory.cache.invalidate, everything=True)
        later = await asyncio.gather(*(app.ask(CHAT, asks("What is the price of a ticket?")) for _ in range(8)))
        assert {text_of(one) for one in later} == {"answer 2"}
        up.open.set()
        assert text_of(await first) == "answer 1"
        await app.settled()
        assert text_of(await app.ask(CHAT, asks("What is the price of a ticket?"))) == "answer 2"
        assert up.count == 2


async def test_another_servers_invalidation_counts_too(tmp_path: Path) -> None:
    up = Slow()
    async with inside(tmp_path, up) as app, inside(tmp_path, up) as other:
        first = asyncio.create_task(app.ask(CHAT, asks("What is the price of a ticket?")))
        await up.begun()
        await asyncio.to_thread(other.server.memory.cache.invalidate, everything=True)
        assert text_of(await app.ask(CHAT, asks("What is the price of a ticket?"))) == "answer 2"
        up.open.set()
        await first


async def test_nobody_joins_an_answer_that_is_older_than_asked_for(tmp_path: Path) -> None:
    up, past = Slow(), [0.0]
    async with inside(tmp_path, up, clock=lambda: time.time() + past[0]) as app:
        first = asyncio.create_task(app.ask(CHAT, asks("How many boats are in?")))
        await up.begun()
        past[0] = 30.0
        young: Any = (("cache-control", "max-age=10"),)
        assert text_of(await app.ask(CHAT, asks("How many boats are in?"), headers=young)) == "answer 2"
        up.open.set()
        await first


async def test_the_answer_comes_before_it_is_stored_and_is_found_meanwhile(tmp_path: Path) -> None:
    up = Slow()
    up.open.set()
    async with inside(tmp_path, up) as app:
        cache = app.server.memory.cache
        put, go_on = cache.put, asyncio.Event()
        loop = asyncio.get_running_loop()

        def held(*args: Any, **more: Any) -> Any:
            asyncio.run_coroutine_threadsafe(go_on.wait(), loop).result()
            return put(*args, **more)

        cache.put = held
        assert text_of(await app.ask(CHAT, asks("Is it stored?"))) == "answer 1"
        assert len(cache) == 0
        assert text_of(await app.ask(CHAT, asks("Is it stored?"))) == "answer 1"
        go_on.set()
        await app.settled()
        assert len(cache) == 1
        assert up.count == 1


async def test_nobody_waits_for_somebody_elses_slow_client(tmp_path: Path) -> None:
    async def answer(_: httpx2.Request) -> httpx2.Response:
        return streamed(1000)

    async with inside(tmp_path, answer) as app:
        begun, gone = asyncio.Event(), asyncio.Event()

        async def stuck(message: dict[str, Any]) -> None:
            if message.get("body"):
                begun.set()
                await gone.wait()

        slow = asyncio.create_task(app.ask(CHAT, asks("long?", stream=True), send=stuck))
        await begun.wait()
        joined = await asyncio.wait_for(app.ask(CHAT, asks("long?")), 30)
        assert "COLLAPSED" in joined.header("x-ragkit-cache")
        assert text_of(joined).endswith("w999 ")
        gone.set()
        await slow


async def test_nobody_waits_for_the_end_of_a_stream_that_cannot_be_shared(tmp_path: Path) -> None:
    seen, go_on = 0, asyncio.Event()

    async def answer(_: httpx2.Request) -> httpx2.Response:
        nonlocal seen
        seen += 1

        async def events() -> AsyncIterator[bytes]:
            call: dict[str, Any] = {"index": 0, "delta": {"tool_calls": [{"index": 0}]}, "finish_reason": None}
            yield b"data: " + json.dumps({"id": "c", "model": "m", "choices": [call]}).encode() + b"\n\n"
            await go_on.wait()
            yield b"data: [DONE]\n\n"

        kind = {"content-type": "text/event-stream"}
        return httpx2.Response(200, headers=kind, content=events()) if seen == 1 else httpx2.Response(200, json=completion("own"))

    async with inside(tmp_path, answer) as app:
        first = asyncio.create_task(app.ask(CHAT, asks("call?", stream=True)))
        while not seen:
            await asyncio.sleep(0.005)
        assert text_of(await asyncio.wait_for(app.ask(CHAT, asks("call?")), 30)) == "own"
        go_on.set()
        assert (await first).body.endswith(b"[DONE]\n\n")


async def test_a_connection_that_cannot_be_closed_keeps_nobody_waiting(tmp_path: Path) -> None:
    class Unclosable(httpx2.AsyncByteStream):
        async def __aiter__(self) -> AsyncIterator[bytes]:
            async for part in streamed(3).stream:  # type: ignore[union-attr]
                yield part

        async def aclose(self) -> None:
            raise OSError("no")

    async def answer(_: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(200, headers={"content-type": "text/event-stream"}, stream=Unclosable())

    async with inside(tmp_path, answer) as app:
        asked = (app.ask(CHAT, asks("open?", stream=True)) for _ in range(2))
        done = await asyncio.wait_for(asyncio.gather(*asked, return_exceptions=True), 30)
        assert len(done) == 2
        await app.settled()


async def test_who_missed_before_an_answer_was_stored_and_comes_after_does_not_ask_again(tmp_path: Path) -> None:
    up = Slow()
    up.open.set()
    async with inside(tmp_path, up) as app:
        memory = app.server.memory
        look, missed, go_on = memory.look, asyncio.Event(), asyncio.Event()

        async def slowly(*args: Any, **more: Any) -> Any:
            found = await look(*args, **more)
            missed.set()
            await go_on.wait()
            return found

        memory.look = slowly
        late = asyncio.create_task(app.ask(CHAT, asks("Is it there yet?")))
        await missed.wait()
        memory.look = look
        assert text_of(await app.ask(CHAT, asks("Is it there yet?"))) == "answer 1"
        await app.settled()
        go_on.set()
        reply = await late
        assert reply.header("x-ragkit-cache").startswith("HIT")
        assert text_of(reply) == "answer 1"
        assert up.count == 1
