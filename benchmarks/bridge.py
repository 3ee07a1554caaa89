"""Bridges between models: what share of a search's best ten a bridged question finds.

    python benchmarks/bridge.py --data COLLECTIONS [--collection squad_articles] [--vectors FILE] [--texts 500,2000] [--json]

There is one real model on PyPI, so the others are variants of it: fewer layers, fewer dimensions, another temperature, bfloat16. Each is asked over a bridge against
the plain model's vectors, and the plain model against the variant's. FILE keeps the vectors for the next run.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ragkit.chunk import RecursiveChunker
from ragkit.embed import CachedEmbedder, TransformerEmbedder
from ragkit.evaluate import load_collection
from ragkit.seams import Embedder
from ragkit.vec.bridge import fit_bridge

VARIANTS: dict[str, dict[str, Any]] = {
    "layers=3": {"layers": 3},
    "layers=5": {"layers": 5},
    "dims=192": {"dims": 192},
    "temperature=0.7": {"temperature": 0.7},
    "bfloat16": {"dtype": "bfloat16"},
}
WAYS: dict[str, dict[str, Any]] = {
    "procrustes": {"method": "procrustes"},
    "affine": {"method": "affine"},
    "affine rank 128": {"method": "affine", "rank": 128},
}


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="a folder with one folder per collection")
    parser.add_argument("--collection", default="squad_articles")
    parser.add_argument("--variants", default="layers=3,layers=5,dims=192,temperature=0.7", help="of " + ", ".join(VARIANTS))
    parser.add_argument("--texts", default="560", help="how many chunks to fit on, separated by commas")
    parser.add_argument("--questions", type=int, default=300)
    parser.add_argument("--max-tokens", type=int, default=256)
    parser.add_argument("--vectors", type=Path, help="a file that keeps the vectors")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    collection = load_collection(options.data / options.collection)
    documents, _ = collection.units(collection.unit)
    plain = TransformerEmbedder()
    chunker = RecursiveChunker(options.max_tokens).bind(plain.tokenizer, window=plain.card.window)
    chunks = [chunk.text for document in documents if document.text.strip() for chunk in chunker(document)]
    questions = [query.text for query in collection.queries][: options.questions]

    def kept(embedder: Embedder) -> Embedder:
        return embedder if options.vectors is None else CachedEmbedder(embedder, path=options.vectors)

    base = kept(plain)
    table = []
    for name in options.variants.split(","):
        variant = kept(TransformerEmbedder(**VARIANTS[name]))
        for direction, old, new in ((f"{name} asks plain", base, variant), (f"plain asks {name}", variant, base)):
            for count in map(int, options.texts.split(",")):
                for way, settings in WAYS.items():
                    bridge = fit_bridge(old, new, chunks[:count], questions=questions, force=True, **settings)
                    row = {"direction": direction, "way": way} | asdict(bridge.report)
                    table.append(row)
                    if not options.json:
                        cells = " | ".join(f"{row[key]:.3f}" for key in ("overlap", "models", "kept", "cosine"))
                        print(f"| {direction} | {way} | {row['texts']} | {cells} |", flush=True)
    if options.json:
        print(json.dumps(table))
    return 0


if __name__ == "__main__":
    sys.exit(main())
