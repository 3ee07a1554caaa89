"""From documents to committed rows: what is unchanged is skipped, what is known is not embedded again."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from ragkit.chunk import Fallible
from ragkit.embed import embed_keys
from ragkit.errors import DuplicateIdError, EmbeddingError, InvalidInputError, RagkitError
from ragkit.index.compressing import CodeWriter, forget_stale, keys_of
from ragkit.index.lines import lines_of
from ragkit.lexical import Analyzer
from ragkit.progress import Progress
from ragkit.seams import Chunker, Embedder, Vectors
from ragkit.store import ChunkStore, DocumentRows
from ragkit.store.columns import check
from ragkit.types import Chunk, Document, ModelCard, digest

_LOOK_AHEAD_DOCUMENTS = 256
_LOOK_AHEAD_CHARACTERS = 4_000_000
_EMBED_AT_ONCE = 512
_COMMIT_SECONDS = 5.0
Embed = Callable[[Sequence[tuple[Document, Sequence[Chunk]]]], Vectors]


@dataclass(slots=True)
class Counts:
    """What is done so far; ``AddReport`` explains the names."""

    added: int = 0
    replaced: int = 0
    unchanged: int = 0
    removed: int = 0
    chunks: int = 0
    embedded: int = 0
    reused: int = 0
    skipped: list[tuple[str, str]] = field(default_factory=list)
    unfinished: list[tuple[str, str]] = field(default_factory=list)

    @property
    def written(self) -> int:
        """Documents stored or removed."""
        return self.added + self.replaced + self.removed


@dataclass(frozen=True, slots=True)
class _Item:
    """A new or changed document with its chunks; ``known`` when an earlier version is stored."""

    document: Document
    digest: str
    chunks: list[Chunk]
    known: bool
    undone: str


class Ingest:
    """One run of ``Index.add``. It may be interrupted anywhere, for every commit holds whole documents."""

    def __init__(
        self,
        store: ChunkStore,
        chunker: Chunker,
        embedder: Callable[[], Embedder],
        analyzer: Analyzer,
        *,
        batch_chunks: int,
        watch: Progress,
        codes: CodeWriter | None = None,
    ) -> None:
        self.counts = Counts()
        self._codes = codes
        self._store, self._chunker, self._embedder, self._analyzer = store, chunker, embedder, analyzer
        self._batch_chunks, self._watch = batch_chunks, watch
        self._recipe = chunker.recipe
        self._waiting: list[_Item] = []
        self._ready: list[tuple[_Item, DocumentRows]] = []
        self._ready_vectors: dict[str, Vectors] = {}
        self._waiting_chunks = self._ready_chunks = self._embedded = self._reused = 0
        self._committed_at = time.monotonic()

    def run(self, documents: Iterable[Document]) -> Counts:
        """Store every document that is new or changed; an exception carries a note on what was stored before it."""
        try:
            for block in _blocks(self._distinct(documents)):
                self._take(block)
            self._embed()
            self._commit()
        except BaseException as error:
            error.add_note(
                f"Before this, {self.counts.written} documents of this call were stored or removed and {self.counts.unchanged} were "
                "found unchanged; all that stays. Run add again to finish: it goes on where it stopped."
            )
            raise
        return self.counts

    def _distinct(self, documents: Iterable[Document]) -> Iterator[Document]:
        seen: dict[str, str] = {}
        for place, document in enumerate(documents):
            if not isinstance(document, Document):
                raise InvalidInputError(
                    f"Item {place} of the documents is a {type(document).__name__}, not a Document. Wrap texts: Document(text, id=...)."
                )
            content = document.digest
            first = seen.get(document.id)
            if first is None:
                seen[document.id] = content
                yield document
            elif first != content:
                raise DuplicateIdError(
                    f"The id {document.id!r} came twice in one call with different text or metadata; item {place} is the second. "
                    "Give each document an id of its own."
                )
            else:
                self._watch.advance()

    def _take(self, block: Sequence[Document]) -> None:
        wanted = {document.id: digest(document.digest, self._recipe) for document in block}
        stored, columns = self._store.digests(list(wanted)), self._store.columns()
        for document in block:
            if stored.get(document.id) == wanted[document.id]:
                self.counts.unchanged += 1
                self._watch.advance()
                continue
            check(document, columns)
            chunks = self._chunk(document)
            undone = self._chunker.unfinished(document.id) if chunks and isinstance(self._chunker, Fallible) else ""
            # Under another digest than a finished document's, so that the next add takes it up again.
            content = digest(wanted[document.id], "unfinished") if undone else wanted[document.id]
            item = _Item(document, content, chunks, document.id in stored, undone)
            if not item.chunks and not item.known:
                self.counts.skipped.append((document.id, _why_skipped(item)))
                self._watch.advance()
                continue
            self._waiting.append(item)
            self._waiting_chunks += len(item.chunks)
            if self._waiting_chunks >= min(_EMBED_AT_ONCE, self._batch_chunks):
                self._embed()
                stale = time.monotonic() - self._committed_at >= _COMMIT_SECONDS
                if stale or self._ready_chunks >= self._batch_chunks:
                    self._commit()

    def _chunk(self, document: Document) -> list[Chunk]:
        """The chunks, once they are known to be slices of the document: nothing else may be stored under its id."""
        if not document.text.strip():
            return []
        chunks = self._chunker(document)
        for place, chunk in enumerate(chunks):
            faithful = chunk.doc_id == document.id and document.text[chunk.start : chunk.end] == chunk.text
            if not faithful or chunk.index != place or not chunk.text:
                raise InvalidInputError(
                    f"The chunker {type(self._chunker).__name__} broke its law at chunk {place} of document {document.id!r}: a chunk's text "
                    "is a non-empty slice of its document, and its index counts from 0. Check it with ragkit.testing."
                )
        if len({chunk.id for chunk in chunks}) != len(chunks):
            raise InvalidInputError(
                f"The chunker {type(self._chunker).__name__} gave two chunks of document {document.id!r} one id; ids must be unique."
            )
        return chunks

    def _embed(self) -> None:
        """Give every waiting document its vectors: stored ones where the model would read the same, new ones else."""
        items, self._waiting, self._waiting_chunks = self._waiting, [], 0
        if not items:
            return
        card = self._store.header.card
        keys = [embed_keys(card, item.document, item.chunks) for item in items]
        wanted = {key for row in keys for key in row}
        vectors = {key: self._ready_vectors[key] for key in wanted & self._ready_vectors.keys()}
        vectors |= self._store.vectors(sorted(wanted - vectors.keys()))
        missing: list[tuple[Document, list[Chunk]]] = []
        order: list[str] = []
        taken = set(vectors) - (self._codes.lacking(wanted) if self._codes is not None else set())
        for item, row in zip(items, keys, strict=True):
            fresh = [(key, chunk) for key, chunk in zip(row, item.chunks, strict=True) if not (key in taken or taken.add(key))]  # type: ignore[func-returns-value]
            if any(chunk.encoding.document for _, chunk in fresh):
                # Its document's mean is part of such a vector, so all of the document is read again.
                fresh = list(zip(row, item.chunks, strict=True))
            if fresh:
                order += [key for key, _ in fresh]
                missing.append((item.document, [chunk for _, chunk in fresh]))
        if missing:
            embedder = self._embedder()
            embed = None if self._codes is None else self._codes.embed(embedder, order)
            vectors = dict(zip(order, embed_checked(embedder, card, missing, embed=embed), strict=True)) | vectors
        self._embedded += len(order)
        self._reused += sum(map(len, keys)) - len(order)
        self._ready_vectors |= vectors
        for item, row in zip(items, keys, strict=True):
            self._ready.append((item, self._rows(item, row, vectors)))
            self._ready_chunks += len(item.chunks)
            self._watch.advance(note=f"{self.counts.chunks + self._ready_chunks:,} chunks")

    def _rows(self, item: _Item, keys: list[str], vectors: dict[str, Vectors]) -> DocumentRows:
        dim = self._store.header.card.dim
        return DocumentRows(
            doc_id=item.document.id,
            digest=item.digest,
            recipe=self._recipe,
            chunks=item.chunks,
            lines=lines_of(item.document.text, item.chunks),
            lex=[self._analyzer.tokens(_searchable(chunk)) for chunk in item.chunks],
            keys=keys,
            vectors=np.stack([vectors[key] for key in keys]) if keys else np.empty((0, dim), np.float32),
        )

    def _commit(self) -> None:
        ready, self._ready, self._ready_vectors, self._ready_chunks = self._ready, [], {}, 0
        if not ready:
            return
        stored = [rows for item, rows in ready if item.chunks]
        forget_stale(self._store, keys_of(stored))
        self._store.put(stored, remove=[item.document.id for item, _ in ready if not item.chunks])
        if self._codes is not None:
            self._codes.after(stored)
        counts = self.counts
        counts.chunks += sum(len(item.chunks) for item, _ in ready)
        counts.added += sum(bool(item.chunks) and not item.known for item, _ in ready)
        counts.replaced += sum(bool(item.chunks) and item.known for item, _ in ready)
        counts.embedded, counts.reused = counts.embedded + self._embedded, counts.reused + self._reused
        self._embedded = self._reused = 0
        for item, _ in ready:
            if item.undone:
                counts.unfinished.append((item.document.id, item.undone))
            if not item.chunks:
                counts.removed += 1
                counts.skipped.append((item.document.id, _why_skipped(item)))
        self._committed_at = time.monotonic()


def _searchable(chunk: Chunk) -> str:
    """What BM25 reads: the text, and the context where the chunk's encoding says so."""
    return f"{chunk.context}\n{chunk.text}" if chunk.context and chunk.encoding.lexical else chunk.text


