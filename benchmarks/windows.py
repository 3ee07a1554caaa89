"""Which way of reading long texts finds a passkey, or a needle: accuracy of the first hit by length.

    python benchmarks/windows.py [--model NAME] [--lengths 256 1024 4096] [--tasks passkeys needles] [--documents 20] [--json FILE]

The collections are made by rule (ragkit.evaluate.passkeys and needles); every document is asked about. "cut" drops what does not
fit, as most libraries do in silence; "chunks" takes the best chunk of a text, as an index does; the others give a text one vector.
Methods that the model cannot are left out and named. Chance is 1 / documents.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

from ragkit import Document
from ragkit.chunk import FixedChunker, RecursiveChunker
from ragkit.embed import Extend, TransformerEmbedder
from ragkit.embed.reach import METHODS
from ragkit.errors import CapabilityError
from ragkit.evaluate import Collection, estimate, first_hits, first_hits_by_parts, needles, passkeys
from ragkit.evaluate.report import markdown

TASKS: dict[str, Callable[..., Collection]] = {"passkeys": passkeys, "needles": needles}
LENGTHS = (256, 512, 1024, 2048, 4096, 8192)
CHUNK = 128


def cut(embedder: TransformerEmbedder) -> Callable[[Document], list[str]]:
    chunker = FixedChunker(max_tokens=embedder.card.window, tokenizer=embedder.tokenizer)
    return lambda document: [chunker(document)[0].text]


def chunks(embedder: TransformerEmbedder) -> Callable[[Document], list[str]]:
    chunker = RecursiveChunker(max_tokens=CHUNK, tokenizer=embedder.tokenizer)
    return lambda document: [chunk.text for chunk in chunker(document)]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="all-MiniLM-L6-v2")
    parser.add_argument("--lengths", type=int, nargs="+", default=LENGTHS, metavar="TOKENS")
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=list(TASKS))
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--base", type=int, help="tokens the model reads as it was trained (default: its window)")
    parser.add_argument("--temperature", type=float)
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--documents", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, help="write all figures here, as JSON")
    given = parser.parse_args()

    plain = TransformerEmbedder(given.model, dtype=given.dtype, window=given.base, temperature=given.temperature)
    base = plain.card.window
    rows: dict[tuple[str, str], dict[int, float]] = {}
    refused: set[str] = set()
    for length in given.lengths:
        ways: dict[str, TransformerEmbedder] = {}
        for method in given.methods if length > base else ():
            extend = Extend(method, base=base)
            embedder = TransformerEmbedder(
                given.model, dtype=given.dtype, window=length, extend=extend, temperature=given.temperature
            )
            try:
                _ = embedder.card
                ways[method] = embedder
            except CapabilityError:
                refused.add(method)
        for task in given.tasks:
            collection = TASKS[task](
                tokens=length, tokenizer=plain.tokenizer, queries=given.documents, documents=given.documents, seed=given.seed
            )
            begun = time.perf_counter()
            found = {
                f"cut at {base}": first_hits_by_parts(plain, collection, parts=cut(plain)),
                f"chunks of {CHUNK}": first_hits_by_parts(plain, collection, parts=chunks(plain)),
            }
            if length <= base:
                found |= dict.fromkeys(given.methods, found[f"cut at {base}"])
            for method, embedder in ways.items():
                found[method] = first_hits(embedder, collection)
            for name, hits in found.items():
                rows.setdefault((task, name), {})[length] = estimate(list(hits.values())).mean
            print(f"{collection.name}: {time.perf_counter() - begun:.0f} s", file=sys.stderr, flush=True)
    kept = {key: values for key, values in rows.items() if key[1] not in refused}
    table = [
        [task, name, *(f"{values[n]:.2f}" if n in values else "" for n in given.lengths)] for (task, name), values in kept.items()
    ]
    print(markdown(["task", "reading", *map(str, given.lengths)], sorted(table, key=lambda row: given.tasks.index(row[0]))))
    if refused:
        print(f"\nNot for this model: {', '.join(sorted(refused))}.")
    if given.json:
        given.json.write_text(json.dumps([[*key, values] for key, values in kept.items()], indent=1), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
