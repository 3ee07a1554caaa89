"""ChunkStore: one LanceDB table that is the only truth about an index."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, Self, TypeVar

import numpy as np

from ragkit.errors import InvalidInputError, StoreCorruptError, StoreError, StoreMismatchError
from ragkit.seams import Vectors
from ragkit.store import database, vector_index
from ragkit.store.arms import SnapshotArms, Where
from ragkit.store.coded import encode
from ragkit.store.columns import Column, read_columns
from ragkit.store.escape import escape, quote, unescape
from ragkit.store.failures import told
from ragkit.store.filters import compile_where
from ragkit.store.nearness import AS_TUNED, Nearness, Tuning
from ragkit.store.newest import Newest
from ragkit.store.patience import keep_trying
from ragkit.store.reading import Reading
from ragkit.store.rows import DocumentRows, Row, chunk_columns, chunks_from, row_columns, rows_from, to_arrow, vectors_from
from ragkit.store.schema import Header
from ragkit.store.snapshot import Snapshot
from ragkit.store.statistics import StoreStats
from ragkit.store.tuning import TARGET
from ragkit.store.tuning import tune as measure
from ragkit.store.versions import keep_for
from ragkit.text.term_query import TermQuery
from ragkit.types import Chunk, TermStats
from ragkit.vec.codecs import Codec

if TYPE_CHECKING:
    import pyarrow as pa

_T = TypeVar("_T")
_LOOKUP = 4096
_FEW_ROWS = 64
_FEW_FILES = 16


class ChunkStore:
    """Chunks with their vectors and BM25 tokens in the LanceDB database at ``path``.

    A commit holds whole documents, so neither a reader nor a killed writer ever shows half of one; every read sees
    the newest commit. Safe for several threads and processes at once (start processes with "spawn", not "fork").
    """

    def __init__(self, path: str | Path, table: Any, header: Header, *, at: int | str | None = None) -> None:
        self.path = Path(path)
        self.header = header
        self._at = at
        self._newest = Newest(self.path / database.FOLDER)
        self._table = table
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

    # Reading

    def columns(self) -> tuple[Column, ...]:
        """The metadata columns that the table has now; another process may have declared some since it was opened."""
        columns = self.read("reading the columns", lambda table: read_columns(table.schema))
        if columns != self.header.columns:
            self.header = replace(self.header, columns=columns)
        return columns

    def digests(self, doc_ids: Sequence[str]) -> dict[str, str]:
        """The stored digest of each of these documents; ids not stored are left out."""
        found: dict[str, set[str]] = defaultdict(set)
        for where in id_filters("doc_id", doc_ids):
            table = self.scan(["doc_id", "doc_digest"], where)
            for doc_id, digest in zip(table.column("doc_id").to_pylist(), table.column("doc_digest").to_pylist(), strict=True):
                found[unescape(doc_id)].add(digest)
        # Two digests under one id cannot come from a commit of ours; "" matches no document, so it is written anew.
        return {doc_id: digests.pop() if len(digests) == 1 else "" for doc_id, digests in found.items()}

    def vectors(self, keys: Sequence[str]) -> dict[str, Vectors]:
        """The stored vectors, float32 ``(dim,)``, under these content addresses; keys not stored are left out."""
        return self.vectors_under(keys, vector=self.header.vector, key="embed_key")

    def vectors_under(self, keys: Sequence[str], *, vector: str, key: str) -> dict[str, Vectors]:
        """``vectors`` of one of the models that a database may hold vectors of, by its columns."""
        found: dict[str, Vectors] = {}
        for where in id_filters(key, keys):
            table = self.scan([key, vector], f"{vector} IS NOT NULL AND {where}")
            if len(table):
                found.update(zip(table.column(key).to_pylist(), vectors_from(table, vector), strict=True))
        return found

    def vectors_of(self, chunk_ids: Sequence[str]) -> dict[str, Vectors]:
        """The stored vectors, float32 ``(dim,)``, of these chunks; ids not stored are left out."""
        found: dict[str, Vectors] = {}
        for where in id_filters("id", chunk_ids):
            table = self.scan(["id", self.header.vector], where)
            if len(table):
                found.update(zip(map(unescape, table.column("id").to_pylist()), vectors_from(table), strict=True))
        return found

    def lengths(self, doc_ids: Sequence[str]) -> dict[str, int]:
        """Where the last chunk of each of these documents ends, in characters; ids not stored are left out."""
        found: dict[str, int] = {}
        for where in id_filters("doc_id", doc_ids):
            table = self.scan(["doc_id", "end"], where)
            for doc_id, end in zip(
                map(unescape, table.column("doc_id").to_pylist()), table.column("end").to_pylist(), strict=True
            ):
                found[doc_id] = max(end, found.get(doc_id, 0))
        return found

    def get(self, chunk_ids: Sequence[str]) -> list[Chunk]:
        """The chunks with these ids, in the order asked for; ids not stored are left out."""
        found = {}
        for where in id_filters("id", chunk_ids):
            found.update({chunk.id: chunk for chunk in chunks_from(self.scan(chunk_columns(self.header), where))})
        return [found[chunk_id] for chunk_id in dict.fromkeys(chunk_ids) if chunk_id in found]

    def chunks_of(self, doc_id: str) -> list[Chunk]:
        """The chunks of one document in order; empty when it is not stored."""
        return self.chunks_of_each([doc_id]).get(doc_id, [])

    def chunks_of_each(self, doc_ids: Sequence[str]) -> dict[str, list[Chunk]]:
        """The chunks of each of these documents in order; ids not stored are left out."""
        found: dict[str, list[Chunk]] = defaultdict(list)
        for where in id_filters("doc_id", doc_ids):
            for chunk in chunks_from(self.scan(chunk_columns(self.header), where)):
                found[chunk.doc_id].append(chunk)
        return {doc_id: sorted(chunks, key=lambda chunk: chunk.index) for doc_id, chunks in found.items()}

    def document_ids(self) -> list[str]:
        """The ids of all documents, sorted."""
        return sorted(map(unescape, self.scan(["doc_id"]).column("doc_id").unique().to_pylist()))

    def last_recipe(self) -> str:
        """The chunker recipe of the newest commit; of the database's creation while it is empty."""
        table = self.scan(["recipe", "added_at"])
        if not len(table):
            return self.header.chunker
        newest = int(np.argmax(table.column("added_at").to_numpy()))
        return unescape(table.column("recipe")[newest].as_py())

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

    def stats(self) -> StoreStats:
        """Counts of the newest version."""
        import pyarrow.compute as pc

        table = self.scan(["doc_id", "start", "end", "n_tokens"])
        lengths = pc.subtract(table.column("end"), table.column("start"))
        return StoreStats(
            documents=len(table.column("doc_id").unique()),
            chunks=len(table),
            tokens=pc.sum(table.column("n_tokens")).as_py() or 0,
            characters=pc.sum(lengths).as_py() or 0,
            bytes_on_disk=_size(self.path),
            unindexed=self.unindexed,
            version=self.version,
        )

    @property
    def version(self) -> int:
        """The number of the newest commit, or of the one this store was opened at; microseconds where nothing was committed."""
        if self._at is None and self._table is not None:
            return self._newest.version()
        return int(self.read("reading the version", lambda table: table.version))

    @property
    def unindexed(self) -> int:
        """Chunks that the full-text index does not hold yet; searches read them one by one."""

        def ask(table: Any) -> int:
            names = [index.name for index in table.list_indices() if index.columns == ["lex"]]
            return int(table.index_stats(names[0]).num_unindexed_rows) if names else int(table.count_rows())

        return self.read("reading the state of the full-text index", ask)

    def worth_optimizing(self) -> bool:
        """True when enough chunks are outside the full-text index, or enough small files have gathered."""
        waiting = self.unindexed
        stats = self.read("reading statistics", lambda table: table.stats())
        rows, files = int(stats["num_rows"]), int(stats["fragment_stats"]["num_small_fragments"])
        return waiting > max(_FEW_ROWS, rows // 100) or files > _FEW_FILES

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
        stale = f"doc_id IN ({_listed(gone)})"
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

    # For the other modules of this room

    def scan(self, columns: list[str], where: str | None = None) -> pa.Table:
        """Some columns of the newest version, of the rows that SQL lets through."""

        def ask(table: Any) -> pa.Table:
            query = table.search().select(columns)
            return (query.where(where) if where else query).to_arrow()

        return self.read("reading", ask)

    def _current(self) -> Any:
        if self._table is None:
            raise StoreError(f"The store {self.path} is closed. Open it again.")
        return self._table

    def _reopen(self) -> Any:
        self._current()
        table, header = database.open_table(database.connect(self.path), self.path, version=self._at)
        self._same_model(header)
        self._table = table
        return table

    def _same_model(self, header: Header) -> None:
        if header.vector != self.header.vector:
            raise StoreMismatchError(
                f"{self.path} was moved from the model {self.header.card.name!r} to {header.card.name!r} (dim {header.card.dim}) after it was "
                "opened here. Open it again, with the new model or without one: Index(path)."
            )

    def _refuse_moved(self) -> None:
        """Raise StoreMismatchError where a failure came of vectors that are now another model's."""
        try:
            self._reopen()
        except StoreMismatchError:
            raise
        except StoreError:
            return

    def read(self, doing: str, ask: Callable[[Any], _T]) -> _T:
        """What ``ask`` finds out from LanceDB's table, with its errors translated."""
        table = self._current()
        try:
            with told(self.path, doing):
                return ask(table)
        except StoreError as error:
            self._refuse_moved()
            if not isinstance(error, StoreCorruptError):
                raise
            # A reader may hold files that a clean-up elsewhere has since removed; a fresh table does not know them.
            with told(self.path, doing):
                return ask(self._reopen())

    def require_newest(self) -> None:
        """Raise StoreError for a store that was opened at a version, which is for reading only."""
        if self._at is not None:
            raise StoreError(f"This is {self.path} at version {self._at}, for reading only. Open the index itself to change it.")

    def write(self, doing: str, act: Callable[[Any], object]) -> None:
        """Run ``act``; while other writers come first, again on a fresh table, with growing pauses, for a minute."""
        self.require_newest()

        def once() -> None:
            try:
                with told(self.path, doing):
                    act(self._current())
            except StoreError:
                self._refuse_moved()
                raise

        keep_trying(once, refresh=self._reopen)


def _delete(table: Any, *, where: str) -> None:
    table.delete(where)


def _listed(values: Iterable[str]) -> str:
    return ", ".join(quote(escape(value)) for value in values)


def id_filters(column: str, values: Sequence[str]) -> list[str]:
    """SQL filters that cover all values, each of a length that parses fast."""
    unique = list(dict.fromkeys(values))
    return [f"{column} IN ({_listed(unique[at : at + _LOOKUP])})" for at in range(0, len(unique), _LOOKUP)]


def _size(path: Path) -> int:
    total = 0
    for file in path.rglob("*"):
        try:
            total += file.stat().st_size if file.is_file() else 0
        except FileNotFoundError:
            continue
    return total
