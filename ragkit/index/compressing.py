"""Codes on their way into a database: made in the pass that makes the vectors, stored right after the chunks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ragkit.embed import token_reader
from ragkit.rerank.passages import Passages, compress, require, unpacked, whole
from ragkit.rerank.types import Code, Compressor, CompressorCard
from ragkit.seams import Embedder, TokenReader, TokenStates, Vectors
from ragkit.store import ChunkStore, DocumentRows
from ragkit.store.codes import CodeRows, CodeTable, chunks_under
from ragkit.types import Chunk, Document, ModelCard

Items = Sequence[tuple[Document, Sequence[Chunk]]]
_MARK = 12
_TEXTS = 64


def keys_of(documents: Sequence[DocumentRows]) -> dict[str, str]:
    """The content address of each chunk of these documents."""
    return {chunk.id: key for document in documents for chunk, key in zip(document.chunks, document.keys, strict=True)}


class Windows(NamedTuple):
    """A chunk's stored codes: ``counts`` int32 ``(windows,)``, ``codes`` uint8 ``(windows, width)``."""

    counts: NDArray[np.int32]
    codes: NDArray[np.uint8]


def open_codes(store: ChunkStore, card: CompressorCard) -> CodeTable | None:
    """The table of a compressor's codes; None where there is none."""
    return CodeTable.open(store.path, card.fingerprint[:_MARK])


def code_tables(store: ChunkStore) -> Iterator[CodeTable]:
    """The tables of codes in a database, one per compressor."""
    for mark in CodeTable.marks(store.path):
        table = CodeTable.open(store.path, mark)
        if table is not None:
            yield table


def forget_stale(store: ChunkStore, keys: Mapping[str, str]) -> None:
    """Remove the codes, of whatever compressor, that will be stale once these chunks have these content addresses.

    To be called before they have them, so that a kill in between leaves codes missing and none wrong.
    """
    for table in code_tables(store):
        table.delete([chunk for chunk, key in table.keys(list(keys)).items() if key != keys[chunk]])


def create_codes(store: ChunkStore, card: CompressorCard, reader: ModelCard) -> CodeTable:
    """The table of a compressor's codes, made where it is missing. Raises StoreMismatchError where another reading filled it."""
    header = {"compressor": card.to_dict(), "reader": reading_of(reader)}
    return CodeTable.create(store.path, card.fingerprint[:_MARK], header, width=card.bytes)


def reading_of(card: ModelCard) -> dict[str, str]:
    """What decides a model's token states, and so which codes may be compared: not its name, nor how it pools."""
    kept = ("tokenizer", "extend", "temperature")
    settings = {name: card.settings[name] for name in kept if name in card.settings}
    return {"weights": card.weights, "document_prompt": card.document_prompt, "query_prompt": card.query_prompt} | settings


def stored_passages(table: CodeTable, card: CompressorCard, chunk_ids: Sequence[str]) -> Passages:
    """The codes of those chunks that have all their windows."""
    found = table.read(chunk_ids)
    spans = _spans(found.chunk_ids)
    starts, ends = np.array([*spans.values()], np.int64).reshape(-1, 2).T
    sizes = ends - starts
    fine = (
        (found.window == np.arange(len(found.window)) - np.repeat(starts, sizes))
        & (found.windows == np.repeat(sizes, sizes))
        & (found.counts <= card.vectors)
    )
    whole = np.logical_and.reduceat(fine, starts) if len(starts) else fine
    rows = {chunk: span for (chunk, span), good in zip(spans.items(), whole.tolist(), strict=True) if good}
    return Passages(unpacked(found.codes, card), found.counts.astype(np.int64), rows)


def _spans(chunk_ids: Sequence[str]) -> dict[str, tuple[int, int]]:
    spans: dict[str, tuple[int, int]] = {}
    for at, chunk in enumerate(chunk_ids):
        first, _ = spans.get(chunk, (at, at))
        spans[chunk] = (first, at + 1)
    return spans


