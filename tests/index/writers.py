"""Processes that add documents, for tests of kills and of writers at once.

Reads one JSON order per line: {"path", "generations": [...], "documents", "batch_chunks", "kill_after", "file_limit", "delete": [...],
"optimize"}. For each generation one child process deletes what it is told to, adds that generation of every document and, if told to,
optimizes; after ``kill_after`` seconds from the start of
adding all children are killed with SIGKILL. Answers with the children's exit codes (-9: killed) and their last words.

LanceDB is imported before the children are forked, for its import takes longer than most tests, and first used after
that: its threads do not outlive a fork, so each child starts its event loop anew.
"""

from __future__ import annotations

import json
import os
import random
import resource
import signal
import sys
import time
from typing import Any

import lancedb
from lancedb.background_loop import LOOP

from ragkit import Document, Index
from ragkit.chunk import RecursiveChunker
from ragkit.testing.embedders import HashEmbedder

assert lancedb


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


def _child(order: dict[str, Any], generation: int, words: int) -> None:
    LOOP._start()
    try:
        index = open_index(order["path"])
        made = documents(generation, order["documents"])
        random.Random(os.getpid()).shuffle(made)
        os.write(words, b"go\n")
        if order.get("file_limit"):
            resource.setrlimit(resource.RLIMIT_FSIZE, (order["file_limit"], order["file_limit"]))
        index.delete(order.get("delete", []))
        report = index.add(made, batch_chunks=order["batch_chunks"])
        if order.get("optimize"):
            index.optimize()
        os.write(words, f"added {report.added} replaced {report.replaced} unchanged {report.unchanged}\n".encode())
    except BaseException as error:
        os.write(words, f"{type(error).__name__}: {error}\n".encode())
        os._exit(1)
    os._exit(0)


def _serve(order: dict[str, Any]) -> dict[str, Any]:
    children = []
    for generation in order["generations"]:
        reading, writing = os.pipe()
        pid = os.fork()
        if not pid:
            os.close(reading)
            _child(order, generation, writing)
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
