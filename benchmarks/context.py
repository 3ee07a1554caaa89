"""What context costs: late and situated chunks against plain ones, the same model, in the same process.

    python benchmarks/context.py [--rounds 5] [--json] [TEXT ...]

Texts are files; without any, those of installed packages' documentation. Prints the time of each method as a multiple
of embedding the same chunks plainly, median of interleaved rounds, and how far late chunking is from reading the
tokens once. Exit status 1 when late chunking without overlap costs more than 1.1 times plain chunks.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from pathlib import Path

from ragkit import Document
from ragkit.chunk import Late, Pipeline, SentenceChunker, Situate
from ragkit.embed import TransformerEmbedder

ASKED = 1.1


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
    embedder.embed_query("warm up")
    seconds: dict[str, list[float]] = {name: [] for name in methods}
    for _ in range(options.rounds):
        for name, batch in items.items():
            begun = time.perf_counter()
            embedder.embed_batch(batch)
            seconds[name].append(time.perf_counter() - begun)
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
        print(f"asked: late without overlap at most {ASKED} x plain")
    return 0 if ratios["late, no overlap"] <= ASKED else 1


if __name__ == "__main__":
    sys.exit(main())