@dataclass(frozen=True, slots=True)
class CodeWriter:
    """Compresses chunks by content address (``embed_key``), and stores the codes of documents once their chunks are stored.

    With the embedder itself as ``reader`` a chunk is read once for vector and code; another reader reads each chunk's text alone.
    ``ready`` holds codes that were made or found and are not stored yet.
    """

    store: ChunkStore
    table: CodeTable
    compressor: Compressor
    reader: TokenReader
    ready: dict[str, Windows]

    @classmethod
    def begin(cls, store: ChunkStore, compressor: Compressor, reader: TokenReader) -> CodeWriter:
        """A writer into the compressor's table, which is made where it is missing. Raises CapabilityError for another model."""
        require(compressor, reader)
        return cls(store, create_codes(store, compressor.card, reader.card), compressor, reader, {})

    def lacking(self, keys: Iterable[str]) -> set[str]:
        """The content addresses without a code; those that stored chunks have are made ready to be used again."""
        unknown = sorted(set(keys) - self.ready.keys())
        ids = chunks_under(self.store, unknown)
        fresh = self.table.keys(list(ids)) if ids else {}
        usable = {chunk: key for chunk, key in ids.items() if fresh.get(chunk) == key}
        found = self.table.read(list(usable)) if usable else None
        for chunk, (first, last) in _spans(found.chunk_ids).items() if found is not None else ():
            assert found is not None
            self.ready.setdefault(usable[chunk], Windows(found.counts[first:last], found.codes[first:last]))
        return set(unknown) - self.ready.keys()

    @property
    def own(self) -> bool:
        """Whether the reader is the index's own model, so that one pass makes vector and code."""
        return self.reader.card.fingerprint == self.store.header.card.fingerprint

    def embed(self, embedder: Embedder, keys: Sequence[str]) -> Callable[[Items], Vectors]:
        """``embedder.embed_batch`` that also makes ready the codes of its rows, which have these content addresses."""

        def embed(items: Items) -> Vectors:
            if self.own:
                return self._embed_and_read(items, keys)
            self.read(items, keys)
            return embedder.embed_batch(items)

        return embed

    def read(self, items: Items, keys: Sequence[str]) -> None:
        """Make ready the codes of these chunks: as they are indexed where the reader is the index's model, else of their text alone."""
        if self.own:
            self._embed_and_read(items, keys)
            return
        texts = [chunk.text for _, chunks in items for chunk in chunks]
        for first in range(0, len(texts), _TEXTS):
            read = self.reader.read_texts(texts[first : first + _TEXTS], layers=self.compressor.layers)
            for key, passes in zip(keys[first : first + _TEXTS], read, strict=True):
                self._keep(key, compress(self.compressor, passes))

    def _embed_and_read(self, items: Items, keys: Sequence[str]) -> Vectors:
        made: dict[int, dict[int, list[Code]]] = {}

        def receive(row: int, number: int, states: TokenStates) -> None:
            made.setdefault(row, {})[number] = compress(self.compressor, [states])

        vectors = self.reader.embed_and_read(items, layers=self.compressor.layers, receive=receive)
        for row, passes in made.items():
            self._keep(keys[row], [code for number in sorted(passes) for code in passes[number]])
        return vectors

    def _keep(self, key: str, codes: Sequence[Code]) -> None:
        card = self.compressor.card
        full = whole(codes)
        data = b"".join(code.padded(card) for code in full)
        counts = np.array([len(code) for code in full], np.int32)
        self.ready[key] = Windows(counts, np.frombuffer(data, np.uint8).reshape(len(full), card.bytes))

    def after(self, documents: Sequence[DocumentRows]) -> None:
        """Store the codes of documents that are stored; nothing is ready afterwards."""
        self.put(keys_of(documents))

    def put(self, keys: Mapping[str, str]) -> None:
        """Store the ready codes of these chunks, given their content addresses, in one commit."""
        known = {chunk: key for chunk, key in keys.items() if key in self.ready}
        if known:
            windows = [self.ready[key] for key in known.values()]
            sizes = np.array([len(one.counts) for one in windows])
            rows = CodeRows(
                chunk_ids=np.repeat(np.array(list(known), object), sizes).tolist(),
                window=np.concatenate([np.arange(size, dtype=np.int32) for size in sizes]),
                windows=np.repeat(sizes, sizes).astype(np.int32),
                counts=np.concatenate([one.counts for one in windows]),
                codes=np.concatenate([one.codes for one in windows]),
            )
            self.table.put(rows, np.repeat(np.array(list(known.values()), object), sizes).tolist())
        self.ready.clear()


def reader_for(compressor: Compressor, embedder: Embedder | None, given: TokenReader | None) -> TokenReader | None:
    """Who reads for a compressor: the one given, else the embedder where it gives states of the right model, else nobody."""
    if given is not None:
        return given
    reader = None if embedder is None else token_reader(embedder)
    return reader if reader is not None and reader.card.weights == compressor.card.model else None
