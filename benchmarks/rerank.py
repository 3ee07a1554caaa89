"""Reranking 100 candidates: compressed chunks against a cross-encoder of MiniLM's shape that reads the text, in one process.

    OPENBLAS_NUM_THREADS=1 python benchmarks/rerank.py [--tokens 64 128 256 512 1024] [--rounds 3] [--threads 1] [--json FILE]
        [--data COLLECTION ... --questions 500 --png FILE --html FILE] [--sizes-only]

The cross-encoder is a BertForSequenceClassification with 6 layers of 384 and random weights, in float32: its time, not its quality, is
measured, on some of the candidates, and scaled up to all, for it reads each alone. Beside it: codes in memory (scoring alone; with blending and placing), the question
read into token states, codes from a table of an index, all three together, and full late interaction, which reads the text too. Every code has random bits and
as many windows and vectors as the text's own. Rounds are interleaved, over lengths as well, and medians taken of processor time,
because other programs run too; wall time stands beside it. Set numpy's threads (OPENBLAS_NUM_THREADS) to the same number as --threads.

"indexing" is embedding with codes over embedding alone, and ``Index.add`` with codes over ``Index.add`` without. With --data, folders of labelled collections, each is
searched and reranked by codes of several sizes; --png and --html draw their quality against their bytes, with --sizes-only without the times.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from rerank_sizes import HEADER, draw, measure, page
from rerank_sizes import rows as size_rows

from ragkit import Chunk, Document, Hit, Index
from ragkit.chunk import FixedChunker
from ragkit.embed import PairScorer, TransformerEmbedder
from ragkit.evaluate.report import markdown
from ragkit.rerank import CompressedReranker, LateInteractionReranker, TokenCompressor
from ragkit.rerank.passages import compress
from ragkit.store.codes import CodeRows, CodeTable
from ragkit.types import Part, Span
from ragkit.weights import find_model

CANDIDATES = 100
STORED = 1000  # chunks of each length in the table of codes
READ = 3200  # tokens that the slow ones read in a round
QUESTION = "which of these windows was closed when the river rose in the old town"
WORDS = [
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
CROSS, LATE = "cross-encoder", "full late interaction"
SCORING, RANKING, STORE, ASKING, ALL = "scoring alone", "scoring, blending, placing", "store", "question", "question, store, all"
Runs = Mapping[Any, Callable[[], object]]


def text_of(tokens: int, seed: int) -> str:
    """Common English words, each of which is one token of the model; with its two special tokens ``tokens`` in all."""
    return " ".join(np.random.default_rng(seed).choice(WORDS, tokens - 2))


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


def medians(runs: Runs, rounds: int, *, often: int = 1) -> dict[Any, tuple[float, float]]:
    """Of each run, in turns; one that takes less than a fifth of a second ``often`` times a round."""
    taken: dict[Any, list[tuple[float, float]]] = {name: [] for name in runs}
    first = {name: clocked(run) for name, run in runs.items()}
    for _ in range(rounds):
        for name, run in runs.items():
            taken[name] += [clocked(run) for _ in range(often if first[name][1] < 200 else 1)]
    return {name: (statistics.median(c for c, _ in both), statistics.median(w for _, w in both)) for name, both in taken.items()}


def store_codes(table: CodeTable, compressor: TokenCompressor, embedder: TransformerEmbedder, tokens: int) -> list[str]:
    """The ids of so many made-up chunks of this length, and random codes for them of the shape that such a text has."""
    (read,) = embedder.read_texts([text_of(tokens, 0)], layers=compressor.layers)
    counts = np.array([len(code) for code in compress(compressor, read)], np.int32)
    ids, windows = [f"{tokens}-{at}" for at in range(STORED)], len(counts)
    rows = CodeRows(
        chunk_ids=[one for one in ids for _ in range(windows)],
        window=np.tile(np.arange(windows, dtype=np.int32), STORED),
        windows=np.full(windows * STORED, windows, np.int32),
        counts=np.tile(counts, STORED),
        codes=np.random.default_rng(tokens).integers(0, 256, (windows * STORED, table.width), dtype=np.uint8),
    )
    table.put(rows, ["made up"] * len(rows.chunk_ids))
    return ids


def hit(name: str, rank: int) -> Hit:
    """A candidate as the first stage gives it."""
    chunk = Chunk(id=name, doc_id=name, start=0, end=1, text="-", window=Span(0, 1), index=0, n_tokens=1)
    parts = {arm: Part(score=1 / rank, rank=rank, share=1 / rank) for arm in ("dense", "bm25")}
    return Hit(chunk=chunk, score=2 / rank, rank=rank, parts=parts)


def runs_of(tokens: int, index: Index, ids: list[str], scorer: PairScorer) -> dict[str, Callable[[], object]]:
    embedder, reranker = index.embedder, CompressedReranker(TokenCompressor())
    compressor = reranker.compressor
    assert isinstance(embedder, TransformerEmbedder)
    wanted = [str(one) for one in np.random.default_rng(1).choice(ids, CANDIDATES, replace=False)]
    found, hits = index.codes.passages(reranker, wanted), [hit(one, rank) for rank, one in enumerate(wanted, 1)]
    assert len(found.rows) == CANDIDATES
    texts = [text_of(tokens, seed) for seed in range(max(2, min(CANDIDATES, READ // tokens)))]
    late = LateInteractionReranker(compressor, reader=embedder)

    def question() -> Any:
        return compressor.query(embedder.embed_and_read_queries([QUESTION], layers=compressor.layers)[1][0])

    asked = question()
    return {
        CROSS: lambda: scorer.score(QUESTION, texts),
        LATE: lambda: late.scores(QUESTION, texts),
        SCORING: lambda: reranker.score(asked, found, wanted),
        RANKING: lambda: reranker.rank(asked, hits, found),
        STORE: lambda: index.codes.passages(reranker, wanted),
        ASKING: question,
        ALL: lambda: reranker.rank(question(), hits, index.codes.passages(reranker, wanted)),
    }


def speed(lengths: list[int], embedder: TransformerEmbedder, rounds: int, folder: Path) -> list[dict[str, Any]]:
    scorer, compressor = cross_encoder(folder / "cross"), TokenCompressor()
    with Index(folder / "db", embedder=embedder, compressor=compressor) as index:
        index.add(Document(text_of(64, 0)))
        table = CodeTable.open(index.path, compressor.card.fingerprint[:12])
        assert table is not None
        stored = {tokens: store_codes(table, compressor, embedder, tokens) for tokens in lengths}
        index.codes.optimize(left_over=False)
        runs = {(tokens, name): run for tokens in lengths for name, run in runs_of(tokens, index, stored[tokens], scorer).items()}
        times = medians(runs, rounds, often=7)
    rows = []
    for (tokens, name), both in times.items():
        scale = CANDIDATES / max(2, min(CANDIDATES, READ // tokens)) if name in (CROSS, LATE) else 1.0
        rows.append({"tokens": tokens, "what": name, "cpu_ms": scale * both[0], "wall_ms": scale * both[1]})
    base = {row["tokens"]: row for row in rows if row["what"] == CROSS}
    for row in rows:
        for kind in ("cpu", "wall"):
            row[f"times_faster_{kind}"] = base[row["tokens"]][f"{kind}_ms"] / row[f"{kind}_ms"]
    return rows


def indexing(embedder: TransformerEmbedder, rounds: int, folder: Path) -> dict[str, float]:
    """What codes add to embedding and to adding, over chunks of 20 to 250 tokens."""
    documents = [Document(text_of(20 + 23 * (at % 11), 1000 + at), id=f"d{at}") for at in range(88)]
    chunker = FixedChunker(250)
    bound = chunker.bind(embedder.tokenizer)
    items = [(document, bound(document)) for document in documents]
    compressor = TokenCompressor()
    count = iter(range(1000))

    def add(with_codes: bool) -> None:
        path = folder / f"index{next(count)}"
        with Index(path, embedder=embedder, chunker=chunker, compressor=compressor if with_codes else None) as index:
            index.add([replace(document) for document in documents])

    def embed_with_codes() -> None:
        embedder.embed_and_read(items, layers=compressor.layers, receive=lambda _, __, states: compress(compressor, [states]))

    times = medians(
        {
            "embedding": lambda: embedder.embed_batch(items),
            "embedding with codes": embed_with_codes,
            "add": lambda: add(False),
            "add with codes": lambda: add(True),
        },
        rounds,
    )
    return {
        f"{name}_{kind}": times[f"{name} with codes"][at] / times[name][at]
        for name in ("embedding", "add")
        for at, kind in enumerate(("cpu", "wall"))
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tokens", type=int, nargs="+", default=[64, 128, 256, 512, 1024])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--dtype", default="float32", help="of the embedder; the cross-encoder stays float32")
    parser.add_argument("--data", type=Path, nargs="+", default=[], help="folders of labelled collections, for quality")
    parser.add_argument("--questions", type=int, default=500, help="at most so many of a collection, by lot")
    parser.add_argument("--sizes-only", action="store_true", help="measure no times")
    parser.add_argument("--png", type=Path)
    parser.add_argument("--html", type=Path)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    if (options.png or options.html) and not options.data:
        parser.error("--png and --html show quality against bytes; give --data, a labelled collection")
    import torch

    torch.set_num_threads(options.threads)
    begun = time.perf_counter()
    embedder = TransformerEmbedder(dtype=options.dtype)
    measured = {folder.name: measure(folder, embedder, questions=options.questions) for folder in options.data}
    rows: list[dict[str, Any]] = []
    extra: dict[str, float] = {}
    if not options.sizes_only:
        with tempfile.TemporaryDirectory() as place:
            rows = speed(options.tokens, embedder, options.rounds, Path(place))
            extra = indexing(embedder, options.rounds, Path(place))
    table = [
        [str(row["tokens"]), row["what"], f"{row['cpu_ms']:,.2f}", f"{row['wall_ms']:,.2f}", f"{row['times_faster_cpu']:,.0f}"]
        for row in rows
    ]
    if rows:
        print(markdown(["tokens", "100 candidates", "cpu ms", "wall ms", "times faster (cpu)"], table))
        print(
            f"Codes: embedding takes {extra['embedding_cpu']:.2f} times the processor time ({extra['embedding_wall']:.2f} wall), "
            f"Index.add {extra['add_cpu']:.2f} ({extra['add_wall']:.2f} wall)."
        )
    if measured:
        print(markdown([*HEADER, *measured], size_rows(measured)))
        if options.png:
            options.png.write_bytes(draw(measured, "png"))
        if options.html:
            options.html.write_text(page(measured, table), encoding="utf-8")
    if options.json:
        report = {"candidates": CANDIDATES, "threads": options.threads, "dtype": options.dtype, "rows": rows, "indexing": extra}
        report |= {"sizes": {name: [one._asdict() for one in sizes] for name, sizes in measured.items()}}
        options.json.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    print(f"{time.perf_counter() - begun:.0f} s in all.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
