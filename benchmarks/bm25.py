"""BM25: is it what rank-bm25 says, and what does it cost? ragkit beside rank-bm25 and bm25s in one process, on one analyzer's tokens.

    python benchmarks/bm25.py [--sizes 10000 100000] [--questions 100] [--common] [--json FILE]

Questions are six words by chance, with ``--common`` those of every chunk too. rank-bm25's time is that of ``get_scores`` and of finding the ten
best. "LanceDB alone" is the least that an answer costs here: its full-text index asked for the ten best rows and nothing scored anew. "Agree" is the share of questions whose ten best scores are those of a scan by rank-bm25 (equal scores are equal
answers); "statistics" is the time of the first search after another process stored 100 chunks, against counting all chunks anew. bm25s is left out where it is not installed.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from rank_bm25 import BM25Okapi
from search import by_hand
from search_corpus import Corpus, ask, blocks, make, stored

from ragkit.evaluate.report import markdown
from ragkit.store import ChunkStore, Tuning

K = 10


def timed(run: Callable[[], Any]) -> tuple[Any, float]:
    begun = time.process_time()
    found = run()
    return found, (time.process_time() - begun) * 1000


def ranked(exact: BM25Okapi, tokens: list[str]) -> tuple[np.ndarray, np.ndarray]:
    scores = exact.get_scores(tokens)
    top = np.argpartition(scores, -K)[-K:]
    return scores, top[np.argsort(-scores[top], kind="stable")]


def one_size(size: int, count: int, common: bool) -> dict[str, Any]:
    whole = make(size + 100)
    corpus = Corpus(whole.texts[:size], whole.tokens[:size], whole.vectors[:size])
    questions = ask(corpus, count, common=common)
    exact = BM25Okapi(corpus.tokens, k1=1.2, b=0.75)
    peer = None
    if find_spec("bm25s"):
        import bm25s

        peer = bm25s.BM25(k1=1.2, b=0.75)
        peer.index(corpus.tokens, show_progress=False)
    times: dict[str, list[float]] = {}
    agree = 0
    with tempfile.TemporaryDirectory() as folder:
        index = stored(corpus, questions, Path(folder) / "db")
        index.search(questions.texts[0], mode="bm25", k=K)
        alone = by_hand(index, questions, Tuning(index=None, rows=size))["bm25, LanceDB by hand"]
        alone(0)
        for n, (text, tokens) in enumerate(zip(questions.texts, questions.tokens, strict=True)):
            times.setdefault("LanceDB alone", []).append(timed(lambda n=n: alone(n))[1])
            hits, took = timed(lambda text=text: index.search(text, mode="bm25", k=K))
            times.setdefault("ragkit", []).append(took)
            (scores, top), took = timed(lambda tokens=tokens: ranked(exact, tokens))
            times.setdefault("rank-bm25", []).append(took)
            best = scores[top][: len(hits)]
            agree += len(hits) == min(K, int((scores > 0).sum())) and np.allclose([hit.score for hit in hits], best, atol=1e-9)
            if peer is not None:
                _, took = timed(lambda tokens=tokens: peer.retrieve([tokens], k=K, show_progress=False))
                times.setdefault("bm25s", []).append(took)
        other = ChunkStore.open(index.path)
        other.put(next(blocks(whole, first=size)))
        followed = timed(lambda: index.search(questions.texts[0], mode="bm25", k=K))[1]
        anew = timed(lambda: other.term_stats())[1]
        other.close()
        index.close()
    median = {name: statistics.median(values) for name, values in times.items()}
    return {"size": size, "cpu_ms": median, "agree": agree / count, "after_a_commit_ms": followed, "counted_anew_ms": anew}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[10_000, 100_000], help="chunks")
    parser.add_argument("--questions", type=int, default=100)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--common", action="store_true")
    given = parser.parse_args()
    results = [one_size(size, given.questions, given.common) for size in given.sizes]
    names = list(results[0]["cpu_ms"])
    rows = [
        [
            f"{one['size']:,}",
            *(f"{one['cpu_ms'][name]:.2f}" for name in names),
            f"1/{one['cpu_ms']['rank-bm25'] / one['cpu_ms']['ragkit']:.0f}",
            f"{one['agree']:.3f}",
            f"{one['after_a_commit_ms']:.0f} / {one['counted_anew_ms']:.0f}",
        ]
        for one in results
    ]
    header = ["chunks", *(f"{name}, processor ms" for name in names), "of rank-bm25's time", "agree", "statistics, ms / anew"]
    print(markdown(header, rows))
    if given.json:
        given.json.write_text(json.dumps(results, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
