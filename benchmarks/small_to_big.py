"""Small to big: does it pay to search small chunks and return what stands around them, at equal returned tokens?

    python benchmarks/small_to_big.py --data COLLECTIONS [--collections squad_articles,covid_qa,policy_qa] [--documents N] [--questions 300]
                                      [--vectors FILE] [--json]

The share of the answers' characters within the first tokens that a hybrid search returns, for plain chunks of several sizes and for small ones with their
neighbours or their parent; the last piece is cut where the tokens are spent. Below it, the mean difference to plain chunks of 128 tokens over
the same questions, with its 95 % interval. Questions and documents are drawn by lot; FILE keeps the vectors for the next run.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ragkit import Index
from ragkit.chunk import Parents, RecursiveChunker
from ragkit.embed import CachedEmbedder, TransformerEmbedder
from ragkit.evaluate import Collection, limited, load_collection
from ragkit.evaluate.metrics import Returned, span_metrics
from ragkit.evaluate.report import markdown
from ragkit.retrieve import Shape
from ragkit.seams import Chunker, Embedder


class Way(NamedTuple):
    """What is searched, and what is returned of it: pieces of about ``tokens``."""

    chunker: Chunker
    shape: Shape | None
    tokens: int


BASE = "128"
WAYS = {
    "64": Way(RecursiveChunker(64), None, 64),
    "128": Way(RecursiveChunker(128), None, 128),
    "256": Way(RecursiveChunker(256), None, 256),
    "64, one neighbour": Way(RecursiveChunker(64), Shape(expand=1), 192),
    "64 in parents of 256": Way(RecursiveChunker(64) | Parents((256,)), Shape(expand="parent"), 256),
    "128, one neighbour": Way(RecursiveChunker(128), Shape(expand=1), 384),
    "128 in parents of 512": Way(RecursiveChunker(128) | Parents((512,)), Shape(expand="parent"), 512),
}


def recalls(collection: Collection, way: Way, embedder: Embedder, budgets: list[int]) -> dict[int, dict[str, float]]:
    """For each budget of tokens the share of every question's answer that was returned."""
    asked = defaultdict(list)
    for query in collection.queries:
        if collection.spans.get(query.id):
            asked[query.doc_id].append(query)
    found: dict[int, dict[str, float]] = {budget: {} for budget in budgets}
    # Pieces end short of their limit, so more are fetched than would just fill the budget.
    k = 2 * max(budgets) // way.tokens + 2
    with (
        tempfile.TemporaryDirectory() as place,
        Index(Path(place) / "kb", chunker=way.chunker, embedder=embedder, compressor=None) as index,
    ):
        index.add([document for document in collection.units("document")[0] if document.text.strip()])
        for doc_id, queries in asked.items():
            where = None if doc_id is None else {"doc_id": doc_id}
            lists = index.search_many([query.text for query in queries], k=k, where=where, shape=way.shape)
            for query, hits in zip(queries, lists, strict=True):
                pieces = [Returned(hit.chunk.doc_id, hit.chunk.start, hit.chunk.end, hit.chunk.n_tokens) for hit in hits]
                for budget in budgets:
                    found[budget][query.id] = span_metrics(pieces, collection.spans[query.id], budget=budget)["recall"]
    return found


def gain(ours: dict[str, float], base: dict[str, float]) -> tuple[float, float, float]:
    """The mean difference, in points, and its 95 % interval by bootstrap over questions."""
    differences = 100 * np.array([ours[query] - base[query] for query in base])
    drawn = np.random.default_rng(0).choice(differences, (2000, len(differences))).mean(axis=1)
    return float(differences.mean()), *np.quantile(drawn, [0.025, 0.975]).tolist()


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="a folder with one folder per collection")
    parser.add_argument("--collections", default="squad_articles,covid_qa,policy_qa")
    parser.add_argument("--documents", type=int, help="at most so many of each collection")
    parser.add_argument("--questions", type=int, default=300)
    parser.add_argument("--budgets", default="256,512,1024", help="returned tokens, separated by commas")
    parser.add_argument("--vectors", type=Path, help="a file that keeps the vectors")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    budgets = [int(one) for one in options.budgets.split(",")]
    embedder: Embedder = TransformerEmbedder()
    if options.vectors is not None:
        embedder = CachedEmbedder(embedder, path=options.vectors)
    for name in options.collections.split(","):
        collection = limited(load_collection(options.data / name), documents=options.documents, questions=options.questions)
        measured = {}
        for way, made in WAYS.items():
            measured[way] = recalls(collection, made, embedder, budgets)
            print(name, way, file=sys.stderr, flush=True)
        if options.json:
            print(json.dumps({"collection": name, "recall": measured}), flush=True)
            continue
        rows = []
        for way, found in measured.items():
            cells = []
            for budget in budgets:
                mean, low, high = gain(found[budget], measured[BASE][budget])
                more = "" if way == BASE else f" ({mean:+.1f}, {low:+.1f} to {high:+.1f})"
                cells.append(f"{100 * statistics.mean(found[budget].values()):.1f}{more}")
            rows.append([way, *cells])
        print(markdown([name, *(f"{budget} tokens" for budget in budgets)], rows), "\n", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
