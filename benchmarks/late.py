"""Late interaction as a search of its own: what it finds alone, and what the two arms' candidates lack without it.

    python benchmarks/late.py --data COLLECTIONS [--collections squad_articles,contextual_code]
                              [--documents 6] [--questions 100] [--sizes 4,16] [--depth 20] [--json]

nDCG@10 of each way to search through one index, and the share of judged documents that are not among the candidates of either arm, with and without
those of late interaction beside them. A few documents of each collection, drawn by lot: every chunk is embedded and compressed, which takes the time.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from ragkit import Hit, Index
from ragkit.chunk import RecursiveChunker
from ragkit.evaluate import limited, load_collection, rank_metrics
from ragkit.rerank import CompressedReranker


def ranked(hits: Sequence[Hit]) -> list[str]:
    """Documents by their best chunk."""
    return list(dict.fromkeys(hit.chunk.doc_id for hit in hits))


def measured(folder: Path, given: int, questions: int, sizes: Sequence[int], depth: int) -> dict[str, object]:
    """The figures of one collection."""
    collection = limited(load_collection(folder), documents=given, questions=questions)
    documents, _ = collection.units(collection.unit)
    judged = collection.judgements(collection.unit)
    asked = [one for one in collection.queries if any(grade > 0 for grade in judged.get(one.id, {}).values())]
    qrels = {one.id: dict(judged[one.id]) for one in asked}
    texts = [one.text for one in asked]
    with tempfile.TemporaryDirectory() as place, Index(Path(place) / "kb", chunker=RecursiveChunker(256)) as index:
        index.add([document for document in documents if document.text.strip()])
        reranker = CompressedReranker()
        found = {mode: index.search_many(texts, k=depth, mode=mode) for mode in ("dense", "bm25", "hybrid")}
        found["hybrid, reranked"] = index.search_many(texts, k=depth, rerank=reranker)
        for size in sizes:
            late = index.codes.late_interaction(reranker, vectors=size)
            late.fill()
            found[f"late, {size} vectors"] = [late.search(text, k=depth, fetch_k=depth) for text in texts]
        chunks = index.stats().chunks
    runs = {name: {one: ranked(hits) for one, hits in zip(qrels, lists, strict=True)} for name, lists in found.items()}
    quality = {name: 100 * statistics.mean(rank_metrics(qrels, run)["nDCG@10"].values()) for name, run in runs.items()}

    def missing(*names: str) -> float:
        wanted = [(one, doc) for one, grades in qrels.items() for doc, grade in grades.items() if grade > 0]
        return 100 * statistics.mean(all(doc not in runs[name][one] for name in names) for one, doc in wanted)

    last = f"late, {sizes[-1]} vectors"
    lacking = {"dense and bm25": missing("dense", "bm25"), f"dense, bm25 and {last}": missing("dense", "bm25", last)}
    return {"chunks": chunks, "questions": len(asked), "nDCG@10": quality, "missing": lacking}


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="a folder with one folder per collection")
    parser.add_argument("--collections", default="squad_articles,contextual_code")
    parser.add_argument("--documents", type=int, default=6)
    parser.add_argument("--questions", type=int, default=100)
    parser.add_argument("--sizes", default="4,16", help="vectors a chunk in the column, separated by commas")
    parser.add_argument("--depth", type=int, default=20, help="candidates")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    sizes = [int(one) for one in options.sizes.split(",")]
    for name in options.collections.split(","):
        report = {"collection": name} | measured(options.data / name, options.documents, options.questions, sizes, options.depth)
        print(json.dumps(report) if options.json else "\n".join(f"{key}: {value}" for key, value in report.items()), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
