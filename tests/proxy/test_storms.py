"""Faults that come in numbers, at odd times, or in megabytes: no wrong answer, nothing stored that should not be, no crash."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from inside import CHAT, Inside, Upstream, asks, completion, inside, text_of

from ragkit.cache import exact_only, normalised


@pytest.mark.parametrize("status", [429, 500])
async def test_a_storm_of_refusals_passes(tmp_path: Path, status: int) -> None:
    calm = False

    async def answer(_: httpx2.Request) -> httpx2.Response:
        if calm:
            return httpx2.Response(200, json=completion("at last"))
        return httpx2.Response(status, headers={"retry-after": "1"}, json={"error": {"message": "no"}})

    async with inside(tmp_path, answer, breaker_failures=2) as app:
        replies = await asyncio.gather(*(app.ask(CHAT, asks(f"Who is number {number % 5}?")) for number in range(60)))
        assert {(reply.status, reply.header("retry-after")) for reply in replies} == {(status, "1")}
        await app.settled()
        assert len(app.server.memory.cache) == 0
        calm = True
        assert text_of(await app.ask(CHAT, asks("Who is number 0?"))) == "at last"


async def test_waiting_for_a_connection_of_our_own_is_no_fault_of_the_upstream(tmp_path: Path) -> None:
    faults: list[type[httpx2.TransportError]] = []

    async def answer(request: httpx2.Request) -> httpx2.Response:
        raise faults.pop()("no", request=request)

    async with inside(tmp_path, answer, breaker_failures=2, breaker_seconds=60, retries=0) as app:
        faults = [httpx2.PoolTimeout] * 4
        for _ in range(4):
            reply = await app.ask(CHAT, asks("Is there room?"))
            assert (reply.status, reply.json()["error"]["type"]) == (503, "upstream_busy")
        assert (await app.ask("/readyz", method="GET")).status == 200
        # Nor does it speak for the upstream.
        faults = [httpx2.ReadError, httpx2.PoolTimeout, httpx2.ReadError]
        for _ in range(3):
            await app.ask(CHAT, asks("Is there room?"))
        assert (await app.ask("/readyz", method="GET")).status == 503


async def test_a_slow_client_holds_the_upstream_up_and_nobody_else(tmp_path: Path) -> None:
    sent = 0

    async def events() -> AsyncIterator[bytes]:
        nonlocal sent
        for number in range(2000):
            sent = number + 1
            one = {"index": 0, "delta": {"content": f"w{number} "}, "finish_reason": None if number < 1999 else "stop"}
            yield b"data: " + json.dumps({"id": "c", "model": "m", "choices": [one]}).encode() + b"\n\n"
        yield b"data: [DONE]\n\n"

    async def answer(request: httpx2.Request) -> httpx2.Response:
        if b'"stream"' not in request.content:
            return httpx2.Response(200, json=completion("meanwhile"))
        return httpx2.Response(200, headers={"content-type": "text/event-stream"}, content=events())

    async with inside(tmp_path, answer) as app:
        gone = asyncio.Event()

        async def stuck(message: dict[str, Any]) -> None:
            if message.get("body"):
                await gone.wait()
                raise OSError("the client has gone")

        asking = asyncio.create_task(app.ask(CHAT, asks("long?", stream=True), send=stuck))
        for _ in range(50):
            assert text_of(await app.ask(CHAT, asks("short?"))) == "meanwhile"
        # Some wait between the two; the rest waits upstream.
        assert 0 < sent < 100
        gone.set()
        with pytest.raises(BaseException):  # noqa: B017
            await asking
        await app.settled()
        assert sent == 2000
        assert text_of(await app.ask(CHAT, asks("long?"))).endswith("w1999 ")


async def test_a_request_that_never_comes_whole_is_given_up(tmp_path: Path) -> None:
    up = Upstream()
    async with inside(tmp_path, up, deadline=0.1) as app:
        for path in (CHAT, "/v1/responses", "/v1/embeddings"):
            assert (await app.ask(path, b'{"model": ', more=True)).status == 408
        assert not up.seen


async def test_megabytes_are_served_again_and_looked_at_by_no_regular_expression(tmp_path: Path) -> None:
    up = Upstream()
    prompt = "word " * 2_000_000
    assert normalised(prompt) is prompt
    assert exact_only(prompt) == "10000000 characters are more than 4000"
    async with inside(tmp_path, up, max_entry=1024) as app:
        body = json.dumps(asks(prompt)).encode()
        small = asyncio.create_task(app.ask(CHAT, asks("small?")))
        assert text_of(await app.ask(CHAT, body)) in ("answer 1", "answer 2")
        await small
        await app.settled()
        again = await app.ask(CHAT, body)
        assert again.header("x-ragkit-cache").startswith("HIT")
        assert up.seen[-1].content in (body, json.dumps(asks("small?")).encode())
        assert len(up.seen) == 2


async def test_clocks_may_jump(tmp_path: Path) -> None:
    up, jump = Upstream(), [0.0]
    async with inside(tmp_path, up, clock=lambda: time.time() + jump[0], ttl=3600) as app:

        async def told(app: Inside) -> tuple[str, str]:
            reply = await app.ask(CHAT, asks("What time is it in the harbour?"))
            await app.settled()
            assert int(reply.header("age") or 0) >= 0
            return reply.header("x-ragkit-cache").partition(";")[0], text_of(reply)

        assert await told(app) == ("MISS", "answer 1")
        jump[0] = -86_400.0
        assert (await told(app))[1] in ("answer 1", "answer 2")
        jump[0] = 7_200.0
        assert (await told(app))[0] == "MISS"
        fresh = (await told(app))[1]
        assert fresh == f"answer {len(up.seen)}"


async def test_models_go_to_their_upstreams(tmp_path: Path) -> None:
    hosts = []

    async def answer(request: httpx2.Request) -> httpx2.Response:
        hosts.append((request.url.host, request.headers.get("authorization")))
        return httpx2.Response(200, json=completion("x"))

    upstreams = (
        {"url": "http://small.test/v1", "models": ("tiny-*",), "api_key": "sk-of-the-server"},
        {"url": "http://large.test/v1", "models": ("*-large",)},
    )
    async with inside(tmp_path, answer, upstreams=upstreams) as app:
        key = (("authorization", "Bearer sk-of-the-client"),)
        for path, body in ((CHAT, asks("who?")), ("/v1/responses", {"input": "who?"}), ("/v1/embeddings", {"input": "who?"})):
            for model in ("tiny-1", "very-large"):
                await app.ask(path, body | {"model": model}, headers=key)
            assert (await app.ask(path, body | {"model": "unknown"}, headers=key)).status == 404
    assert hosts == [("small.test", "Bearer sk-of-the-server"), ("large.test", "Bearer sk-of-the-client")] * 3
