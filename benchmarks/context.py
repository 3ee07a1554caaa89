"""What context costs: late and situated chunks against plain ones, the same model, in the same process.

    python benchmarks/context.py [--rounds 5] [--json] [TEXT ...]

Texts are files; without any, those of installed packages' documentation. Prints the processor time of each method as a
multiple of embedding the same chunks plainly, median of interleaved rounds. "windows alone" is the floor of late chunking: the windows
it reads, embedded as plain texts of the same tokens, nothing aligned or pooled by span. Exit status 1 when late chunking without overlap
costs more than 1.1 times plain chunks and more than 1.03 times its floor.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

from ragkit import Document
from ragkit.chunk import Late, Pipeline, SentenceChunker, Situate
from ragkit.embed import TransformerEmbedder
from ragkit.embed.batching import plan_batches
from ragkit.embed.passes import read_long
from ragkit.embed.tokens import Job

ASKED = 1.1
ABOVE_FLOOR = 1.03


def windows_alone(embedder: TransformerEmbedder, documents: list[Document]) -> Callable[[], None]:
    """A pass over the windows of late chunking without overlap, pooled whole."""

    def run() -> None:
        passes = [
            ids
            for one in documents
            for ids in read_long(embedder.tokenizer, "", one.text, embedder.card.window, 0, lambda: "a document").ids
        ]
        jobs, encoder = [Job(ids, [(row, None)]) for row, ids in enumerate(passes)], embedder._encoder()
        pools = encoder.pools(len(jobs))
        for batch in plan_batches(np.array([len(job.ids) for job in jobs]), budget=1024):
            encoder.encode([jobs[place] for place in batch], pools)
        encoder.finish(pools)

    return run


def own_texts(characters: int = 60_000) -> list[Document]:
    """Documentation that every installation has: long prose in the installed packages' own files."""
    import sysconfig

    found: list[Document] = []
    total = 0
    for path in sorted(Path(sysconfig.get_path("stdlib")).glob("*.py")):
        text = path.read_text(encoding="utf-8", errors="replace")
        if 20_000 < len(text) < 60_000:
            found.append(Document(text, id=path.name))
            total += len(text)
        if total >= characters:
            break
    return found


def main() -> int:
    """Run the rounds and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("texts", nargs="*", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--size", type=int, default=128, help="tokens per chunk")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--only", nargs="+", metavar="METHOD", help="some of the methods by name; plain is always among them")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    documents = [Document(path.read_text(encoding="utf-8"), id=str(path)) for path in options.texts] or own_texts()
    embedder = TransformerEmbedder(dtype=options.dtype)
    base = SentenceChunker(options.size, tokenizer=embedder.tokenizer)
    methods: dict[str, SentenceChunker | Pipeline] = {
        "plain": base,
        "late, no overlap": base | Late(overlap=0),
        "late, overlap 64": base | Late(overlap=64),
        "late, overlap 128": base | Late(overlap=128),
        "blend, no overlap": base | Late(blend=0.5, overlap=0),
        "situated, title": base | Situate(before=0, blend=1.0, max_tokens=16),
        "situated blend": SentenceChunker(options.size + 64, tokenizer=embedder.tokenizer) | Situate(),
    }
    items = {name: [(document, chunker(document)) for document in documents] for name, chunker in methods.items()}
    runs: dict[str, Callable[[], object]] = {name: partial(embedder.embed_batch, batch) for name, batch in items.items()}
    runs["windows alone"] = windows_alone(embedder, documents)
    if options.only:
        runs = {name: runs[name] for name in ("plain", *options.only)}
    embedder.embed_query("warm up")
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(options.rounds):
        for name, run in runs.items():
            begun = time.process_time()
            run()
            seconds[name].append(time.process_time() - begun)
    plain = statistics.median(seconds["plain"])
    ratios = {
        name: statistics.median(t / p for t, p in zip(times, seconds["plain"], strict=True)) for name, times in seconds.items()
    }
    chunks = sum(len(found) for _, found in items["plain"])
    tokens = sum(chunk.n_tokens for _, found in items["plain"] for chunk in found)
    if options.json:
        print(json.dumps({"chunks": chunks, "tokens": tokens, "plain_seconds": plain, "times_plain": ratios, "asked": ASKED}))
    else:
        print(
            f"{len(documents)} documents, {chunks} chunks of at most {options.size} tokens, {tokens:,} tokens; {options.rounds} rounds"
        )
        for name, ratio in ratios.items():
            print(f"  {name:20} {ratio:5.2f} x plain   {tokens / statistics.median(seconds[name]):8,.0f} tokens/s")
        print(f"asked: late without overlap at most {ASKED} x plain, or {ABOVE_FLOOR} x the windows alone")
    late, floor = ratios.get("late, no overlap", 0.0), ratios.get("windows alone", 0.0)
    return 0 if late <= max(ASKED, ABOVE_FLOOR * floor) else 1


if __name__ == "__main__":
    sys.exit(main())
