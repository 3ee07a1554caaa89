"""What the documentation promises, kept by the official clients' less common requests, and where the disk or the process fails."""

from __future__ import annotations

import asyncio
import re
import sqlite3
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx2
import openai
import pytest
from inside import CHAT, Upstream, asks, completion, inside, text_of
from langchain_openai import ChatOpenAI
from pydantic import BaseModel

from ragkit.cache import SemanticCache

TOOLS: Any = [{"type": "function", "function": {"name": "look", "parameters": {"type": "object", "properties": {}}}}]


class Number(BaseModel):
    """What the stand-in gives where a schema is asked for."""

    number: int


class Other(BaseModel):
    """Another schema that the same answer fits."""

    number: int
    unit: str = ""


@pytest.fixture
def client(server: Any) -> openai.OpenAI:
    return openai.OpenAI(base_url=server.v1, api_key="sk-documented", max_retries=0)


def asked(client: openai.OpenAI, text: str, **more: Any) -> tuple[str, Any]:
    """What the cache says, and the answer."""
    raw = client.chat.completions.with_raw_response.create(model="m", messages=[{"role": "user", "content": text}], **more)
    return str(raw.headers["x-ragkit-cache"]).partition(";")[0], raw.parse()


def served(client: openai.OpenAI, text: str, **more: Any) -> tuple[Any, Any]:
    """The first answer, and the one that the cache serves for it once it is stored."""
    _, first = asked(client, text, **more)
    for _ in range(100):
        said, again = asked(client, text, **more)
        if said == "HIT":
            return first, again
        time.sleep(0.05)
    raise AssertionError(f"{text!r} is never served; the cache says {said}.")


@pytest.mark.parametrize("more", [{"n": 2}, {"logprobs": True, "top_logprobs": 2}])
def test_several_answers_and_log_probabilities_go_upstream_whole(client: openai.OpenAI, upstream: Any, more: Any) -> None:
    text = f"Which of them is it, by {next(iter(more))}?"
    for times in (1, 2):
        said, answer = asked(client, text, **more)
        assert said == "BYPASS"
        assert upstream.asked(text) == times
        assert len(answer.choices) == more.get("n", 1)
        assert (answer.choices[0].logprobs is not None) == ("logprobs" in more)


def test_tools_on_offer_and_tool_calls(client: openai.OpenAI, upstream: Any) -> None:
    first, again = served(client, "What lies in the harbour this morning?", tools=TOOLS)
    assert again.choices == first.choices
    text = "Look into the harbour now [tool]"
    for stream in (False, True, False):
        said, answer = asked(client, text, tools=TOOLS, stream=stream)
        assert said in ("MISS", "BYPASS")
        calls = (
            [call for one in answer if one.choices for call in one.choices[0].delta.tool_calls or ()]
            if stream
            else answer.choices[0].message.tool_calls
        )
        assert [(call.id, call.function.name) for call in calls] == [("call_1", "look")]
    assert upstream.asked(text) == 3
    result: Any = [
        {"role": "user", "content": text},
        {"role": "assistant", "content": None, "tool_calls": [{"id": "call_1", "type": "function", "function": {"name": "look", "arguments": "{}"}}]},
        {"role": "tool", "tool_call_id": "call_1", "content": "Two boats."},
    ]  # fmt: skip
    raw = client.chat.completions.with_raw_response.create(model="m", messages=result, tools=TOOLS)
    assert raw.headers["x-ragkit-cache"].startswith("BYPASS")


def test_structured_output_is_served_again_for_the_same_schema_only(client: openai.OpenAI, server: Any, upstream: Any) -> None:
    text = "How many boats fit into the old dock?"
    messages: Any = [{"role": "user", "content": text}]

    def number(schema: type[BaseModel]) -> Any:
        return client.chat.completions.parse(model="m", messages=messages, response_format=schema).choices[0].message.parsed

    first = number(Number)
    for _ in range(100):
        again, first = first, number(Number)
        if again == first:
            break
        time.sleep(0.05)
    seen = upstream.asked(text)
    assert number(Number) == first
    with client.chat.completions.stream(model="m", messages=messages, response_format=Number) as stream:
        assert stream.get_final_completion().choices[0].message.parsed == first
    assert upstream.asked(text) == seen
    assert number(Other).number != first.number
    assert upstream.asked(text) == seen + 1
    model = ChatOpenAI(model="m", base_url=server.v1, api_key="sk-documented", max_retries=0)  # type: ignore[arg-type]
    chained = model.with_structured_output(Number, method="json_schema")
    assert isinstance(chained.invoke(text), Number)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    place = tmp_path / "small"
    place.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(place)], capture_output=True).returncode:
        pytest.skip("a file system of a given size cannot be mounted here")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


