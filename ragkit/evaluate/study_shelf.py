"""The chunks of one recipe in memory, ready to be searched."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ragkit.embed import CachedEmbedder
from ragkit.errors import EmbeddingError, InvalidInputError
from ragkit.evaluate.collections import Query
from ragkit.evaluate.study_measure import DEPTH, Places
from ragkit.evaluate.study_rank import Postings, Ranked, Ranker
from ragkit.lexical import Analyzer
from ragkit.retrieve import DEFAULT_FUSION, Fusion, Mode
from ragkit.seams import Chunker, Embedder, Vectors
from ragkit.types import Chunk, Document

_EMBED_AT_ONCE = 512


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What holds for all recipes of a study."""

    modes: tuple[Mode, ...]
    budgets: tuple[int, ...]
    k: int
    analyzer: Analyzer
    fusion: Fusion = DEFAULT_FUSION


@dataclass(frozen=True, slots=True, kw_only=True)
class Shelf:
    """What a chunker made of documents, and what it cost; ``from_cache`` is the share of vectors that a cache had
    before, not counting texts that occur twice."""

    places: Places
    ranker: Ranker
    vector_bytes: int
    text_bytes: int
    seconds: float
    from_cache: float

    def search(
        self, queries: Sequence[Query], vectors: Vectors, words: Sequence[Sequence[str]], settings: Settings
    ) -> Mapping[Mode, list[Ranked]]:
        """For each mode what was found for every question, best first; a question about one document searches there."""
        found: dict[Mode, list[Ranked]] = {mode: [] for mode in settings.modes}
        for query, vector, some in zip(queries, vectors, words, strict=True):
            scope = self.places.scope(query.doc_id)
            ranked = self.ranker.rank(vector, some, settings.modes, scope=scope, least=DEPTH, budget=max(settings.budgets))
            for mode, rows in ranked.items():
                found[mode].append(rows)
        return found


def fill(chunker: Chunker, documents: Sequence[Document], embedder: Embedder, asked: set[str], settings: Settings) -> Shelf:
    """Cut and embed ``documents``, and note where the words in ``asked`` occur; texts are not kept."""
    postings, known = Postings(asked), _known(embedder)
    distinct: set[int] = set()
    names: list[str] = []
    bounds, starts, ends, tokens = [0], [], [], []
    vectors: list[Vectors] = []
    text_bytes, seconds = 0, 0.0
    for block in _blocks(sorted(documents, key=lambda one: one.id), chunker):
        began = time.perf_counter()
        rows = embedder.embed_batch(block)
        seconds += time.perf_counter() - began
        if rows.shape[0] != sum(len(chunks) for _, chunks in block) or not np.isfinite(rows).all():
            raise EmbeddingError(f"{embedder.card.name!r} gave {rows.shape} vectors, or some that are not finite.")
        vectors.append(rows)
        for document, chunks in block:
            for chunk in chunks:
                starts.append(chunk.start)
                ends.append(chunk.end)
                tokens.append(chunk.n_tokens)
                text_bytes += len((chunk.text + chunk.context).encode("utf-8", "surrogatepass"))
                distinct.add(hash((chunk.text, chunk.context)))
                postings.add(settings.analyzer.tokens(_searchable(chunk)))
            names.append(document.id)
            bounds.append(len(tokens))
    if not tokens:
        raise InvalidInputError(f"The chunker made no chunk of {len(documents)} documents; they are empty or only white space.")
    matrix = np.concatenate(vectors)
    arrays = [np.array(some, np.int64) for some in (bounds, starts, ends, tokens)]
    places = Places(documents=tuple(names), bounds=arrays[0], start=arrays[1], end=arrays[2], tokens=arrays[3])
    return Shelf(
        places=places,
        ranker=Ranker(
            vectors=matrix,
            tokens=places.tokens,
            documents=np.repeat(np.arange(len(names)), np.diff(places.bounds)),
            words=postings,
            fusion=settings.fusion,
        ),
        vector_bytes=matrix.nbytes,
        text_bytes=text_bytes,
        seconds=seconds,
        from_cache=_share(known, _known(embedder)) - (1 - len(distinct) / len(tokens)),
    )


def _known(embedder: Embedder) -> tuple[int, int]:
    """Vectors that a cache had so far, and all it was asked for; a text that occurs twice in one call counts as had."""
    if not isinstance(embedder, CachedEmbedder):
        return 0, 0
    stats = embedder.stats()
    return stats.hits, stats.hits + stats.misses


def _share(before: tuple[int, int], after: tuple[int, int]) -> float:
    hits, asked = after[0] - before[0], after[1] - before[1]
    return hits / asked if asked else 0.0


def _searchable(chunk: Chunk) -> str:
    """What BM25 reads: the text, and the context where the chunk's encoding says so."""
    return f"{chunk.context}\n{chunk.text}" if chunk.context and chunk.encoding.lexical else chunk.text


def _blocks(documents: Iterable[Document], chunker: Chunker) -> Iterator[list[tuple[Document, list[Chunk]]]]:
    block: list[tuple[Document, list[Chunk]]] = []
    count = 0
    for document in documents:
        chunks = sorted(chunker(document), key=lambda one: (one.start, one.end, one.id)) if document.text.strip() else []
        block.append((document, chunks))
        count += len(chunks)
        if count >= _EMBED_AT_ONCE:
            yield block
            block, count = [], 0
    if block:
        yield block
