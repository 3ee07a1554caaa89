"""What a look-up and a put of the semantic cache cost beside the model, with a plain numpy dot product measured in between.

    python benchmarks/cache.py [--entries 1000 10000 100000] [--rounds 300] [--puts 1000] [--gptcache] [--json FILE]

Vectors are random unit rows of 384 numbers, made before the clock runs, so no model is needed: questions for look-ups are entries moved
by noise to a cosine near 0.9, under the prompt of another one, so that guards and the policy have work; every fourth is an exact
repetition. `dot` is `matrix @ vector` alone, in the same process, in turn with the look-ups. `put` is durable on return. GPTCache,
where it is installed, gets the same vectors through an embedding function that looks them up.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

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
        for text in asked:
            vector = embedder.vectors[text]
            dot.append(clocked(lambda vector=vector: matrix @ vector))
            begun = time.perf_counter()
            verdict = cache.lookup(text, scope=HERE)
            look["exact" if verdict.tier == "exact" else verdict.kind].append(time.perf_counter() - begun)
        semantic = [*look["hit"], *look["near"], *look["miss"]]
        put = [
            clocked(lambda number=number: cache.put(prompt(number), "An answer. " * 20, scope=HERE))
            for number in range(entries, entries + puts)
        ]
    result = dict(
        zip(("lookup_p50", "lookup_p95"), quantiles([*semantic, *look["exact"]], 50, 95), strict=True),
        exact_p50=quantiles(look["exact"], 50)[0],
        semantic_p50=quantiles(semantic, 50)[0],
        dot_p50=quantiles(dot, 50)[0],
    )
    result |= dict(zip(("put_p50", "put_p99", "put_max"), quantiles(put, 50, 99, 100), strict=True))
    counts = {kind: len(times) for kind, times in look.items()}
    return {
        "system": "ragkit",
        "entries": entries,
        "ratio": result["semantic_p50"] / result["dot_p50"],
        "verdicts": counts,
        **result,
    }


def gptcache(entries: int, rounds: int, folder: Path) -> dict[str, Any] | None:
    """The same vectors in GPTCache with SQLite and FAISS, its usual pair; None where it is not installed."""
    try:
        from gptcache import Cache
        from gptcache.adapter.api import get, put
        from gptcache.manager import CacheBase, VectorBase, get_data_manager
        from gptcache.processor.pre import get_prompt
        from gptcache.similarity_evaluation.distance import SearchDistanceEvaluation
    except ImportError:
        return None
    random = np.random.default_rng(1)
    rows = unit(random.standard_normal((entries, DIM)).astype(np.float32))
    vectors = {prompt(number): row for number, row in enumerate(rows)}
    folder.mkdir(parents=True, exist_ok=True)
    cache = Cache()
    manager = get_data_manager(
        CacheBase("sqlite", sql_url=f"sqlite:///{folder}/{entries}.db"),
        VectorBase("faiss", dimension=DIM, index_path=str(folder / f"{entries}.index")),
        max_size=10**7,
    )
    cache.init(
        pre_embedding_func=get_prompt,
        embedding_func=lambda text, **_: vectors[text],
        data_manager=manager,
        similarity_evaluation=SearchDistanceEvaluation(),
    )
    texts = list(vectors)
    manager.import_data(texts, ["An answer. " * 20] * entries, list(rows), [None] * entries)
    look = [clocked(lambda text=texts[at]: get(text, cache_obj=cache)) for at in random.integers(0, entries, rounds)]
    stored = [clocked(lambda text=text: put(text, "An answer. " * 20, cache_obj=cache)) for text in texts[:rounds]]
    result = dict(zip(("lookup_p50", "lookup_p95"), quantiles(look, 50, 95), strict=True))
    result |= dict(zip(("put_p50", "put_p99", "put_max"), quantiles(stored, 50, 99, 100), strict=True))
    return {"system": "GPTCache", "entries": entries, **result}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--entries", type=int, nargs="+", default=[1_000, 10_000, 100_000])
    parser.add_argument("--rounds", type=int, default=300)
    parser.add_argument("--puts", type=int, default=1_000)
    parser.add_argument("--gptcache", action="store_true", help="measure GPTCache too, where it is installed")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    found: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        for entries in given.entries:
            found.append(measure(entries, given.rounds, given.puts, Path(folder)))
            print(f"{entries} entries measured", file=sys.stderr, flush=True)
            other = gptcache(entries, given.rounds, Path(folder) / "gptcache") if given.gptcache else None
            if other is not None:
                found.append(other)
    columns = [
        "system",
        "entries",
        "lookup_p50",
        "exact_p50",
        "semantic_p50",
        "dot_p50",
        "ratio",
        "put_p50",
        "put_p99",
        "put_max",
    ]

    def cell(value: Any) -> str:
        return f"{value:.2f}" if isinstance(value, float) else str(value)

    rows = [[cell(one.get(name, "")) for name in columns] for one in found]
    print(markdown(columns, rows))
    if given.gptcache and not any(one["system"] == "GPTCache" for one in found):
        print("GPTCache is not installed: pip install gptcache faiss-cpu", file=sys.stderr)
    if given.json:
        given.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
