"""Quality on labelled collections: both arms, the default fusion and equal-vote rank fusion, through a real index.

    python benchmarks/quality.py --data COLLECTIONS [NAME ...] [--json FILE]

COLLECTIONS is a folder of collections (default: the environment variable RAGKIT_DATA). Exit status 1 when hybrid search
loses more than 0.005 nDCG@10 to its better arm, or, on collections called limit*, more than 0.02 recall@10 to BM25.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from pathlib import Path

from ragkit.embed import TransformerEmbedder
from ragkit.evaluate import EvalReport, evaluate, load_collection
from ragkit.evaluate.report import markdown
from ragkit.retrieve import Convex, Rrf

COLLECTIONS = ["nq_open", "cranfield", "cisi", "contextual_code", "squad_articles", "pubmed_qa", "limit_small", "limit_2k"]
OTHERS = {"min-max 0.5": Convex(dense=0.5, normalize="minmax"), "RRF 60": Rrf()}
ROWS = ("dense", "bm25", "hybrid", *OTHERS)


def metric(report: EvalReport) -> str:
    """What a collection is about: finding all that is asked for, or ranking it."""
    return "recall@10" if report.collection.startswith("limit") else "nDCG@10"


def passed(report: EvalReport) -> bool:
    """The promise about hybrid search."""
    arms = {mode: report.score(mode, metric(report)).mean for mode in ("dense", "bm25", "hybrid")}
    if metric(report) == "recall@10":
        return arms["hybrid"] >= arms["bm25"] - 0.02
    return arms["hybrid"] >= max(arms["dense"], arms["bm25"]) - 0.005


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", default=COLLECTIONS, metavar="NAME")
    parser.add_argument("--data", type=Path, default=os.environ.get("RAGKIT_DATA"), help="folder of collections")
    parser.add_argument("--json", type=Path, help="write all reports here, as JSON")
    given = parser.parse_args()
    if given.data is None:
        parser.error("give --data, or set RAGKIT_DATA to a folder of collections")
    embedder = TransformerEmbedder()
    reports, table, ok = [], [], True
    for name in given.names:
        begun = time.perf_counter()
        report = evaluate(load_collection(Path(given.data) / name), embedder=embedder, fusions=OTHERS, budgets=(), progress=True)
        fine = passed(report)
        ok = ok and fine
        scores = [report.score(row, metric(report)) for row in ROWS]
        cells = [f"{score.mean:.3f} ± {(score.high - score.low) / 2:.3f}" for score in scores]
        table.append([name, metric(report), str(report.queries), *cells, "yes" if fine else "NO"])
        reports.append(report.to_dict())
        print(f"{name}: {time.perf_counter() - begun:.0f} s, {report.chunks} chunks", file=sys.stderr, flush=True)
        if given.json:
            given.json.write_text(json.dumps(reports, indent=1), encoding="utf-8")
    print(markdown(["collection", "metric", "questions", *ROWS, "kept"], table))
    return 0 if ok else 1


if __name__ == "__main__":
    sys.exit(main())
