"""Every fusion on the same candidates of labelled collections, through a real index.

    python benchmarks/fusion.py --data COLLECTIONS [NAME ...] [--questions N] [--vectors FILE] [--out docs/fusion-table.md]

COLLECTIONS is a folder of collections (default: the environment variable RAGKIT_DATA). Figures are nDCG@10 in points, of
documents (or judged passages) by their best chunk; on collections called limit* recall@10. --vectors keeps vectors in a file between runs.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path

import numpy as np

from ragkit.embed import CachedEmbedder, TransformerEmbedder
from ragkit.evaluate import load_collection, rank_metrics
from ragkit.evaluate.report import markdown
from ragkit.index import Index
from ragkit.retrieve import Adaptive, Candidates, Convex, Fusion, Rrf
from ragkit.seams import Embedder
from ragkit.vec import order

COLLECTIONS = ["nq_open", "cranfield", "cisi", "contextual_code", "squad_articles", "limit_small", "limit_2k"]
FUSIONS: dict[str, Fusion] = {
    "dense": Convex(dense=1.0, document=0.0),
    "BM25": Convex(dense=0.0, document=0.0),
    "Rrf(c=60)": Rrf(),
    "min-max 0.5": Convex(dense=0.5, normalize="minmax", document=0.0),
    "dbsf 0.5": Convex(dense=0.5, normalize="dbsf", document=0.0),
    "zscore 0.6": Convex(normalize="zscore"),
    "softmax 0.6, the default": Convex(),
    "Adaptive": Adaptive(),
}


def ranked(found: Candidates, fusion: Fusion) -> list[str]:
    """Documents in the order of their best candidates."""
    shares = fusion.fit(found.scored)(found.scored)
    return list(dict.fromkeys(found.rows[place].chunk.doc_id for place in order(shares.dense + shares.bm25)))


def measure(folder: Path, embedder: Embedder, questions: int) -> dict[str, float]:
    """The mean of each fusion on one collection, in points."""
    collection = load_collection(folder)
    documents, _ = collection.units(collection.unit)
    judged = collection.judgements(collection.unit)
    asked = [
        one for one in collection.queries if one.doc_id is None and any(grade > 0 for grade in judged.get(one.id, {}).values())
    ]
    asked = asked[:: max(1, len(asked) // questions)]
    metric = "recall@10" if collection.name.startswith("limit") else "nDCG@10"
    with tempfile.TemporaryDirectory() as path, Index(Path(path) / "db", embedder=embedder) as index:
        index.add(documents)
        found = index.candidates([one.text for one in asked])
    means = {}
    for name, fusion in FUSIONS.items():
        run = {one.id: ranked(some, fusion) for one, some in zip(asked, found, strict=True)}
        values = rank_metrics({one.id: judged[one.id] for one in asked}, run)[metric]
        means[name] = 100 * float(np.mean(list(values.values())))
    return means


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", default=COLLECTIONS, metavar="NAME")
    parser.add_argument("--data", type=Path, default=os.environ.get("RAGKIT_DATA"), help="folder of collections")
    parser.add_argument("--questions", type=int, default=2000, help="at most about so many of each collection, evenly taken")
    parser.add_argument("--vectors", type=Path, help="keep vectors in this file")
    parser.add_argument("--out", type=Path, help="write the table here too")
    given = parser.parse_args()
    if given.data is None:
        parser.error("give --data, or set RAGKIT_DATA to a folder of collections")
    model = TransformerEmbedder()
    embedder: Embedder = model if given.vectors is None else CachedEmbedder(model, path=given.vectors)
    columns = {}
    for name in given.names:
        columns[name] = measure(Path(given.data) / name, embedder, given.questions)
        rows = [[fusion, *(f"{column[fusion]:.1f}" for column in columns.values())] for fusion in FUSIONS]
        table = markdown(["fusion", *columns], rows)
        print(table, flush=True)
        if given.out:
            given.out.write_text(table + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