async def test_a_full_disk_costs_no_answer_and_leaves_no_half(small_disk: Path) -> None:
    count = 0

    async def answer(_: httpx2.Request) -> httpx2.Response:
        nonlocal count
        count += 1
        return httpx2.Response(200, json=completion(f"{count} " + "word " * 8000))

    async with inside(small_disk, answer) as app:
        first: dict[int, str] = {}
        for number in range(60):
            reply = await app.ask(CHAT, asks(f"What is number {number}?"))
            assert reply.status == 200
            first[number] = text_of(reply)
            await app.settled()
        stored = len(app.server.memory.cache)
        assert 0 < stored < 60
        metrics = (await app.server.metrics_page(None)).body.decode()
        assert f"ragkit_cache_stored_total {stored}.0" in metrics
        assert f'ragkit_cache_failures_total{{doing="put"}} {60 - stored}.0' in metrics
        for number, text in first.items():
            reply = await app.ask(CHAT, asks(f"What is number {number}?"), headers=(("cache-control", "only-if-cached"),))
            assert reply.status == 504 or text_of(reply) == text
        # Nothing else has suffered: who asks for what is not stored is answered.
        assert (await app.ask(CHAT, asks("What fits no more?"))).status == 200
    with closing(SemanticCache(small_disk / "cache.lance", policy="exact")) as cache:
        assert len(cache) == stored


async def test_a_store_that_another_keeps_locked_costs_no_answer(tmp_path: Path) -> None:
    up = Upstream()
    async with inside(tmp_path, up) as app:
        await app.ask(CHAT, asks("before?"))
        await app.settled()
        (journal,) = (tmp_path / "cache.lance").glob("journal-*.sqlite")
        with closing(sqlite3.connect(journal, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            answers = [text_of(await app.ask(CHAT, asks(f"{text}?"))) for text in ("before", "one", "one", "two")]
            assert answers == ["answer 1", "answer 2", "answer 2", "answer 3"]
            assert len(app.server.memory.cache) == 1
        await asyncio.wait_for(app.settled(), 60)
        assert len(app.server.memory.cache) == len(up.seen) == 3


async def test_a_server_killed_while_it_stores_has_whole_answers_or_none(serving: Any) -> None:
    server = serving("--policy", "exact")
    client = httpx2.Client(base_url=server.url, timeout=30, trust_env=False)
    given: dict[int, str] = {}

    def ask(number: int, **headers: str) -> httpx2.Response:
        return client.post(CHAT, json=asks(f"Kill {number}?"), headers=headers)

    def keep_asking(start: int) -> None:
        for number in range(start, 100_000, 4):
            try:
                given[number] = text_of(ask(number))
            except httpx2.TransportError:
                return

    askers = [threading.Thread(target=keep_asking, args=(start,)) for start in range(4)]
    for asker in askers:
        asker.start()
    while len(given) < 40 or ask(0, **{"cache-control": "only-if-cached"}).status_code != 200:
        time.sleep(0.01)
    server.process.kill()
    server.process.wait()
    for asker in askers:
        asker.join()
    client.close()
    kept = 0
    async with inside(server.folder, Upstream()) as app:
        # Those that were being answered may be there, too.
        for number in range(max(given) + 8):
            reply = await app.ask(CHAT, asks(f"Kill {number}?"), headers=(("cache-control", "only-if-cached"),))
            if reply.status == 200:
                kept += 1
                assert re.fullmatch(rf"Answer \d+ to: Kill {number}\?", text_of(reply))
                assert text_of(reply) == given.get(number, text_of(reply))
        assert kept == len(app.server.memory.cache) > 0
        assert text_of(await app.ask(CHAT, asks("And now?"))) == "answer 1"
