"""What a look-up and a put of the semantic cache cost beside the model, with a plain numpy dot product measured in between.

    python benchmarks/cache.py [--entries 1000 10000 100000] [--rounds 300] [--puts 1000] [--gptcache PYTHON] [--json FILE]

Vectors are random unit rows of 384 numbers, made before the clock runs, so no model is needed: questions for look-ups are entries moved
by noise to a cosine near 0.9, under the prompt of another one, so that guards and the policy have work; every fourth is an exact
repetition. Stored prompts were taken apart for the guards when they were put, those asked about are not. `dot` is `matrix @ vector`
alone, in the same process, in turn with the look-ups. A `put` survives a kill on return; in turn with the puts a plain SQLite
transaction writes a row of the same size (`sqlite`). `cpu` is the time on the processor of the thread that asks, for machines that do
other things too. GPTCache runs in a process of its own, `cache_peer.py`. Milliseconds.
"""

from __future__ import annotations

import argparse
import json
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from ragkit import SemanticCache
from ragkit.cache import Limits, Scope, Static
from ragkit.evaluate.report import markdown
from ragkit.types import ModelCard

DIM = 384
HERE = Scope("acme", "m")
WORDS = ["account", "invoice", "router", "garden", "ticket", "battery", "recipe", "visa", "printer", "loan", "camera", "kitchen"]


class Given:
    """An embedder that knows the vector of every prompt beforehand."""

    tokenizer = None

    def __init__(self) -> None:
        self.card = ModelCard(name="given", dim=DIM, pooling="none", window=512)
        self.vectors: dict[str, NDArray[np.float32]] = {}

    def embed_query(self, text: str, /) -> NDArray[np.float32]:
        return self.vectors[text]


def prompt(number: int) -> str:
    return f"How do I change the {WORDS[number % 12]} of my {WORDS[number // 12 % 12]} number {number}?"


