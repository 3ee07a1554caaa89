"""Speed and exactness of search on synthetic chunks: ragkit beside LanceDB by hand, rank-bm25, bm25s and numpy.

    python benchmarks/search.py [--size 10000] [--questions 50] [--json FILE]

Times are medians of single questions in milliseconds, without embedding; ratios are to LanceDB asked by hand for the same
number of candidates from the same table. BM25 agreement is the share of questions whose ten best are those of an exact scan
by rank-bm25. bm25s is left out where it is not installed.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path

import lancedb
import numpy as np
from rank_bm25 import BM25Okapi

from ragkit import Document, Index
from ragkit.evaluate.report import markdown
from ragkit.lexical import Analyzer
from ragkit.retrieve import DEFAULT_FETCH_K
from ragkit.testing.embedders import HashEmbedder

DIM, WORDS, VOCABULARY = 384, 60, 30_000


class ClusteredEmbedder(HashEmbedder):
    """Vectors around 500 centres, drawn from the text's first word: neither isotropic nor costly."""

    def __init__(self) -> None:
        super().__init__(dim=DIM, name="clustered")
        self._centres = np.random.default_rng(1).standard_normal((500, DIM)).astype(np.float32)

    def _embed(self, *weighted: tuple[str, float]) -> np.ndarray:
        self.calls += 1
        number = int(weighted[0][0].split()[0].removeprefix("id"))
        vector = self._centres[number % 500] + np.random.default_rng(number).standard_normal(DIM).astype(np.float32)
        return vector / np.linalg.norm(vector)


def documents(size: int) -> list[Document]:
    random = np.random.default_rng(0)
    words = random.zipf(1.2, (size, WORDS)) % VOCABULARY
    return [Document(f"id{place} " + " ".join(f"w{word}" for word in row), id=str(place)) for place, row in enumerate(words)]


def questions(count: int, size: int) -> list[str]:
    random = np.random.default_rng(2)
    words = random.zipf(1.2, (count, 6)) % VOCABULARY
    return [f"id{random.integers(size)} " + " ".join(f"w{word}" for word in row) for row in words]


def median_ms(run: Callable[[str], object], asked: Sequence[str]) -> float:
    run(asked[0])
    times = []
    for question in asked:
        begun = time.perf_counter()
        run(question)
        times.append((time.perf_counter() - begun) * 1000)
    return statistics.median(times)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=10_000, help="chunks")
    parser.add_argument("--questions", type=int, default=50)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    corpus, asked = documents(given.size), questions(given.questions, given.size)
    analyzer, embedder = Analyzer(), ClusteredEmbedder()
    tokens = [analyzer.tokens(document.text) for document in corpus]
    vectors = {question: embedder.embed_query(question) for question in asked}
    with tempfile.TemporaryDirectory() as folder:
        index = Index(Path(folder) / "db", embedder=embedder, analyzer=analyzer)
        begun = time.perf_counter()
        index.add(corpus)
        index.optimize()
        print(f"indexed {given.size} chunks in {time.perf_counter() - begun:.1f} s", file=sys.stderr)
        database = lancedb.connect(index.path)
        table = database.open_table("chunks")
        wanted = ["id", "doc_id", "text", "vector", "lex"]

        def by_hand_dense(question: str) -> object:
            query = table.search(vectors[question], vector_column_name="vector").distance_type("cosine")
            return query.select([*wanted, "_distance"]).limit(DEFAULT_FETCH_K).to_arrow()

        def by_hand_words(question: str) -> object:
            words = " ".join(analyzer.tokens(question))
            return (
                table.search(words, query_type="fts", fts_columns="lex")
                .select([*wanted, "_score"])
                .limit(DEFAULT_FETCH_K)
                .to_arrow()
            )

        exact = BM25Okapi(tokens, k1=1.2)
        matrix = np.stack([embedder.embed_query(document.text) for document in corpus])
        scan = asked[: max(5, min(len(asked), 200_000 // given.size))]
        times = {
            "dense": median_ms(lambda question: index.search(question, mode="dense"), asked),
            "dense, LanceDB by hand": median_ms(by_hand_dense, asked),
            "dense, numpy in memory": median_ms(lambda question: np.argpartition(matrix @ vectors[question], -10)[-10:], asked),
            "bm25": median_ms(lambda question: index.search(question, mode="bm25"), asked),
            "bm25, LanceDB by hand": median_ms(by_hand_words, asked),
            "bm25, rank-bm25 scan": median_ms(lambda question: exact.get_scores(analyzer.tokens(question)), scan),
            "hybrid": median_ms(lambda question: index.search(question), asked),
            "hybrid, LanceDB by hand": median_ms(lambda question: (by_hand_dense(question), by_hand_words(question)), asked),
        }
        begun = time.perf_counter()
        index.search_many(asked)
        times["hybrid, search_many (each)"] = (time.perf_counter() - begun) * 1000 / len(asked)
        if find_spec("bm25s"):
            import bm25s

            peer = bm25s.BM25(k1=1.2, b=0.75)
            peer.index(tokens, show_progress=False)
            times["bm25, bm25s in memory"] = median_ms(
                lambda question: peer.retrieve([analyzer.tokens(question)], k=10, show_progress=False), asked
            )
        agree = 0
        for question in scan:
            scores = exact.get_scores(analyzer.tokens(question))
            found = index.search(question, mode="bm25", k=10)
            best = np.sort(scores)[::-1][: len(found)]
            agree += bool(np.allclose([hit.score for hit in found], best, atol=1e-9))
        index.close()
    rows = [
        [name, f"{taken:.2f}", f"{taken / times[name.split(',')[0] + ', LanceDB by hand']:.2f}"] for name, taken in times.items()
    ]
    print(markdown([f"{given.size} chunks", "ms", "to LanceDB by hand"], rows))
    print(f"\nBM25: the ten best are those of an exact scan for {agree} of {len(scan)} questions.")
    if given.json:
        given.json.write_text(json.dumps({"size": given.size, "ms": times, "agree": agree, "of": len(scan)}, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
