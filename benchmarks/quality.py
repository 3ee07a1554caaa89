"""Quality on labelled collections: both arms, the default fusion and equal-vote rank fusion, through a real index.

    python benchmarks/quality.py --data COLLECTIONS [NAME ...] [--dtype bfloat16] [--questions N] [--cache FILE] [--json FILE]

COLLECTIONS is a folder of collections (default: the environment variable RAGKIT_DATA). NAME:PREFIX is the part of a collection whose
documents' ids begin with "PREFIX:", a language of xquad for example. Where whole documents are judged and answers are spans, the
answers' recall at 512 returned tokens is measured, too. Exit status 1 when hybrid search loses more than 0.005 nDCG@10 to its
better arm, or, on collections called limit*, more than 0.02 recall@10 to BM25.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from dataclasses import replace
from pathlib import Path

from ragkit.embed import CachedEmbedder, TransformerEmbedder
from ragkit.evaluate import Collection, EvalReport, evaluate, limited, load_collection
from ragkit.evaluate.report import markdown
from ragkit.retrieve import Convex, Rrf
from ragkit.seams import Embedder

COLLECTIONS = [
    *("nq_open", "cranfield", "cisi", "contextual_code", "squad_articles", "pubmed_qa"),
    *("policy_qa", "covid_qa", "chunking_eval", "xquad:en", "xquad:de", "limit_small", "limit_2k"),
]
OTHERS = {"min-max 0.5": Convex(dense=0.5, normalize="minmax"), "RRF 60": Rrf()}
BUDGET = 512
SPANS = f"recall@{BUDGET} tokens"
ROWS = ("dense", "bm25", "hybrid", *OTHERS)


def collection_of(folder: Path, name: str, questions: int | None) -> Collection:
    """A collection by its name, or the part whose documents' ids begin with what follows the colon."""
    name, _, prefix = name.partition(":")
    found = load_collection(folder / name)
    if prefix:
        some = tuple(one for one in found.documents if one.id.startswith(f"{prefix}:"))
        found = replace(found, name=f"{name}:{prefix}", documents=some)
    return limited(found, questions=questions) if prefix or questions else found


def metrics(report: EvalReport) -> list[str]:
    """What a collection is about: finding all that is asked for, ranking it, or finding its place in long documents."""
    if report.collection.startswith("limit"):
        return ["recall@10"]
    return ["nDCG@10", *(name for name in report.metrics if name == SPANS and report.unit == "document")]


def passed(report: EvalReport, metric: str) -> bool:
    """The promise about hybrid search."""
    dense, bm25, hybrid = (report.score(mode, metric).mean for mode in ("dense", "bm25", "hybrid"))
    return hybrid >= (bm25 - 0.02 if metric == "recall@10" else max(dense, bm25) - 0.005)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", default=COLLECTIONS, metavar="NAME")
    parser.add_argument("--data", type=Path, default=os.environ.get("RAGKIT_DATA"), help="folder of collections")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--questions", type=int, help="at most so many of each collection, by lot")
    parser.add_argument("--cache", type=Path, help="keep vectors in this file; the five rows then embed each question once")
    parser.add_argument("--json", type=Path, help="write all reports here, as JSON")
    given = parser.parse_args()
    if given.data is None:
        parser.error("give --data, or set RAGKIT_DATA to a folder of collections")
    embedder: Embedder = TransformerEmbedder(dtype=given.dtype)
    if given.cache:
        embedder = CachedEmbedder(embedder, path=given.cache)
    reports, table, ok = [], [], True
    for name in given.names:
        begun = time.perf_counter()
        collection = collection_of(Path(given.data), name, given.questions)
        report = evaluate(collection, embedder=embedder, fusions=OTHERS, budgets=(BUDGET,), progress=True)
        for metric in metrics(report):
            fine = passed(report, metric)
            ok = ok and fine
            scores = [report.score(row, metric) for row in ROWS]
            cells = [f"{score.mean:.3f} ± {(score.high - score.low) / 2:.3f}" for score in scores]
            table.append([name, metric, str(report.queries), *cells, "yes" if fine else "NO"])
        reports.append(report.to_dict())
        print(f"{name}: {time.perf_counter() - begun:.0f} s, {report.chunks} chunks", file=sys.stderr, flush=True)
        if given.json:
            given.json.write_text(json.dumps(reports, indent=1), encoding="utf-8")
    print(markdown(["collection", "metric", "questions", *ROWS, "kept"], table))
    return 0 if ok else 1


if __name__ == "__main__":
    sys.exit(main())
