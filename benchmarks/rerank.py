"""Reranking 100 candidates: compressed chunks against a cross-encoder of MiniLM's shape that reads the text, in one process.

    OPENBLAS_NUM_THREADS=1 python benchmarks/rerank.py [--tokens 64 256 1024] [--rounds 3] [--threads 1] [--json FILE]

The cross-encoder is a BertForSequenceClassification with 6 layers of 384 and random weights, in float32: its time, not its quality, is
measured. Set numpy's threads (OPENBLAS_NUM_THREADS) to the same number as --threads. Beside it: codes in memory (scoring alone), codes from an index's table with the question read for them, and full
late interaction. Rounds are interleaved and medians taken, of processor time, because other programs run too; wall time stands beside it. Each chunk
of more than 256 tokens has a code a window. "indexing" is ``Index.add`` with codes over ``Index.add`` without, and over embedding alone.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ragkit import Document, Index
from ragkit.chunk import FixedChunker
from ragkit.embed import PairScorer, TransformerEmbedder
from ragkit.evaluate.report import markdown
from ragkit.rerank import CompressedReranker, LateInteractionReranker, TokenCompressor
from ragkit.rerank.passages import Passages
from ragkit.weights import find_model

CANDIDATES = 100
QUESTION = "which of these windows was closed when the river rose in the old town"


def text_of(tokens: int, seed: int) -> str:
    """Common English words, each of which is one token of the model."""
    words = [
        "river",
        "town",
        "window",
        "bridge",
        "rain",
        "night",
        "morning",
        "dog",
        "cat",
        "house",
        "water",
        "stone",
        "paper",
        "glass",
        "wood",
        "iron",
        "salt",
        "road",
        "field",
        "hill",
    ]
    return " ".join(np.random.default_rng(seed).choice(words, tokens))


def cross_encoder(folder: Path) -> PairScorer:
    """MiniLM's shape with one output, random weights, and room for 1,024 tokens and the question."""
    import torch
    from transformers import AutoConfig, AutoTokenizer, BertForSequenceClassification

    torch.manual_seed(0)
    model = find_model("all-MiniLM-L6-v2")
    config = AutoConfig.from_pretrained(str(model), num_labels=1)
    config.max_position_embeddings = 1100
    BertForSequenceClassification(config).save_pretrained(folder)
    AutoTokenizer.from_pretrained(str(model)).save_pretrained(folder)
    return PairScorer(str(folder), window=1100)


def clocked(run: Callable[[], object]) -> tuple[float, float]:
    """Milliseconds of processor and wall time."""
    cpu, wall = time.process_time(), time.perf_counter()
    run()
    return (time.process_time() - cpu) * 1000, (time.perf_counter() - wall) * 1000


def medians(runs: dict[str, Callable[[], object]], rounds: int) -> dict[str, tuple[float, float]]:
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in runs}
    for name, run in runs.items():
        if name != "cross-encoder":
            run()
    for _ in range(rounds):
        for name, run in runs.items():
            # What takes milliseconds is timed more often than what takes seconds.
            taken[name] += [clocked(run) for _ in range(1 if name in ("cross-encoder", "full late interaction") else 9)]
    return {name: (statistics.median(c for c, _ in both), statistics.median(w for _, w in both)) for name, both in taken.items()}


