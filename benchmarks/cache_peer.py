"""GPTCache on the vectors of benchmarks/cache.py, in a process of its own; it needs numpy and GPTCache, and nothing of ragkit.

    python -m venv peer && peer/bin/pip install gptcache==0.1.44 faiss-cpu
    python benchmarks/cache.py --gptcache peer/bin/python

Reads one JSON line {"entries", "rounds", "seed", "dim", "folder"} and prints one with milliseconds. SQLite and FAISS are its usual pair.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np


def clocked(act: Callable[[], Any]) -> float:
    begun = time.perf_counter()
    act()
    return (time.perf_counter() - begun) * 1e3


def main() -> None:
    from gptcache import Cache
    from gptcache.adapter.api import get, put
    from gptcache.manager import CacheBase, VectorBase, get_data_manager
    from gptcache.processor.pre import get_prompt
    from gptcache.similarity_evaluation.distance import SearchDistanceEvaluation

    order = json.loads(sys.stdin.readline())
    entries, rounds, folder = order["entries"], order["rounds"], Path(order["folder"])
    random = np.random.default_rng(order["seed"])
    rows = random.standard_normal((entries + rounds, order["dim"])).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    vectors = {f"What is number {number}?": row for number, row in enumerate(rows)}
    texts = list(vectors)
    manager = get_data_manager(
        CacheBase("sqlite", sql_url=f"sqlite:///{folder}/cache.db"),
        VectorBase("faiss", dimension=order["dim"], index_path=str(folder / "cache.index")),
        max_size=10**7,
    )
    cache = Cache()
    cache.init(
        pre_embedding_func=get_prompt,
        embedding_func=lambda text, **_: vectors[text],
        data_manager=manager,
        similarity_evaluation=SearchDistanceEvaluation(),
    )
    manager.import_data(texts[:entries], ["An answer. " * 20] * entries, list(rows[:entries]), [None] * entries)
    matrix, dot, look = rows[:entries].copy(), [], []
    for at in random.integers(0, entries, rounds).tolist():
        dot.append(clocked(lambda at=at: matrix @ rows[at]))
        look.append(clocked(lambda at=at: get(texts[at], cache_obj=cache)))
    stored = [clocked(lambda text=text: put(text, "An answer. " * 20, cache_obj=cache)) for text in texts[entries:]]
    put_p50, put_p99, put_max = (float(value) for value in np.percentile(stored, [50, 99, 100]))
    found = {"semantic_p50": float(np.median(look)), "dot_p50": float(np.median(dot))}
    print(json.dumps(found | {"put_p50": put_p50, "put_p99": put_p99, "put_max": put_max}))


if __name__ == "__main__":
    main()
