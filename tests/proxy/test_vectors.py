"""The file of embeddings keeps to its size, and keeps the newest."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import httpx2
from hypothesis import given, settings
from hypothesis import strategies as st
from inside import inside

from ragkit.proxy.vectors import Vectors


@settings(max_examples=15)
@given(sizes=st.lists(st.integers(1, 400), min_size=60, max_size=120))
def test_the_newest_stay_and_the_file_does_not_grow(tmp_path_factory: object, sizes: list[int]) -> None:
    folder: Path = tmp_path_factory.mktemp("vectors")  # type: ignore[attr-defined]
    limit = 64 * 1024
    vectors = Vectors(folder / "v", limit=limit)
    for number, size in enumerate(sizes):
        vectors.save({f"{number}-{part}": [0.5] * size for part in range(3)})
    newest = len(sizes) - 1
    assert vectors.load([f"{newest}-2"]) == {f"{newest}-2": [0.5] * sizes[-1]}
    known = vectors.load([f"{number}-0" for number in range(len(sizes))])
    first = min(int(key.partition("-")[0]) for key in known)
    assert len(known) == len(sizes) - first
    vectors.close()
    # A commit may be over the limit while it lasts.
    assert (folder / "v").stat().st_size <= limit + 32 * 1024


def test_without_a_limit_everything_stays(tmp_path: Path) -> None:
    vectors = Vectors(tmp_path / "v")
    for number in range(50):
        vectors.save({str(number): [0.1] * 500})
    assert len(vectors) == 50
    vectors.save({"7": "again"})
    assert len(vectors) == 50
    assert vectors.load(["7", "8", "x"]) == {"7": "again", "8": [0.1] * 500}
    vectors.close()


async def test_hundreds_of_embeddings_come_in_order(tmp_path: Path) -> None:
    texts = [f"passage {number}" for number in range(300)]
    vectors = [[number + 0.25] * 240 for number in range(300)]

    async def answer(request: httpx2.Request) -> httpx2.Response:
        wanted = json.loads(request.content)["input"]
        data = [{"index": place, "embedding": vectors[texts.index(text)]} for place, text in enumerate(wanted)]
        return httpx2.Response(200, json={"object": "list", "data": data, "usage": {"prompt_tokens": 7, "total_tokens": 7}})

    async with inside(tmp_path, answer) as app:
        await app.ask("/v1/embeddings", {"model": "e", "input": texts[::2]})
        for asked in (150, 0):
            reply = await app.ask("/v1/embeddings", {"model": "e", "input": texts})
            assert [one["embedding"] for one in reply.json()["data"]] == vectors
            assert reply.header("x-ragkit-cache").endswith(f"stored={300 - asked}; asked={asked}")
            assert reply.json()["usage"]["total_tokens"] == (7 if asked else 0)


async def test_a_file_that_another_keeps_locked_costs_no_answer(tmp_path: Path) -> None:
    async def answer(_: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(200, json={"object": "list", "data": [{"index": 0, "embedding": [0.5]}]})

    async with inside(tmp_path, answer) as app:
        await app.ask("/v1/embeddings", {"model": "e", "input": "before"})
        with closing(sqlite3.connect(tmp_path / "cache.lance.embeddings", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            for text, told in (("before", "stored=1; asked=0"), ("now", "stored=0; asked=1")):
                reply = await app.ask("/v1/embeddings", {"model": "e", "input": text})
                assert (reply.status, reply.json()["data"][0]["embedding"]) == (200, [0.5])
                assert reply.header("x-ragkit-cache").endswith(told)
        await app.ask("/v1/embeddings", {"model": "e", "input": "now"})
        assert (await app.ask("/v1/embeddings", {"model": "e", "input": "now"})).header("x-ragkit-cache").startswith("HIT")