def one_length(tokens: int, embedder: TransformerEmbedder, scorer: PairScorer, rounds: int, folder: Path) -> list[dict[str, Any]]:
    compressor = TokenCompressor()
    # A model that reads 1,024 tokens would be another; long chunks are compressed in several windows of this one.
    texts = [text_of(tokens, seed) for seed in range(CANDIDATES)]
    index = Index(folder / f"db{tokens}", embedder=embedder, chunker=FixedChunker(250), compressor=compressor)
    index.add([Document(text, id=f"d{at}") for at, text in enumerate(texts)])
    chunks = [chunk for at in range(CANDIDATES) for chunk in index.chunks_of(f"d{at}")]
    reranker = CompressedReranker(compressor, depth=len(chunks))
    found = index.codes.passages(reranker, [chunk.id for chunk in chunks])
    # A passage's windows under one id, as a long chunk has them.
    rows = {f"d{at}": [found.rows[chunk.id][0] for chunk in chunks if chunk.doc_id == f"d{at}"] for at in range(CANDIDATES)}
    order = [row for some in rows.values() for row in some]
    ends = np.cumsum([len(some) for some in rows.values()]).tolist()
    whole = Passages(
        found.codes[order],
        found.counts[order],
        {name: (end - len(some), end) for (name, some), end in zip(rows.items(), ends, strict=True)},
    )
    (states,) = embedder.read_queries([QUESTION], layers=compressor.layers)
    query, ids = compressor.query(states), list(whole.rows)
    late = LateInteractionReranker(compressor, reader=embedder)

    def with_question_and_store() -> None:
        asked = compressor.query(embedder.read_queries([QUESTION], layers=compressor.layers)[0])
        stored = index.codes.passages(reranker, [chunk.id for chunk in chunks])
        reranker.score(asked, stored, list(stored.rows))

    runs: dict[str, Callable[[], object]] = {
        "cross-encoder": lambda: scorer.score(QUESTION, texts),
        "codes, scoring alone": lambda: reranker.score(query, whole, ids),
        "codes, question and store": with_question_and_store,
        "codes, store": lambda: index.codes.passages(reranker, [chunk.id for chunk in chunks]),
    }
    if tokens <= 256:
        runs["full late interaction"] = lambda: late.scores(QUESTION, texts)
    times = medians(runs, rounds)
    base = times["cross-encoder"]
    index.close()
    return [
        {
            "tokens": tokens,
            "what": name,
            "cpu_ms": cpu,
            "wall_ms": wall,
            "times_faster": base[0] / cpu,
            "times_faster_wall": base[1] / wall,
        }
        for name, (cpu, wall) in times.items()
    ]


def indexing(embedder: TransformerEmbedder, rounds: int, folder: Path) -> dict[str, float]:
    """What codes add to indexing, over chunks of 20 to 250 tokens."""
    documents = [Document(text_of(20 + 23 * (at % 11), 1000 + at), id=f"d{at}") for at in range(176)]
    chunker = FixedChunker(250)
    bound = chunker.bind(embedder.tokenizer)
    items = [(document, bound(document)) for document in documents]
    compressor = TokenCompressor()
    count = iter(range(1000))

    def add(with_codes: bool) -> None:
        path = folder / f"index{next(count)}"
        with Index(path, embedder=embedder, chunker=chunker, compressor=compressor if with_codes else None) as index:
            index.add([replace(document) for document in documents])

    runs: dict[str, Callable[[], object]] = {
        "embedding": lambda: embedder.embed_batch(items),
        "add": lambda: add(False),
        "add with codes": lambda: add(True),
    }
    times = medians(runs, rounds)
    ratios = [times["add with codes"][kind] / times["add"][kind] for kind in (0, 1)]
    over = (times["add with codes"][0] - times["add"][0]) / times["embedding"][0]
    return {"cpu_ratio": ratios[0], "wall_ratio": ratios[1], "codes_over_embedding": 1 + over}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tokens", type=int, nargs="+", default=[64, 256, 1024])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    import torch

    torch.set_num_threads(options.threads)
    embedder = TransformerEmbedder()
    embedder.embed_query("warm")
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        scorer = cross_encoder(folder / "cross")
        rows = [row for tokens in options.tokens for row in one_length(tokens, embedder, scorer, options.rounds, folder)]
        extra = indexing(embedder, options.rounds, folder)
    report = {"candidates": CANDIDATES, "threads": options.threads, "rows": rows, "indexing": extra}
    if options.json:
        options.json.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    table = [
        [str(row["tokens"]), row["what"], f"{row['cpu_ms']:,.2f}", f"{row['wall_ms']:,.2f}", f"{row['times_faster']:,.0f}"]
        for row in rows
    ]
    print(markdown(["tokens", "100 candidates", "cpu ms", "wall ms", "times faster (cpu)"], table))
    print(
        f"Indexing with codes takes {extra['cpu_ratio']:.2f} times the processor time ({extra['wall_ratio']:.2f} wall) of indexing without; "
        f"codes add {extra['codes_over_embedding'] - 1:.0%} to embedding."
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
