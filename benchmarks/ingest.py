"""What storing costs: ragkit's commits beside a plain ``table.add`` of the same rows, and adding again what is unchanged.

    python benchmarks/ingest.py [--documents 2000] [--rounds 3] [--json]

Both sides start from the same rows in memory: the plain side is their conversion to Arrow and ``table.add``, ragkit's is
``ChunkStore.put``. Ratios are taken within each round, so that a busy machine slows both; the median is printed. No model
is involved: vectors are random, and the index uses the hashing embedder of ``ragkit.testing``.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import lancedb
import numpy as np

from ragkit import Document, Index
from ragkit.store import ChunkStore, DocumentRows, Header
from ragkit.store.rows import to_arrow
from ragkit.store.schema import make_schema
from ragkit.testing.embedders import HashEmbedder
from ragkit.types import Chunk, ModelCard, Span, digest

DIM = 384
CHUNKS = 10
COMMIT = 4096


def rows(number: int, rng: np.random.Generator, words: list[str]) -> DocumentRows:
    """A document of ten chunks of sixty words with random vectors."""
    doc_id = f"document {number}"
    chunks, lex = [], []
    for index in range(CHUNKS):
        tokens = [words[place] for place in rng.integers(0, len(words), 60)]
        text = " ".join(tokens)
        place = index * len(text)
        chunks.append(
            Chunk(
                id=digest(doc_id, str(index), text),
                doc_id=doc_id,
                start=place,
                end=place + len(text),
                text=text,
                window=Span(place, place + len(text)),
                index=index,
                n_tokens=60,
                metadata={"source": f"{doc_id}.txt", "number": number},
            )
        )
        lex.append(tokens)
    return DocumentRows(
        doc_id=doc_id,
        digest=digest(doc_id),
        recipe="benchmark",
        chunks=chunks,
        lines=[(1, 1)] * CHUNKS,
        lex=lex,
        keys=[digest("key", chunk.id) for chunk in chunks],
        vectors=rng.normal(size=(CHUNKS, DIM)).astype(np.float32),
    )


def seconds(act: Callable[[], object]) -> tuple[float, float]:
    """Wall-clock time and processor time (all threads) of one call."""
    begun, used = time.perf_counter(), time.process_time()
    act()
    return time.perf_counter() - begun, time.process_time() - used


def one_round(folder: Path, documents: list[DocumentRows], texts: list[Document]) -> dict[str, tuple[float, float]]:
    """Every measurement once: wall-clock and processor seconds."""
    header = Header(card=ModelCard(name="random", dim=DIM, pooling="none", window=512), analyzer="{}", chunker="{}", ragkit="0")
    schema = make_schema(header)
    per_commit = COMMIT // CHUNKS
    batches = [documents[at : at + per_commit] for at in range(0, len(documents), per_commit)]
    tables = [to_arrow(batch, schema, 0) for batch in batches]
    plain = lancedb.connect(folder / "plain").create_table("chunks", schema=schema)
    store = ChunkStore.open(folder / "store", create=header)
    index = Index(folder / "index", embedder=HashEmbedder())
    return {
        "plain_add": seconds(lambda: [plain.add(table) for table in tables]),
        "to_arrow": seconds(lambda: [to_arrow(batch, schema, 0) for batch in batches]),
        "put": seconds(lambda: [store.put(batch) for batch in batches]),
        "put_again": seconds(lambda: [store.put(batch) for batch in batches]),
        "optimize": seconds(store.optimize),
        "index_add": seconds(lambda: index.add(texts)),
        "index_unchanged": seconds(lambda: index.add(texts)),
    }


def main() -> None:
    """Run the rounds and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--documents", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    generator = random.Random(0)
    words = ["".join(generator.choices("abcdefghijklmnop", k=generator.randint(3, 9))) for _ in range(20_000)]
    rng = np.random.default_rng(0)
    documents = [rows(number, rng, words) for number in range(given.documents)]
    texts = [Document(document.chunks[0].text, id=document.doc_id) for document in documents]
    found = []
    for _ in range(given.rounds):
        with tempfile.TemporaryDirectory() as folder:
            found.append(one_round(Path(folder), documents, texts))
    chunks = given.documents * CHUNKS

    def median(formula: Callable[[dict[str, float]], float], *, clock: int = 0) -> float:
        return statistics.median(formula({name: times[clock] for name, times in one.items()}) for one in found)

    def put_speed(one: dict[str, float]) -> float:
        return (one["plain_add"] + one["to_arrow"]) / one["put"]

    result = {
        "chunks": chunks,
        "plain_add_chunks_per_second": median(lambda one: chunks / one["plain_add"]),
        "put_chunks_per_second": median(lambda one: chunks / one["put"]),
        "put_speed_over_plain_add": median(put_speed),
        "put_speed_over_plain_add_cpu": median(put_speed, clock=1),
        "commit_alone_over_plain_add_cpu": median(lambda one: one["plain_add"] / (one["put"] - one["to_arrow"]), clock=1),
        "replace_time_over_first_time": median(lambda one: one["put_again"] / one["put"]),
        "optimize_seconds": median(lambda one: one["optimize"]),
        "index_add_documents_per_second": median(lambda one: given.documents / one["index_add"]),
        "unchanged_time_over_first_time": median(lambda one: one["index_unchanged"] / one["index_add"]),
    }
    if given.json:
        print(json.dumps(result))
        return
    for name, value in result.items():
        print(f"{name.replace('_', ' '):36} {value:12,.3f}")


if __name__ == "__main__":
    main()
