"""What only shows when the moment is chosen: the application in this process, before an upstream that is a function."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from inside import CHAT, Inside, Upstream, asks, completion, inside, streamed, text_of

from ragkit.proxy.admin import make_admin


async def test_many_at_once_and_one_right_after_are_one_call(tmp_path: Path) -> None:
    up = Upstream()
    up.wait = asyncio.Event()
    async with inside(tmp_path, up) as app:
        asked = [asyncio.create_task(app.ask(CHAT, asks("one?"))) for _ in range(20)]
        while not up.seen:
            await asyncio.sleep(0.01)
        up.wait.set()
        replies = await asyncio.gather(*asked)
        # The answer is on its way to the disk, and that is no reason to ask again.
        replies.append(await app.ask(CHAT, asks("one?")))
        assert {text_of(reply) for reply in replies} == {"answer 1"}
        assert len(up.seen) == 1
        told = app.server.metrics.registry.get_sample_value
        assert told("ragkit_cache_misses_total", {"refused_by": "nothing near"}) == 1
        # The last one may have found it stored already.
        assert sum(told("ragkit_cache_hits_total", {"tier": tier}) or 0 for tier in ("collapsed", "exact")) == 20


@pytest.mark.parametrize(("finish", "more"), [("length", {}), ("content_filter", {}), ("stop", {"temperature": 1.8})])
async def test_what_must_not_be_stored_is_not_shared_either(tmp_path: Path, finish: str, more: dict[str, Any]) -> None:
    up = Upstream(finish)
    async with inside(tmp_path, up) as app:
        replies = await asyncio.gather(*(app.ask(CHAT, asks("one?", **more)) for _ in range(4)))
        assert len({text_of(reply) for reply in replies}) == len(up.seen) == 4


async def test_a_client_that_leaves_before_the_first_byte_loses_nothing(tmp_path: Path) -> None:
    async def answer(_: httpx2.Request) -> httpx2.Response:
        return streamed(300)

    async with inside(tmp_path, answer, deadline=5) as app:
        gone = asyncio.Event()
        gone.set()
        await app.ask(CHAT, asks("long?", stream=True), leaves=gone)
        await asyncio.wait_for(app.settled(), 4)
        reply = await app.ask(CHAT, asks("long?"))
        assert reply.header("x-ragkit-cache").startswith("HIT")
        assert text_of(reply).endswith("w299 ")
        assert reply.json()["usage"]["total_tokens"] == 0


async def test_a_stream_cut_by_any_fault_never_looks_whole(tmp_path: Path) -> None:
    async def answer(_: httpx2.Request) -> httpx2.Response:
        return streamed(3, broken=True)

    async with inside(tmp_path, answer) as app:
        with pytest.raises(BaseException):  # noqa: B017
            await app.ask(CHAT, asks("cut?", stream=True))
        await app.settled()
        assert len(app.server.memory.cache) == 0


async def test_compressed_answers_reach_the_client_readable(tmp_path: Path) -> None:
    async def answer(request: httpx2.Request) -> httpx2.Response:
        body = (
            {"object": "list", "data": [{"index": 0, "embedding": [1.0]}]}
            if "embed" in request.url.path
            else completion("packed")
        )
        headers = {"content-encoding": "gzip", "content-type": "application/json"}
        return httpx2.Response(200, headers=headers, stream=httpx2.ByteStream(gzip.compress(json.dumps(body).encode())))

    async with inside(tmp_path, answer) as app:
        reply = await app.ask(CHAT, asks("packed?"))
        assert (text_of(reply), reply.header("content-encoding")) == ("packed", "")
        await app.settled()
        assert text_of(await app.ask(CHAT, asks("packed?"))) == "packed"
        reply = await app.ask("/v1/embeddings", {"model": "m", "input": "a"})
        assert (reply.json()["data"][0]["embedding"], reply.header("content-encoding")) == ([1.0], "")
        reply = await app.ask("/v1/other", method="GET")
        assert reply.header("content-encoding") == "gzip"
        assert json.loads(gzip.decompress(reply.body))["id"] == "c"


async def same(app: Inside, one: Any, other: Any) -> bool:
    """Whether the second of two ways to ask is served what was stored for the first."""
    await app.ask(one[0], asks("who?"), headers=one[1])
    await app.settled()
    reply = await app.ask(other[0], asks("who?"), headers=other[1])
    return reply.header("x-ragkit-cache").startswith("HIT")


async def test_whatever_may_tell_who_asks_keeps_callers_apart(tmp_path: Path) -> None:
    async with inside(tmp_path, Upstream(), request_headers=("x-goog-api-key", "authorization", "user-agent")) as app:
        assert not await same(app, (f"{CHAT}?key=a", ()), (f"{CHAT}?key=b", ()))
        assert not await same(app, (CHAT, (("x-goog-api-key", "a"),)), (CHAT, (("x-goog-api-key", "b"),)))
        one, two = ("authorization", "Bearer 1"), ("authorization", "Bearer 2")
        assert not await same(app, (CHAT, (one,)), (CHAT, (one, two)))
        assert await same(app, (CHAT, (("user-agent", "a"),)), (CHAT, (("user-agent", "b"),)))


async def test_directives_in_several_lines_all_count(tmp_path: Path) -> None:
    async with inside(tmp_path, Upstream()) as app:
        lines = (("cache-control", "max-age=60"), ("cache-control", "no-store"))
        await app.ask(CHAT, asks("secret?"), headers=lines)
        await app.settled()
        assert len(app.server.memory.cache) == 0


@pytest.mark.parametrize(
    "path", ["/v1/../admin", "/v1/%2e%2e/admin", "/v1/files/..%2f..%2fadmin", "/v1/a/%2E./b", "/v1/..\\admin"]
)
async def test_no_path_leaves_the_upstreams_base(tmp_path: Path, path: str) -> None:
    up = Upstream()
    async with inside(tmp_path, up) as app:
        assert (await app.ask(path, method="GET")).status == 400
        assert not up.seen


async def test_paths_and_bodies_go_on_as_they_were_written(tmp_path: Path) -> None:
    up = Upstream()
    async with inside(tmp_path, up) as app:
        await app.ask("/v1/models/org%2Fname%3Fx?a=%20b", method="GET")
        assert up.seen[0].url.raw_path == b"/v1/models/org%2Fname%3Fx?a=%20b"
        await app.ask("/v1/files", b"12345")
        assert up.seen[1].headers["content-length"] == "5"
        for method in ("HEAD", "OPTIONS", "DELETE"):
            assert (await app.ask("/v1/files/1", method=method)).status == 200


@pytest.mark.parametrize(
    "data",
    [
        b'{"model": "m", "messages": [{"role": "user", "content": "x"}], "temperature": NaN}',
        b'{"model": "m", "messages": [{"role": "user", "content": "half \\ud83d"}]}',
        b'{"model": "m", "messages": [{"role": "system", "content": '
        + b"[" * 900
        + b"]" * 900
        + b'}, {"role": "user", "content": "x"}]}',
        b'{"model": "m", "messages": [{"role": "user", "content": "x"}], "seed": 1e999}',
        b'{"model": "m\\ud83d", "messages": [{"role": "user", "content": "x"}]}',
        b"\xff\xfe{}",
        b"[1, 2]",
        b"",
    ],
)
@pytest.mark.parametrize("path", [CHAT, "/v1/responses", "/v1/embeddings"])
async def test_no_body_brings_the_server_down(tmp_path: Path, data: bytes, path: str) -> None:
    async def answer(request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(200, content=json.dumps(completion("half \ud83d")))

    async with inside(tmp_path, answer) as app:
        for _ in range(2):
            assert (await app.ask(path, data)).status == 200
            await app.settled()


async def test_half_a_surrogate_pair_is_replayed(tmp_path: Path) -> None:
    async def answer(_: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(200, content=json.dumps(completion("half \ud83d")), headers={"content-type": "application/json"})

    async with inside(tmp_path, answer) as app:
        for stream in (False, False, True):
            reply = await app.ask(CHAT, asks("half?", stream=stream))
            assert (reply.status, b"\\ud83d" in reply.body) == (200, True)
            await app.settled()


async def test_embeddings_heed_what_clients_say(tmp_path: Path) -> None:
    calls = []

    async def answer(request: httpx2.Request) -> httpx2.Response:
        calls.append(request)
        return httpx2.Response(200, json={"object": "list", "data": [{"index": 0, "embedding": [float(len(calls))]}]})

    async with inside(tmp_path, answer) as app:
        body = {"model": "m", "input": "a"}
        only, dry = (("cache-control", "only-if-cached"),), (("x-ragkit-cache", "dry-run"),)
        assert (await app.ask("/v1/embeddings", body, headers=only)).status == 504
        assert not calls
        await app.ask("/v1/embeddings", body)
        assert (await app.ask("/v1/embeddings", body, headers=only)).status == 200
        assert (await app.ask("/v1/embeddings", body, headers=dry)).json()["data"][0]["embedding"] == [2.0]


async def test_pages_of_a_name_turned_on_this_machine_see_nothing(tmp_path: Path) -> None:
    async with inside(tmp_path, Upstream()) as app:
        desk = Inside(make_admin(app.server), app.server)
        for host, status in (
            ("localhost:8081", 200),
            ("127.0.0.1", 200),
            ("[::1]:8081", 200),
            ("evil.test:8081", 403),
            ("", 403),
        ):
            assert (await desk.ask("/ui/api/state", method="GET", headers=(("host", host),))).status == status


async def test_bodies_over_the_limit_are_refused(tmp_path: Path) -> None:
    up = Upstream()
    async with inside(tmp_path, up, max_body=2048) as app:
        for path in (CHAT, "/v1/responses", "/v1/embeddings"):
            assert (await app.ask(path, asks("x" * 3000))).status == 413
        assert not up.seen
        assert (await app.ask(CHAT, asks("A body that is small enough."))).status == 200


async def test_an_upstream_that_is_gone_is_let_alone_for_a_while(tmp_path: Path) -> None:
    async def answer(request: httpx2.Request) -> httpx2.Response:
        raise httpx2.ConnectError("refused", request=request)

    async with inside(tmp_path, answer, breaker_failures=2, breaker_seconds=60, retries=1) as app:
        first = await app.ask(CHAT, asks("Is anybody there?"))
        assert (first.status, "did not answer" in first.json()["error"]["message"]) == (502, True)
        await app.ask(CHAT, asks("Is anybody there?"))
        shut = await app.ask(CHAT, asks("Is anybody there?"))
        assert (shut.status, "asked again in" in shut.json()["error"]["message"]) == (503, True)
        assert (await app.ask("/readyz", method="GET")).status == 503
        assert (await app.ask("/healthz", method="GET")).status == 200
        told = (await app.server.metrics_page(None)).body
        assert b'ragkit_upstream_failures_total{kind="connection"' in told


async def test_an_upstream_that_hangs_is_given_up(tmp_path: Path) -> None:
    up = Upstream()
    up.wait = asyncio.Event()
    async with inside(tmp_path, up, deadline=0.2) as app:
        assert (await app.ask(CHAT, asks("Will this ever end?"))).status == 504


async def test_stale_answers_only_where_they_are_wanted(tmp_path: Path) -> None:
    now: int | str | None = 200

    async def torn() -> AsyncIterator[bytes]:
        yield b'{"id": '
        raise httpx2.ReadError("reset")

    async def answer(request: httpx2.Request) -> httpx2.Response:
        if now is None:
            raise httpx2.ConnectError("refused", request=request)
        if isinstance(now, str):
            return httpx2.Response(200, headers={"content-type": "application/json"}, content=torn())
        return httpx2.Response(now, json=completion("once") if now == 200 else {"error": {"message": "overloaded"}})

    for grace, status in ((600, 200), (0, 502)):
        now = 200
        async with inside(tmp_path / str(grace), answer, ttl=0.2, stale_if_error=grace, retries=0) as app:
            await app.ask(CHAT, asks("What is the number of the harbour office?"))
            await app.settled()
            await asyncio.sleep(0.3)
            now, dry = 503, (("x-ragkit-cache", "dry-run"),)
            assert (await app.ask(CHAT, asks("What is the number of the harbour office?"), headers=dry)).status == 503
            for now, told in ((None, "fwd=stale"), ("torn", "fwd=stale"), (503, "fwd=stale; fwd-status=503"), (429, "")):
                late = await app.ask(CHAT, asks("What is the number of the harbour office?"))
                if now == 429:
                    # The client's own doing: no failure of the upstream.
                    assert late.status == 429
                elif grace:
                    assert late.status == status
                    assert text_of(late) == "once"
                    assert late.header("cache-status").startswith(f"ragkit; {told}; ttl=-")
                else:
                    assert late.status == (now if isinstance(now, int) else status)
            now = None
            for _ in range(11):
                shut = await app.ask(CHAT, asks("What is the number of the harbour office?"))
            if grace:
                # The breaker is open: nothing goes forward.
                assert shut.header("cache-status").startswith("ragkit; hit; ttl=-")
