"""ChunkStore: one LanceDB table that is the only truth about an index."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from threading import Lock
from typing import Any, Self, TypeVar

import numpy as np

from ragkit.errors import InvalidInputError, StoreCorruptError, StoreError
from ragkit.seams import Vectors
from ragkit.store import database, vector_index
from ragkit.store.arms import SnapshotArms, Where
from ragkit.store.coded import encode
from ragkit.store.columns import read_columns
from ragkit.store.escape import id_filters, listed, unescape
from ragkit.store.failures import told
from ragkit.store.filters import compile_where
from ragkit.store.lookups import Lookups
from ragkit.store.nearness import AS_TUNED, Nearness, Tuning
from ragkit.store.reading import Reading
from ragkit.store.rows import DocumentRows, Row, row_columns, rows_from, to_arrow
from ragkit.store.schema import Header
from ragkit.store.snapshot import Snapshot
from ragkit.store.tuning import TARGET
from ragkit.store.tuning import tune as measure
from ragkit.store.versions import keep_for
from ragkit.text.term_query import TermQuery
from ragkit.types import TermStats
from ragkit.vec.codecs import Codec

_T = TypeVar("_T")
_FEW_ROWS = 64
_FEW_FILES = 16


class ChunkStore(Lookups):
    """Chunks with their vectors and BM25 tokens in the LanceDB database at ``path``.

    A commit holds whole documents, so neither a reader nor a killed writer ever shows half of one; every read sees
    the newest commit. Safe for several threads and processes at once (start processes with "spawn", not "fork").
    """

    def __init__(self, path: str | Path, table: Any, header: Header, *, at: int | str | None = None) -> None:
        super().__init__(path, table, header, at=at)
        self._lock = Lock()
        self._codec: Codec | None = None
        self._snapshot: Snapshot | None = None
        self._reading: Reading | None = None

    @staticmethod
    def exists(path: str | Path) -> bool:
        """True when there is a database at ``path``. Raises StoreError for a file or a folder of something else."""
        return database.exists(Path(path))

    @classmethod
    def open(cls, path: str | Path, *, create: Header | None = None) -> Self:
        """The store at ``path``, made with the header ``create`` where there is none yet.

        Raises StoreError without a database there and without ``create``, or where ``path`` is something else;
        StoreFormatError for a newer format; StoreCorruptError for missing or damaged files; StoreFullError.
        """
        place = Path(path)
        found = database.exists(place)
        if not found and create is None:
            raise StoreError(f"No index at {place}. Check the path, or add documents to make one there.")
        with told(place, "creating the folder"):
            place.parent.mkdir(parents=True, exist_ok=True)
        connection = database.connect(place)
        if found or create is None:
            table, header = database.open_table(connection, place)
        else:
            table, header = database.create_table(connection, place, create)
        with told(place, "looking for the full-text index"):
            database.ensure_text_index(table, place)
        return cls(place, table, header)

    def at(self, version: int | str) -> Self:
        """The store as it was at a version or a tag; reading only. Raises StoreError for one that is not there."""
        table, header = database.open_table(database.connect(self.path), self.path, version=version)
        return type(self)(self.path, table, header, at=version)

    # Searching

    def nearest(self, vector: Vectors, /, *, limit: int, where: Where | None = None, nearness: Nearness = AS_TUNED) -> list[Row]:
        """Up to ``limit`` rows nearest to ``vector`` ``(dim,)`` by cosine, nearest first."""
        return self.nearest_many(np.asarray(vector, np.float32)[None, :], limit=limit, where=where, nearness=nearness)[0]

    def nearest_many(
        self, vectors: Vectors, /, *, limit: int, where: Where | None = None, nearness: Nearness = AS_TUNED
    ) -> list[list[Row]]:
        """``nearest`` for each row of ``vectors`` ``(n, dim)``, all in one scan."""
        condition, columns = self._condition(where), row_columns(self.header)
        found = self.on_snapshot(
            lambda one: one.nearest(vectors, limit=limit, columns=columns, condition=condition, nearness=nearness)
        )
        return [rows_from(table) for table in found]

    def matching(self, tokens: Sequence[str] | TermQuery, /, *, limit: int, where: Where | None = None) -> list[Row]:
        """Up to ``limit`` rows that hold one of the analyzer's ``tokens``, or match a query, best first by LanceDB's BM25."""
        query = tokens if isinstance(tokens, TermQuery) else TermQuery.of(token for token in tokens if token)
        if not query.tokens:
            return []
        condition, columns = self._condition(where), row_columns(self.header)
        return rows_from(self.on_snapshot(lambda one: one.matching(query, limit=limit, columns=columns, condition=condition)))

    def term_stats(self) -> TermStats:
        """BM25's statistics over all chunks of the newest version; after a commit only what it changed is read."""
        return self.on_snapshot(lambda one: one.term_stats())

    def searched(
        self, search: Callable[[SnapshotArms], _T], *, dense: bool = True, words: bool = True, nearness: Nearness = AS_TUNED
    ) -> _T:
        """The result of ``search`` over the newest version; ``dense`` and ``words`` are the arms that it asks."""
        if not isinstance(nearness, Nearness):
            raise InvalidInputError(f"nearness is {nearness!r}; give a Nearness, for example Nearness(exact=True).")
        return self.on_snapshot(
            lambda one: search(SnapshotArms(one, dense=dense, words=words, nearness=nearness, condition=self._condition))
        )

    def snapshot(self) -> Snapshot:
        """The newest version, held still for reading; the same object until another commit comes."""
        version = self.version
        with self._lock:
            if self._snapshot is None or self._snapshot.version != version:
                self._reading = self._reading or Reading(self.path)
                table, asked, header = self._reading.open(version)
                self._same_model(header)
                self._snapshot = Snapshot(self.path, table, asked, self.header, self._snapshot, codec=self._codec)
            return self._snapshot

    def use(self, codec: Codec | None) -> None:
        """Search by the codes of ``codec`` from now on; None for the vectors themselves. ``coded.use_codec`` checks and writes them."""
        with self._lock:
            self._codec, self._snapshot = codec, None

    def on_snapshot(self, ask: Callable[[Snapshot], _T]) -> _T:
        """What ``ask`` finds in the newest version."""
        try:
            return ask(self.snapshot())
        except StoreCorruptError:
            # A clean-up elsewhere may have removed files of a version that was the newest a moment ago.
            self._reopen()
            with self._lock:
                self._snapshot = self._reading = None
            return ask(self.snapshot())

    def _condition(self, where: Where | None) -> str | None:
        return compile_where(where, self.columns()) if where else None

    # Writing

    def put(self, documents: Sequence[DocumentRows], *, remove: Iterable[str] = ()) -> None:
        """Store whole documents, replacing earlier versions, and remove others: one commit, all or nothing.

        Raises InvalidInputError for an id used twice or by another document, StoreFullError, StoreCorruptError, or StoreError.
        """
        doc_ids = [document.doc_id for document in documents]
        gone = sorted({*doc_ids, *remove})
        chunk_ids = [chunk.id for document in documents for chunk in document.chunks]
        # Two rows with one new id in one merge would both go in.
        for name, ids in (("document", doc_ids), ("chunk", chunk_ids)):
            if len(set(ids)) != len(ids):
                twice = next(one for one in ids if ids.count(one) > 1)
                raise InvalidInputError(f"The {name} id {twice!r} occurs twice in one batch; ids must be unique.")
        if not gone:
            return
        stale = f"doc_id IN ({listed(gone)})"
        if not chunk_ids:
            self.write("removing documents", partial(_delete, where=stale))
            return
        # Ids that forget their document repeat inside a batch of many documents, which is refused above; a batch of one is not
        # caught there. Looking for every id of a large batch would cost a fifth of the speed of storing.
        if len(documents) == 1 or len(chunk_ids) <= _FEW_ROWS:
            self._own(chunk_ids, set(gone))
        added_at = time.time_ns() // 1000

        def merge(table: Any) -> None:
            columns, before = read_columns(table.schema), None
            # Rows written while another process declares a column would lack it after that process has filled the others.
            while before is None or not set(columns) <= set(before):
                rows = to_arrow(documents, replace(self.header, columns=columns), added_at)
                (
                    table.merge_insert("id")
                    .when_matched_update_all()
                    .when_not_matched_insert_all()
                    .when_not_matched_by_source_delete(stale)
                    .execute(rows)
                )
                columns, before = read_columns(table.schema), columns

        self.write("storing documents", merge)

    def _own(self, chunk_ids: Sequence[str], doc_ids: set[str]) -> None:
        """Raise InvalidInputError when a chunk id is another document's: the merge would take that chunk from it in silence."""
        for where in id_filters("id", chunk_ids):
            table = self.scan(["id", "doc_id"], where)
            for chunk_id, doc_id in zip(table.column("id").to_pylist(), table.column("doc_id").to_pylist(), strict=True):
                if unescape(doc_id) not in doc_ids:
                    raise InvalidInputError(
                        f"The chunk id {unescape(chunk_id)!r} is taken by the stored document {unescape(doc_id)!r}. A chunker's ids must "
                        "depend on the document's id."
                    )

    def delete(self, doc_ids: Sequence[str]) -> int:
        """Remove documents with all their chunks; returns how many of them were stored."""
        stored = sorted(self.digests(doc_ids))
        for where in id_filters("doc_id", stored):
            self.write("deleting documents", partial(_delete, where=where))
        return len(stored)

    def worth_optimizing(self) -> bool:
        """True when enough chunks are outside the full-text index, or enough small files have gathered."""
        waiting = self.unindexed
        stats = self.read("reading statistics", lambda table: table.stats())
        rows, files = int(stats["num_rows"]), int(stats["fragment_stats"]["num_small_fragments"])
        return waiting > max(_FEW_ROWS, rows // 100) or files > _FEW_FILES

    def optimize(self) -> None:
        """Merge small files, bring indexes up to date, drop versions older than a day that no tag keeps.

        A missing or damaged full-text index is built anew: the rows hold all it needs. From 20,000 chunks on there is a vector
        index too, built anew and measured whenever the table has grown fourfold.
        """
        try:
            self.write("optimizing", lambda table: table.optimize(cleanup_older_than=keep_for(table)))
            self.read(
                "probing the full-text index",
                lambda table: table.search("a", query_type="fts", fts_columns="lex").select(["id", "_score"]).limit(1).to_arrow(),
            )
        except StoreCorruptError:
            self.write("rebuilding the full-text index", lambda table: database.ensure_text_index(table, self.path, replace=True))
        codec = self.snapshot().codec
        if codec is not None:
            encode(self, codec)
        self._index_vectors()

    def _index_vectors(self) -> None:
        """Build or drop the vector index where the table's size asks for it, and measure an index that nobody has measured."""
        one, column = self.snapshot(), self.header.vector
        if vector_index.due(one.table, column, one.tuning):
            # First forgotten, then built: a kill in between leaves an index to be measured, never one with another's settings.
            self._remember(Tuning(index=None, rows=0))
            self.write("building the vector index", lambda table: vector_index.build(table, column))
            one = self.snapshot()
        if one.indexed and one.tuning is None:
            self.tune()

    def tune(self, *, target_recall: float = TARGET, queries: int = 100) -> Tuning:
        """Measure the least effort with which the vector index reaches ``target_recall``, and keep it with the table.

        See ``ragkit.store.tuning.tune``. Nothing is kept for a table without a vector index, where searches are exact.
        """
        found = self.on_snapshot(lambda one: measure(one, target_recall=target_recall, queries=queries))
        if found.index is not None:
            self._remember(found)
        return found

    def _remember(self, tuning: Tuning) -> None:
        column = self.header.vector
        self.write("keeping what was measured", lambda table: vector_index.remember(table, column, tuning))

    def close(self) -> None:
        """Let go of the table and of cached statistics."""
        self._table = self._snapshot = self._reading = None


def _delete(table: Any, *, where: str) -> None:
    table.delete(where)
