"""Speed and recall of search on synthetic chunks of 384 dimensions: ragkit beside LanceDB by hand and in-memory peers.

    python benchmarks/search.py [--sizes 10000 100000 1000000] [--questions 50] [--json FILE] [--plot FILE]

Times are milliseconds a question without embedding, wall median and processor mean, contenders taking turns in one process. Ratios are to
LanceDB asked by hand for the same result: ten rows as a list, with all that a hit holds and their score. "dense" reads as many partitions of the
same index and refines as far; "bm25" is LanceDB's own ranking; "hybrid" is its vector and full-text query with its RRFReranker, from as many
candidates an arm (and, beside it, from ten only). Recall is the share of the ten nearest by a scan. A million chunks need about 6 GB of memory.
Peers that are not installed are left out, and above 100,000 chunks all but numpy.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lancedb
import numpy as np
import search_plot
from lancedb.query import MatchQuery
from lancedb.rerankers import RRFReranker
from search_corpus import Corpus, Questions, ask, make, stored
from search_peers import K, contenders

from ragkit import Index
from ragkit.evaluate.report import markdown
from ragkit.retrieve import DEFAULT_FETCH_K
from ragkit.store import Tuning
from ragkit.store.rows import stored_columns
from ragkit.store.schema import read_header


def by_hand(index: Index, questions: Questions, tuning: Tuning) -> dict[str, Callable[[int], Any]]:
    """The same searches through LanceDB itself."""
    table = lancedb.connect(index.path).open_table("chunks")
    columns = stored_columns(read_header(table.schema, index.path))

    def nearest(query: Any) -> Any:
        query = query.distance_type("cosine")
        return query.nprobes(tuning.nprobes).refine_factor(tuning.refine) if tuning.index else query

    def words(n: int) -> MatchQuery:
        return MatchQuery(" ".join(questions.tokens[n]), "lex")

    def dense(n: int) -> Any:
        query = nearest(table.search(questions.vectors[n], vector_column_name="vector"))
        return query.select([*columns, "_distance"]).limit(K).to_list()

    def hybrid(n: int, candidates: int) -> Any:
        query = nearest(
            table.search(query_type="hybrid", vector_column_name="vector").vector(questions.vectors[n]).text(words(n))
        )
        return query.select(columns).limit(candidates).rerank(RRFReranker()).to_list()[:K]

    return {
        "dense, LanceDB by hand": dense,
        "bm25, LanceDB by hand": lambda n: table.search(words(n)).select([*columns, "_score"]).limit(K).to_list(),
        "hybrid, LanceDB by hand": lambda n: hybrid(n, DEFAULT_FETCH_K),
        "hybrid, LanceDB from ten": lambda n: hybrid(n, K),
    }


def measure(runs: dict[str, Callable[[int], Any]], count: int) -> tuple[dict[str, float], dict[str, float]]:
    """Wall median and processor mean in milliseconds; every contender answers a question before the next is asked, in changing order."""
    random = np.random.default_rng(0)
    wall: dict[str, list[float]] = {name: [] for name in runs}
    processor = dict.fromkeys(runs, 0.0)
    for run in runs.values():
        run(0)
    for n in range(count):
        # Threads of numpy's and of peers still spin when the next one begins.
        for name in random.permutation(list(runs)).tolist():
            run = runs[name]
            used, begun = time.process_time(), time.perf_counter()
            run(n)
            wall[name].append((time.perf_counter() - begun) * 1000)
            processor[name] += (time.process_time() - used) * 1000 / count
    return {name: statistics.median(times) for name, times in wall.items()}, processor


def recalls(runs: dict[str, Callable[[int], Any]], corpus: Corpus, questions: Questions) -> dict[str, float]:
    """Of dense contenders: the share of the ten nearest chunks by a scan that they return."""
    names = [name for name in runs if name.startswith("dense") and "by hand" not in name]
    shares: dict[str, list[float]] = {name: [] for name in names}
    for n, vector in enumerate(questions.vectors):
        best = set(np.argpartition(corpus.vectors @ vector, -K)[-K:].tolist())
        for name in names:
            found = runs[name](n)
            places = {int(hit.chunk.doc_id) for hit in found} if name == "dense" else set(found)
            shares[name].append(len(best & places) / K)
    return {name: statistics.fmean(values) for name, values in shares.items()}


def one_size(size: int, count: int) -> dict[str, Any]:
    corpus = make(size)
    questions = ask(corpus, count)
    with tempfile.TemporaryDirectory() as folder:
        begun = time.perf_counter()
        index = stored(corpus, questions, Path(folder) / "db")
        built = time.perf_counter() - begun
        tuning = index.tune(queries=50)
        print(f"{size:,} chunks stored and indexed in {built:.1f} s; {tuning}", file=sys.stderr)
        runs: dict[str, Callable[[int], Any]] = {
            mode: lambda n, mode=mode: index.search(questions.texts[n], mode=mode, k=K) for mode in ("dense", "bm25", "hybrid")
        }
        runs |= by_hand(index, questions, tuning) | contenders(corpus, questions)
        wall, processor = measure(runs, count)
        for mode in ("dense", "bm25", "hybrid"):
            many_wall, many_processor = measure(
                {"many": lambda _, mode=mode: index.search_many(questions.texts, mode=mode, k=K)}, 3
            )
            name = f"{mode}, search_many (each)"
            wall[name], processor[name] = many_wall["many"] / count, many_processor["many"] / count
        recall = recalls(runs, corpus, questions)
        index.close()
    return {"size": size, "ms": wall, "cpu_ms": processor, "recall": recall, "index": tuning.index, "seconds_to_store": built}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[10_000, 100_000], help="chunks")
    parser.add_argument("--questions", type=int, default=50)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--plot", type=Path, help="a PNG, and a page of HTML beside it")
    given = parser.parse_args()
    results = [one_size(size, given.questions) for size in given.sizes]
    for one in results:
        rows = []
        for name, ms in sorted(one["ms"].items()):
            hand = f"{name.split(',')[0]}, LanceDB by hand"
            share = one["recall"].get(name)
            ratios = (ms / one["ms"][hand], one["cpu_ms"][name] / one["cpu_ms"][hand])
            rows.append(
                [
                    name,
                    f"{ms:.2f}",
                    f"{one['cpu_ms'][name]:.2f}",
                    *(f"{ratio:.2f}" for ratio in ratios),
                    f"{share:.3f}" if share else "",
                ]
            )
        print(markdown([f"{one['size']:,} chunks", "ms", "processor ms", "to by hand", "processor", "recall@10"], rows), "\n")
    if given.json:
        given.json.write_text(json.dumps(results, indent=1))
    if given.plot:
        search_plot.write(results, given.plot)
    return 0


if __name__ == "__main__":
    sys.exit(main())
