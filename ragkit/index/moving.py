"""Moving a database to another embedding model, while it is searched and written to."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ragkit.embed import embed_keys
from ragkit.errors import CapabilityError, StoreError
from ragkit.index.ingest import embed_checked
from ragkit.progress import Progress
from ragkit.progress import progress as progress_bar
from ragkit.seams import Embedder, Vectors
from ragkit.store import ChunkStore, moving
from ragkit.types import Chunk, Document, ModelCard

_EMBED_AT_ONCE = 512
_COMMIT_CHUNKS = 4096
_COMMIT_SECONDS = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class MoveReport:
    """What one call of ``move`` did.

    ``chunks`` counts those whose vectors were written, of which ``embedded`` came from the model and ``reused`` from equal
    texts or from an earlier time with this model. ``rounds`` tells how often what others wrote meanwhile had to be caught up
    with. ``kept`` names the models whose vectors are still there, for ``drop_old_vectors``. ``note`` says what could not be done.
    """

    model: ModelCard
    chunks: int = 0
    embedded: int = 0
    reused: int = 0
    rounds: int = 0
    kept: tuple[str, ...] = ()
    note: str = ""
    seconds: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class MoveState:
    """Where a database stands: the model in use, the one it is on its way to with the chunks that wait, and models kept."""

    model: ModelCard
    target: ModelCard | None
    waiting: int
    kept: tuple[ModelCard, ...]


def move(path: str | Path, embedder: Embedder, *, progress: bool = False, batch_chunks: int = _COMMIT_CHUNKS) -> MoveReport:
    """Embed everything stored at ``path`` anew with another model, then let searches use it.

    The new vectors fill a column of their own, while this and other processes search and add with the old model; what they write is
    caught up with. The change itself is one commit. From then on every ``Index`` that was opened before raises
    StoreMismatchError until it is opened again; no search ever compares vectors of two models. Call it in a thread or a process
    of its own to go on working. It commits every few seconds: when it is killed, the same call goes on where it stopped.

    Texts come from the store: chunks hold them, and a document is put together from its chunks. The old vectors stay until
    ``drop_old_vectors``; moving back to that model then embeds only what has changed.

    Raises CapabilityError when a chunk's window holds text that no chunk holds, TextTooLongError when a chunk is longer than the new
    model's window (both: chunk and index the documents anew), EmbeddingError, StoreError while a move to a third model is unfinished. What was
    embedded before stays, and the old model stays in use.
    """
    begun = time.perf_counter()
    store = ChunkStore.open(path)
    try:
        work = _Move(store, embedder, batch_chunks)
        while (columns := moving.begin(work.store, embedder.card)) is not None:
            try:
                work.step(columns, progress=progress)
            except StoreError:
                if not work.overtaken(columns):
                    raise
        note = work.tidy()
        return MoveReport(
            model=embedder.card,
            chunks=work.chunks,
            embedded=work.embedded,
            reused=max(0, work.chunks - work.embedded),
            rounds=work.rounds,
            kept=tuple(card.name for card in moving.retired(work.store)),
            note=note,
            seconds=time.perf_counter() - begun,
        )
    finally:
        work.store.close()


def move_state(path: str | Path) -> MoveState:
    """How far a database is on its way to another model. Raises StoreError where there is none."""
    store = ChunkStore.open(path)
    try:
        target = moving.unfinished(store)
        columns = None if target is None else moving.begin(store, target)
        waiting = 0 if columns is None else sum(moving.pending(store, columns).values())
        return MoveState(model=store.header.card, target=target, waiting=waiting, kept=tuple(moving.retired(store)))
    finally:
        store.close()


def drop_old_vectors(path: str | Path) -> int:
    """Drop the vectors of models that were in use before; returns of how many models. Disk space follows within a day."""
    store = ChunkStore.open(path)
    try:
        return moving.drop_retired(store)
    finally:
        store.close()


def give_up_move(path: str | Path) -> bool:
    """Drop what an unfinished move has embedded; False when there is none, or when its model is in use already."""
    store = ChunkStore.open(path)
    try:
        return moving.give_up(store)
    finally:
        store.close()


def rebuilt(doc_id: str, chunks: Sequence[Chunk]) -> Document:
    """The document that these chunks were cut from, as far as a model reads it; blanks where no chunk lies.

    Raises CapabilityError when a chunk's window reaches text that no chunk holds.
    """
    end = max(max(chunk.end, chunk.window.end) for chunk in chunks)
    pieces: list[str] = []
    gaps: list[tuple[int, int]] = []
    at = 0
    for chunk in sorted(chunks, key=lambda one: one.start):
        if chunk.start > at:
            gaps.append((at, chunk.start))
            pieces.append(" " * (chunk.start - at))
            at = chunk.start
        if chunk.end > at:
            pieces.append(chunk.text[at - chunk.start :])
            at = chunk.end
    if end > at:
        gaps.append((at, end))
        pieces.append(" " * (end - at))
    for chunk in chunks:
        gap = next(((first, last) for first, last in gaps if first < chunk.window.end and last > chunk.window.start), None)
        if gap is not None and chunk.window != chunk.span:
            raise CapabilityError(
                f"Chunk {chunk.index} of document {doc_id!r} was read in a window of the characters {chunk.window.start} to {chunk.window.end}, and no "
                f"stored chunk holds {gap[0]} to {gap[1]}: it cannot be read again from the database. Index the documents with the new model into "
                "another path."
            )
    return Document("".join(pieces), id=doc_id)


class _Move:
    """One call of ``move``: the open store, and what was done so far."""

    def __init__(self, store: ChunkStore, embedder: Embedder, batch_chunks: int) -> None:
        self.store, self._embedder, self._batch_chunks = store, embedder, batch_chunks
        self.chunks = self.embedded = self.rounds = 0

    def step(self, columns: moving.Columns, *, progress: bool) -> None:
        """Up to the exchange, or from there to the end."""
        if columns.live:
            moving.fence(self.store, columns)
        self._fill(columns, progress=progress)
        if columns.live:
            moving.settle(self.store, columns)
        else:
            moving.exchange(self.store, columns)
            self._open_again()

    def overtaken(self, columns: moving.Columns) -> bool:
        """Whether another process, moving to the same model, did this step first."""
        self._open_again()
        if self.store.header.card.fingerprint != self._embedder.card.fingerprint:
            return False
        return not columns.live or moving.unfinished(self.store) is None

    def _open_again(self) -> None:
        path = self.store.path
        self.store.close()
        self.store = ChunkStore.open(path)

    def _fill(self, columns: moving.Columns, *, progress: bool) -> None:
        """Give every row a vector; again for what was written meanwhile, until a look finds nothing."""
        while waiting := moving.pending(self.store, columns):
            self.rounds += 1
            with progress_bar(f"Moving to {self._embedder.card.name}", total=sum(waiting.values()), enabled=progress) as watch:
                self._round(columns, waiting, watch)

    def _round(self, columns: moving.Columns, waiting: dict[str, int], watch: Progress) -> None:
        rows = _Rows()
        committed = time.monotonic()
        for doc_ids in _groups(waiting):
            self._embed(columns, moving.documents(self.store, columns, doc_ids), rows)
            watch.advance(sum(waiting[doc_id] for doc_id in doc_ids))
            if len(rows.ids) >= self._batch_chunks or time.monotonic() - committed > _COMMIT_SECONDS:
                self._commit(columns, rows)
                rows, committed = _Rows(), time.monotonic()
        self._commit(columns, rows)

    def _embed(self, columns: moving.Columns, documents: dict[str, moving.StoredDocument], rows: _Rows) -> None:
        card = self._embedder.card
        wanted: list[tuple[Document, list[Chunk], list[str], moving.StoredDocument]] = []
        for doc_id, stored in documents.items():
            chunks = list(stored.chunks)
            document = rebuilt(doc_id, chunks)
            wanted.append((document, chunks, embed_keys(card, document, chunks), stored))
        have = moving.known(self.store, columns, sorted({key for _, _, keys, _ in wanted for key in keys}))
        items: list[tuple[Document, list[Chunk]]] = []
        order: list[str] = []
        taken: set[str] = set()
        for document, chunks, keys, _ in wanted:
            fresh = {key: chunk for key, chunk in zip(keys, chunks, strict=True) if key not in have and key not in taken}
            if any(chunk.encoding.document for chunk in fresh.values()):
                # Its document's mean is part of such a vector, so all of the document is read.
                items.append((document, chunks))
                order += keys
            elif fresh:
                items.append((document, list(fresh.values())))
                order += fresh
            taken.update(order[-len(keys) :])
        if items:
            have |= zip(order, embed_checked(self._embedder, card, items), strict=True)
        self.embedded += len(order)
        for _, chunks, keys, stored in wanted:
            for chunk, key in zip(chunks, keys, strict=True):
                if chunk.id in stored.waiting:
                    rows.add(chunk.id, key, stored.digest, have[key])

    def _commit(self, columns: moving.Columns, rows: _Rows) -> None:
        if rows.ids:
            moving.fill(self.store, columns, ids=rows.ids, keys=rows.keys, digests=rows.digests, vectors=np.stack(rows.vectors))
            self.chunks += len(rows.ids)

    def tidy(self) -> str:
        """Merge the many small files; the vectors are stored already, whatever happens."""
        if not self.chunks:
            return ""
        try:
            self.store.optimize()
        except StoreError as error:
            return f"the database was moved, but optimizing failed and can be repeated with optimize(): {error}"
        return ""


class _Rows:
    """Rows ready to be written."""

    def __init__(self) -> None:
        self.ids: list[str] = []
        self.keys: list[str] = []
        self.digests: list[str] = []
        self.vectors: list[Vectors] = []

    def add(self, chunk_id: str, key: str, digest: str, vector: Vectors) -> None:
        self.ids.append(chunk_id)
        self.keys.append(key)
        self.digests.append(digest)
        self.vectors.append(vector)


def _groups(waiting: dict[str, int]) -> Iterator[list[str]]:
    """Documents to embed together, by the chunks that wait."""
    group: list[str] = []
    size = 0
    for doc_id, count in waiting.items():
        group.append(doc_id)
        size += count
        if size >= _EMBED_AT_ONCE:
            yield group
            group, size = [], 0
    if group:
        yield group
