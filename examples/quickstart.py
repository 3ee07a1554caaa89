"""From a folder of documents to cited hits.

    python examples/quickstart.py FOLDER "your question"

The database is made beside you as ./quickstart.lance; a second run finds everything unchanged.
"""

from __future__ import annotations

import sys

from ragkit import Index
from ragkit.chunk import AutoChunker
from ragkit.embed import TransformerEmbedder
from ragkit.load import load_folder


def main(folder: str, question: str, database: str = "quickstart.lance") -> None:
    index = Index(database, chunker=AutoChunker(max_tokens=200), embedder=TransformerEmbedder())

    documents = load_folder(folder, on_error="collect")
    report = index.add(documents, progress=True)
    print(f"{report.added} added, {report.replaced} replaced, {report.unchanged} unchanged, {len(documents.skipped)} left out")

    for hit in index.search(question, k=3):
        print(f"\n{hit.rank}. {hit.citation}  (score {hit.score:.3f})")
        for arm, part in hit.parts.items():
            place = "not among its candidates" if part.rank is None else f"rank {part.rank}"
            print(f"   {arm}: {place}, score {part.score:.3f}, share {part.share:.3f}")
        print("   " + " ".join(hit.chunk.text.split())[:160])


if __name__ == "__main__":
    if len(sys.argv) not in (3, 4):
        sys.exit(__doc__)
    main(*sys.argv[1:])