def unit(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


def quantiles(times: list[float], *which: float) -> list[float]:
    return [float(value) * 1e3 for value in np.percentile(times, which)]


def clocked(act: Callable[[], Any]) -> float:
    begun = time.perf_counter()
    act()
    return time.perf_counter() - begun


class Plain:
    """The least that a put can cost: one row of about the same size in a SQLite file, in a transaction of its own."""

    def __init__(self, path: Path) -> None:
        self._connection = sqlite3.connect(path)
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute("PRAGMA synchronous = NORMAL")
        self._connection.execute("PRAGMA wal_autocheckpoint = 0")
        self._connection.execute("CREATE TABLE rows (place INTEGER PRIMARY KEY, data BLOB)")

    def put(self) -> None:
        with self._connection:
            self._connection.execute("INSERT INTO rows (data) VALUES (?)", (bytes(4 * DIM + 800),))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()


def measure(entries: int, rounds: int, puts: int, folder: Path) -> dict[str, Any]:
    random = np.random.default_rng(1)
    embedder = Given()
    rows = unit(random.standard_normal((entries + puts, DIM)).astype(np.float32))
    for number, row in enumerate(rows):
        embedder.vectors[prompt(number)] = row
    asked = []
    for place, number in enumerate(random.integers(0, entries, rounds).tolist()):
        if place % 4 == 0:
            asked.append(prompt(number))
            continue
        noise = unit(random.standard_normal(DIM).astype(np.float32))
        asked.append(f"How can I change the {WORDS[number % 12]} of my {WORDS[place % 12]} number {number}?")
        embedder.vectors[asked[-1]] = unit(rows[number] + 0.45 * noise)
    with SemanticCache(
        folder / f"{entries}.lance", embedder=embedder, policy=Static(0.85), limits=Limits(entries=10**7, size=1 << 40)
    ) as cache:
        for number in range(entries):
            cache.put(prompt(number), "An answer. " * 20, scope=HERE, wait=False)
        cache.flush()
        cache.tend()
        matrix = np.ascontiguousarray(rows[:entries])
        look: dict[str, list[float]] = {"hit": [], "near": [], "miss": [], "exact": []}
        dot: list[float] = []
        dot_cpu: list[float] = []
        semantic_cpu: list[float] = []
        for text in asked:
            vector = embedder.vectors[text]
            used = time.thread_time()
            dot.append(clocked(lambda vector=vector: matrix @ vector))
            dot_cpu.append(time.thread_time() - used)
            begun, used = time.perf_counter(), time.thread_time()
            verdict = cache.lookup(text, scope=HERE)
            look["exact" if verdict.tier == "exact" else verdict.kind].append(time.perf_counter() - begun)
            if verdict.tier != "exact":
                semantic_cpu.append(time.thread_time() - used)
        semantic = [*look["hit"], *look["near"], *look["miss"]]
        put: list[float] = []
        plain: list[float] = []
        with Plain(folder / f"{entries}.sqlite") as floor:
            for number in range(entries, entries + puts):
                put.append(clocked(lambda number=number: cache.put(prompt(number), "An answer. " * 20, scope=HERE)))
                plain.append(clocked(floor.put))
    result = dict(
        zip(("lookup_p50", "lookup_p95"), quantiles([*semantic, *look["exact"]], 50, 95), strict=True),
        exact_p50=quantiles(look["exact"], 50)[0],
        semantic_p50=quantiles(semantic, 50)[0],
        dot_p50=quantiles(dot, 50)[0],
        semantic_cpu=quantiles(semantic_cpu, 50)[0],
        dot_cpu=quantiles(dot_cpu, 50)[0],
    )
    result |= dict(zip(("put_p50", "put_p99", "put_max"), quantiles(put, 50, 99, 100), strict=True))
    result |= dict(zip(("sqlite_p50", "sqlite_p99"), quantiles(plain, 50, 99), strict=True))
    counts = {kind: len(times) for kind, times in look.items()}
    return {
        "system": "ragkit",
        "entries": entries,
        "ratio": result["semantic_p50"] / result["dot_p50"],
        "verdicts": counts,
        **result,
    }


def gptcache(python: Path, entries: int, rounds: int, folder: Path) -> dict[str, Any]:
    """The same work in GPTCache, by an interpreter that has it."""
    folder.mkdir(parents=True)
    order = {"entries": entries, "rounds": rounds, "seed": 1, "dim": DIM, "folder": str(folder)}
    script = Path(__file__).with_name("cache_peer.py")
    done = subprocess.run([python, script], input=json.dumps(order) + "\n", capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"GPTCache failed:\n{done.stderr[-2000:]}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return {"system": "GPTCache", "entries": entries, "ratio": found["semantic_p50"] / found["dot_p50"], **found}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--entries", type=int, nargs="+", default=[1_000, 10_000, 100_000])
    parser.add_argument("--rounds", type=int, default=300)
    parser.add_argument("--puts", type=int, default=1_000)
    parser.add_argument("--gptcache", type=Path, metavar="PYTHON", help="measure GPTCache too, with an interpreter that has it")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    found: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        for entries in given.entries:
            found.append(measure(entries, given.rounds, given.puts, Path(folder)))
            print(f"{entries} entries measured", file=sys.stderr, flush=True)
            if given.gptcache:
                found.append(gptcache(given.gptcache, entries, given.rounds, Path(folder) / f"gptcache {entries}"))
    columns = [
        "system",
        "entries",
        "lookup_p50",
        "exact_p50",
        "semantic_p50",
        "dot_p50",
        "ratio",
        "semantic_cpu",
        "dot_cpu",
        "put_p50",
        "put_p99",
        "put_max",
        "sqlite_p50",
        "sqlite_p99",
    ]

    def cell(value: Any) -> str:
        return f"{value:.2f}" if isinstance(value, float) else str(value)

    rows = [[cell(one.get(name, "")) for name in columns] for one in found]
    print(markdown(columns, rows))
    if given.json:
        given.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
