"""Late chunking, side by side with chunks that are read alone.

    python examples/late_chunking.py

The same cuts three times: read alone, half of each vector from the whole document, and all of it. What "it" is, only the
document says; what is better for your documents, ``ragkit study chunks`` measures.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from ragkit import Document, Index
from ragkit.chunk import Late, SentenceChunker
from ragkit.embed import CachedEmbedder, TransformerEmbedder

CITIES = [
    Document(
        "Berlin is the capital of Germany. Its population is about 3.9 million. The city lies on the river Spree.",
        id="berlin",
    ),
    Document(
        "Madrid is the capital of Spain. Its population is about 3.3 million. The city lies on the river Manzanares.",
        id="madrid",
    ),
]


def main() -> None:
    sentences = SentenceChunker(packing="one")
    recipes = {"alone": sentences, "half late": sentences | Late(blend=0.5), "late": sentences | Late()}
    question = "How many people live in Madrid?"
    print(question)
    with tempfile.TemporaryDirectory() as folder:
        # The cache keeps both readings, so that another blend of them costs nothing.
        embedder = CachedEmbedder(TransformerEmbedder(), path=Path(folder) / "vectors.db")
        for name, chunker in recipes.items():
            index = Index(Path(folder) / name, chunker=chunker, embedder=embedder)
            index.add(CITIES)
            print(f"\n{name}:")
            for hit in index.search(question, k=2, mode="dense"):
                print(f"  {hit.score:.3f}  [{hit.source}] {hit.chunk.text.strip()}")


if __name__ == "__main__":
    main()
