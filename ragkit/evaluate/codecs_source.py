"""Where the vectors of a study of codecs come from: a database, or a collection that is embedded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ragkit.errors import InvalidInputError
from ragkit.evaluate.codecs import CodecReport, codec_report
from ragkit.evaluate.collections import load_collection
from ragkit.seams import Vectors


@dataclass(frozen=True, slots=True, kw_only=True)
class CodecSource:
    """Vectors ``(n, dim)`` and what is known of them: questions' vectors, judgements, the unit of each row."""

    name: str
    model: str
    vectors: Vectors = field(repr=False)
    queries: Vectors | None = field(default=None, repr=False)
    judgements: Sequence[Mapping[str, int]] | None = None
    units: Sequence[str] | None = None
    notes: tuple[str, ...] = ()

    def report(self, *, codecs: Sequence[str], k: int = 10, seed: int = 0) -> CodecReport:
        """``codec_report`` of this source."""
        return codec_report(
            self.vectors,
            self.queries,
            codecs=codecs,
            judgements=self.judgements,
            units=self.units,
            k=k,
            seed=seed,
            source=self.name,
            model=self.model,
        )


def database_vectors(path: Path, *, questions: Sequence[str] | None = None, limit: int = 50_000, seed: int = 0) -> CodecSource:
    """The stored vectors of a database, at most ``limit`` by chance; ``questions`` are embedded with its model.

    Raises StoreError where there is no database, InvalidInputError for an empty one.
    """
    from ragkit.index import Index
    from ragkit.store import ChunkStore
    from ragkit.store.coded import read_vectors

    with Index(path, create=False) as index:
        card = index.card
        queries = None if questions is None else index.embedder.embed_queries(list(questions))
    store = ChunkStore.open(path)
    try:
        count = store.stats().chunks
        if not count:
            raise InvalidInputError(f"{path} holds no chunks, so there are no vectors to study. Index documents first.")
        vectors = read_vectors(store, limit=limit, seed=seed)
    finally:
        store.close()
    notes: tuple[str, ...] = ()
    if count > limit:
        notes = (f"{limit:,} of {count:,} vectors, by chance; losses grow a little with the number of vectors.",)
    return CodecSource(name=path.name, model=card.name, vectors=vectors, queries=queries, notes=notes)


def collection_vectors(path: Path, *, model: str, max_tokens: int = 256) -> CodecSource:
    """The chunks of a labelled collection and its judged questions, embedded with ``model``.

    Raises LoadError for a collection that cannot be read, ModelNotFoundError, and InvalidInputError without judged questions.
    """
    from ragkit.chunk import RecursiveChunker
    from ragkit.embed import TransformerEmbedder

    collection = load_collection(path)
    documents, _ = collection.units(collection.unit)
    judged = collection.judgements(collection.unit)
    asked = [one for one in collection.queries if one.doc_id is None and any(g > 0 for g in judged.get(one.id, {}).values())]
    if not asked:
        raise InvalidInputError(
            f"{path} has no judged question that is asked of all documents. Index it, and study the database."
        )
    embedder = TransformerEmbedder(model)
    chunker = RecursiveChunker(max_tokens).bind(embedder.tokenizer, window=embedder.card.window)
    items = [(document, chunker(document)) for document in documents if document.text.strip()]
    scoped = len(collection.queries) - len(asked)
    return CodecSource(
        name=collection.name,
        model=embedder.card.name,
        vectors=embedder.embed_batch(items),
        queries=embedder.embed_queries([one.text for one in asked]),
        judgements=[judged[one.id] for one in asked],
        units=[document.id for document, chunks in items for _ in chunks],
        notes=(f"{scoped} questions without judgements, or about one document only, were left out.",) if scoped else (),
    )
