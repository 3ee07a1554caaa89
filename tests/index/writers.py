"""Processes that add documents, for tests and benchmarks of kills and of writers at once: ``writing()`` starts them.

Reads one JSON order per line: {"path", "generations": [...], "documents", "batch_chunks", "kill_after", "file_limit", "delete": [...],
"optimize", "move": [...]}. For each generation one child process deletes what it is told to, adds that generation of every document and, if told
to, optimizes; for each name in "move" one moves the database to the model of that name. ``kill_after`` seconds after they have begun all
children are killed with SIGKILL. Answers with the children's exit codes (-9: killed) and their last words.

LanceDB is imported before the children are forked, for its import takes longer than most tests, and first used after
that: its threads do not outlive a fork, so each child starts its event loop anew.
"""

from __future__ import annotations

import json
import os
import random
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import lancedb
from lancedb.background_loop import LOOP

from ragkit import Document, Index
from ragkit.chunk import RecursiveChunker
from ragkit.index import move
from ragkit.testing.embedders import HashEmbedder

assert lancedb

Ask = Callable[..., dict[str, Any]]


@contextmanager
def writing() -> Iterator[Ask]:
    """A function that gives one order to this file as a process of its own, and returns its answer."""
    process = subprocess.Popen(
        [sys.executable, "-W", "ignore", str(Path(__file__))], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    orders, answers = process.stdin, process.stdout
    assert orders is not None
    assert answers is not None

    def ask(**order: Any) -> dict[str, Any]:
        orders.write(json.dumps(order) + "\n")
        orders.flush()
        answer: dict[str, Any] = json.loads(answers.readline())
        return answer

    yield ask
    orders.close()
    process.wait(timeout=60)


def documents(generation: int, count: int) -> list[Document]:
    """The same documents for equal arguments; generations share half of each text."""
    made = []
    for number in range(count):
        rng = random.Random(number)
        shared = " ".join(rng.choice(["alpha", "beta", "gamma", "delta", "epsilon", "zeta"]) for _ in range(rng.randint(5, 60)))
        own = " ".join(f"g{generation}w{rng.randint(0, 9)}" for _ in range(rng.randint(5, 60)))
        made.append(Document(f"{shared}.\n\n{own}.", id=f"doc {number}", metadata={"generation": generation}))
    return made


def open_index(path: str) -> Index:
    return Index(path, embedder=HashEmbedder(), chunker=RecursiveChunker(max_tokens=12))


#: What a database may be moved to; ``open_index`` makes one of the first.
MODELS = {"narrow": HashEmbedder(), "wide": HashEmbedder(dim=96, name="wide")}


def _add(order: dict[str, Any], generation: int, go: Callable[[], object]) -> str:
    index = open_index(order["path"])
    made = documents(generation, order["documents"])
    random.Random(os.getpid()).shuffle(made)
    go()
    if order.get("file_limit"):
        resource.setrlimit(resource.RLIMIT_FSIZE, (order["file_limit"], order["file_limit"]))
    index.delete(order.get("delete", []))
    report = index.add(made, batch_chunks=order["batch_chunks"])
    if order.get("optimize"):
        index.optimize()
    return f"added {report.added} replaced {report.replaced} unchanged {report.unchanged}"


def _move(order: dict[str, Any], name: str, go: Callable[[], object]) -> str:
    go()
    report = move(order["path"], MODELS[name], batch_chunks=order["batch_chunks"])
    return f"moved {report.chunks}"


def _child(
    act: Callable[[dict[str, Any], Any, Callable[[], object]], str], order: dict[str, Any], which: Any, words: int
) -> None:
    LOOP._start()
    try:
        said = act(order, which, partial(os.write, words, b"go\n"))
        os.write(words, f"{said}\n".encode())
    except BaseException as error:
        os.write(words, f"{type(error).__name__}: {error}\n".encode())
        os._exit(1)
    os._exit(0)


def _serve(order: dict[str, Any]) -> dict[str, Any]:
    children = []
    tasks = [(_add, one) for one in order.get("generations", [])] + [(_move, one) for one in order.get("move", [])]
    for act, which in tasks:
        reading, writing = os.pipe()
        pid = os.fork()
        if not pid:
            os.close(reading)
            _child(act, order, which, writing)
        os.close(writing)
        children.append((pid, os.fdopen(reading)))
    first = [stream.readline() for _, stream in children]
    if order.get("kill_after") is not None:
        time.sleep(order["kill_after"])
        for pid, _ in children:
            os.kill(pid, signal.SIGKILL)
    said = [line + stream.read() for line, (_, stream) in zip(first, children, strict=True)]
    return {"codes": [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid, _ in children], "said": said}


if __name__ == "__main__":
    for line in sys.stdin:
        print(json.dumps(_serve(json.loads(line))), flush=True)  # noqa: T201