def _why_skipped(item: _Item) -> str:
    reason = "the chunker returned no chunks" if item.document.text.strip() else "the text is empty or only white space"
    return f"nothing to index: {reason}" + ("; its earlier chunks were removed" if item.known else "")


def embed_checked(
    embedder: Embedder, card: ModelCard, items: list[tuple[Document, list[Chunk]]], *, embed: Embed | None = None
) -> Vectors:
    """``embed_batch``, or ``embed`` in its place, with every row checked; float32 ``(n, dim)``."""
    chunks = [chunk for _, some in items for chunk in some]
    try:
        vectors = np.asarray((embed or embedder.embed_batch)(items), dtype=np.float32)
    except RagkitError:
        raise
    except Exception as error:
        raise EmbeddingError(
            f"The embedder {card.name!r} failed on {len(chunks)} chunks of the documents {items[0][0].id!r} to {items[-1][0].id!r}: {error}"
        ) from error
    if vectors.shape != (len(chunks), card.dim):
        raise EmbeddingError(
            f"The embedder {card.name!r} gave vectors of shape {vectors.shape} for {len(chunks)} chunks of the documents "
            f"{items[0][0].id!r} to {items[-1][0].id!r}, the first chunk being {chunks[0].id!r}; expected {(len(chunks), card.dim)}."
        )
    usable = np.isfinite(vectors).all(axis=1) & vectors.any(axis=1)
    if not usable.all():
        chunk = chunks[int(np.argmin(usable))]
        raise EmbeddingError(
            f"The embedder {card.name!r} gave a vector that is all zeros or not finite (NaN or infinity) for chunk {chunk.id!r} "
            f"of document {chunk.doc_id!r}, characters {chunk.start} to {chunk.end}. Nothing of this batch was stored."
        )
    return vectors


def _blocks(documents: Iterator[Document]) -> Iterator[list[Document]]:
    """Runs of documents to look up together, short enough that large documents are not held in memory by the hundred."""
    block: list[Document] = []
    characters = 0
    for document in documents:
        block.append(document)
        characters += len(document.text)
        if len(block) >= _LOOK_AHEAD_DOCUMENTS or characters >= _LOOK_AHEAD_CHARACTERS:
            yield block
            block, characters = [], 0
    if block:
        yield block
