"""Several processes on one cache: puts, removals and changes of documents of one are seen by the others; kills lose nothing."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ragkit import Document, Index, SemanticCache
from ragkit.cache import Scope, Static
from ragkit.testing.embedders import HashEmbedder

HERE = Scope("acme", "m")


class Worker:
    """The other process."""

    def __init__(self) -> None:
        script = str(Path(__file__).parent / "worker.py")
        self.process = subprocess.Popen([sys.executable, script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.heard() == "ready"

    def heard(self) -> Any:
        line = self.process.stdout.readline()
        return json.loads(line) if line else None

    def send(self, **order: Any) -> None:
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()

    def __call__(self, do: str, **order: Any) -> Any:
        self.send(do=do, **order)
        return self.heard()


@pytest.fixture(scope="module")
def worker() -> Iterator[Worker]:
    """One process for all tests: it takes seconds to start."""
    one = Worker()
    yield one
    one.process.stdin.close()
    one.process.wait(timeout=60)
    one.process.stdout.close()


def test_what_one_does_the_other_sees_at_once_and_nothing_stale_is_served(tmp_path: Path, worker: Worker) -> None:
    """Random puts, look-ups and changes of documents in two processes; every answer served is of the documents as they are."""
    index = Index(tmp_path / "kb", embedder=HashEmbedder())
    source, now = random.Random(5), {}
    for name in ("d0", "d1", "d2"):
        now[name] = 0
        index.add([Document(f"{name} says 0", id=name)])
    cache = SemanticCache(tmp_path / "c.lance", embedder=HashEmbedder(), policy=Static(0.8), index=index)
    other = worker
    other("open", cache=str(tmp_path / "c.lance"), index=str(tmp_path / "kb"))
    served = changed = 0
    for step in range(100):
        name = source.choice(sorted(now))
        prompt = f"What does the document called {name} say?"
        here, what = source.random() < 0.5, source.random()
        if what < 0.25:
            # The answer tells which version it came from.
            if now[name] is not None:
                answer = f"{name} {now[name]}"
                stored = (
                    cache.put(prompt, answer, scope=HERE, sources=[name]).entry
                    if here
                    else other("put", prompt=prompt, answer=answer, sources=[name])
                )
                assert stored
        elif what < 0.45:
            changed += 1
            if source.random() < 0.3 and now[name] is not None:
                now[name] = None
                assert (index.delete([name]) if here else other("delete", id=[name])) == 1
            else:
                now[name] = step
                if here:
                    index.add([Document(f"{name} says {step}", id=name)])
                else:
                    other("add", id=name, text=f"{name} says {step}")
        elif what < 0.5:
            _ = cache.invalidate(document=name) if here else other("invalidate", document=name)
            assert (other("lookup", prompt=prompt) if here else cache.lookup(prompt, scope=HERE).answer) is None
        else:
            asked = prompt if source.random() < 0.5 else f"What did the document called {name} say?"
            answer = cache.lookup(asked, scope=HERE).answer if here else other("lookup", prompt=asked)
            assert answer in (None, f"{name} {now[name]}"), step
            served += answer is not None
    assert served > 8
    assert changed > 8
    cache.close()
    index.close()


def test_two_writers_at_once_lose_nothing(tmp_path: Path, worker: Worker) -> None:
    path = tmp_path / "c.lance"
    worker("open", cache=str(path))
    worker.send(do="put many", count=60)
    with SemanticCache(path, embedder=HashEmbedder()) as cache:
        for number in range(60):
            assert cache.put(f"What is letter {number}?", "b", scope=HERE)
            if number % 20 == 0:
                cache.tend()
                cache._vault.log.compact()
        assert [worker.heard() for _ in range(61)] == [*range(60), None]
        assert {entry.prompt for entry in cache.entries()} == {
            f"What is {what} {number}?" for what in ("letter", "number") for number in range(60)
        }
        assert worker("lookup", prompt="What is letter 59?") == "b"


def test_killed_while_it_writes_it_loses_at_most_the_write_in_flight(tmp_path: Path, worker: Worker) -> None:
    """The last test: the process does not survive it."""
    worker("open", cache=str(tmp_path / "c.lance"))
    worker.send(do="put many", count=10_000)
    last = -1
    while last < 40:
        last = worker.heard()
    os.kill(worker.process.pid, signal.SIGKILL)
    while (said := worker.heard()) is not None:
        last = said
    with SemanticCache(tmp_path / "c.lance", embedder=HashEmbedder()) as cache:
        assert len(cache) in (last + 1, last + 2)
        for number in range(last + 1):
            assert cache.lookup(f"What is number {number}?", scope=HERE).answer == "a" * 2000
        assert cache.put("What comes after a kill?", "this", scope=HERE)
