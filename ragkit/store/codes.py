"""Compressed chunks: one side table per compressor, in the same database as the chunks.

A row is one window of one chunk. A chunk counts as compressed when all its windows are there, and were made from what the chunk
now reads (its ``embed_key``). Chunks are committed first and their codes after them, so a killed writer leaves missing codes only.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from ragkit.errors import StoreCorruptError, StoreError, StoreFormatError, StoreMismatchError
from ragkit.store import database
from ragkit.store.chunks import ChunkStore
from ragkit.store.escape import escape, id_filters, unescape
from ragkit.store.failures import told
from ragkit.store.patience import keep_trying
from ragkit.store.reading import run
from ragkit.store.rows import chunk_columns, chunks_from
from ragkit.types import Chunk

if TYPE_CHECKING:
    import pyarrow as pa

FORMAT = 1
_PREFIX = "codes_"
_KEY = b"ragkit"
_PRIMARY_KEY = {"lance-schema:unenforced-primary-key": "true"}
_COLUMNS = ["chunk_id", "window", "windows", "count", "code"]
_KEEP = timedelta(days=1)
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeRows:
    """Codes as they are stored, one entry per window in every part.

    ``window`` counts a chunk's windows from 0 and ``windows`` is how many it has; ``counts`` how many vectors of a code are real;
    all int32 ``(n,)``. ``codes`` is uint8 ``(n, width)``.
    """

    chunk_ids: Sequence[str]
    window: NDArray[np.int32]
    windows: NDArray[np.int32]
    counts: NDArray[np.int32]
    codes: NDArray[np.uint8]


class CodeTable:
    """The codes of one compressor: ``header`` is what was stored with them, ``width`` the bytes of one code."""

    def __init__(self, path: Path, name: str, table: Any, header: Mapping[str, Any]) -> None:
        self.path, self.name, self.header = path, name, header
        self.width = int(header["width"])
        self._table = table
        self._asked: Any = None

    @staticmethod
    def marks(path: Path) -> list[str]:
        """The marks of the tables of codes in a database, sorted."""
        begun = (folder for folder in path.glob(f"{_PREFIX}*.lance") if any((folder / "_versions").glob("*.manifest")))
        return sorted(folder.stem.removeprefix(_PREFIX) for folder in begun)

    @classmethod
    def open(cls, path: Path, mark: str) -> CodeTable | None:
        """The table under ``mark``, the first digits of a compressor's fingerprint; None where there is none.

        Raises StoreFormatError for a newer format, StoreCorruptError for files that cannot be read.
        """
        name = _PREFIX + mark
        if mark not in cls.marks(path):
            return None
        with told(path, "opening a table of codes"):
            table = database.connect(path).open_table(name)
            return cls(path, name, table, _read_header(table.schema, path, name))

    @classmethod
    def create(cls, path: Path, mark: str, header: Mapping[str, Any], *, width: int) -> CodeTable:
        """The table under ``mark``, made where it is missing. Raises StoreMismatchError where another header stands there."""
        wanted = {**header, "width": width, "format": FORMAT}
        found = cls.open(path, mark)
        if found is None:
            name = _PREFIX + mark
            try:
                with told(path, "creating a table of codes"):
                    table = database.connect(path).create_table(name, schema=_schema(wanted, width))
                    return cls(path, name, table, wanted)
            except StoreError:
                # Another process may have made it between the look and the attempt.
                found = cls.open(path, mark)
                if found is None:
                    raise
        if found.header != wanted:
            raise StoreMismatchError(
                f"{path} holds codes {found.name!r} that were made with {dict(found.header)}, and these are made with {wanted}. "
                "Drop them first: index.codes.drop()."
            )
        return found

    def drop(self) -> None:
        """Remove the table; chunks and their text are not touched."""
        with told(self.path, "dropping codes"):
            database.connect(self.path).drop_table(self.name, ignore_missing=True)

    # Reading

    def read(self, chunk_ids: Sequence[str]) -> CodeRows:
        """The stored windows of these chunks, by chunk and window; chunks without codes are left out."""
        parts = [self._scan(_COLUMNS, where) for where in id_filters("chunk_id", chunk_ids)]
        ids = [unescape(one) for part in parts for one in part.column("chunk_id").to_pylist()]
        window, windows, counts = (
            np.concatenate([part.column(name).to_numpy() for part in parts] or [np.empty(0, np.int32)])
            for name in ("window", "windows", "count")
        )
        codes = np.concatenate([_bytes(part, self.width) for part in parts] or [np.empty((0, self.width), np.uint8)])
        order = sorted(range(len(ids)), key=lambda place: (ids[place], window[place]))
        return CodeRows(
            chunk_ids=[ids[place] for place in order],
            window=window[order],
            windows=windows[order],
            counts=counts[order],
            codes=codes[order],
        )

    def keys(self, chunk_ids: Sequence[str] | None = None) -> dict[str, str]:
        """For each chunk with all its windows the content address its codes were made from; of all chunks without ``chunk_ids``.

        A chunk whose windows are incomplete, or of two makings, is given as "".
        """
        wanted: list[str | None] = [None] if chunk_ids is None else [*id_filters("chunk_id", chunk_ids)]
        rows: dict[str, list[tuple[str, int]]] = {}
        for where in wanted:
            part = self._scan(["chunk_id", "embed_key", "windows"], where)
            columns = (part.column(name).to_pylist() for name in ("chunk_id", "embed_key", "windows"))
            for chunk_id, key, windows in zip(*columns, strict=True):
                rows.setdefault(unescape(chunk_id), []).append((key, windows))
        return {
            chunk_id: found[0][0] if len(set(found)) == 1 and len(found) == found[0][1] else ""
            for chunk_id, found in rows.items()
        }

    @property
    def version(self) -> int:
        """The number of the newest commit."""
        return int(self._read("reading the version of codes", lambda table: table.version))

    # Writing

    def put(self, rows: CodeRows, keys: Sequence[str]) -> None:
        """Store all windows of some chunks, in place of what these chunks had: one commit. ``keys`` are the rows' content addresses."""
        if not len(rows.chunk_ids):
            return
        import pyarrow as pa

        arrays = {
            "id": pa.array([escape(f"{chunk}/{window}") for chunk, window in zip(rows.chunk_ids, rows.window, strict=True)]),
            "chunk_id": pa.array([escape(chunk) for chunk in rows.chunk_ids]),
            "embed_key": pa.array(list(keys)),
            "window": pa.array(rows.window, pa.int32()),
            "windows": pa.array(rows.windows, pa.int32()),
            "count": pa.array(rows.counts, pa.int32()),
            "code": pa.Array.from_buffers(
                pa.binary(self.width), len(rows.codes), [None, pa.py_buffer(np.ascontiguousarray(rows.codes).tobytes())]
            ),
        }
        schema = _schema(self.header, self.width)
        batch = pa.Table.from_arrays([arrays[field.name] for field in schema], schema=schema)
        # One commit for the batch: what these chunks had before and do not have any more goes with it.
        stale = " OR ".join(f"({where})" for where in id_filters("chunk_id", rows.chunk_ids))

        def merge(table: Any) -> None:
            (
                table.merge_insert("id")
                .when_matched_update_all()
                .when_not_matched_insert_all()
                .when_not_matched_by_source_delete(stale)
                .execute(batch)
            )

        self._write("storing codes", merge)

    def delete(self, chunk_ids: Sequence[str]) -> None:
        """Remove the codes of these chunks; unknown ids are no error."""
        for where in id_filters("chunk_id", chunk_ids):
            self._write("deleting codes", partial(_delete, where=where))

    def optimize(self) -> None:
        """Merge small files and bring the index over chunk ids up to date."""
        from lancedb.index import BTree

        def index(table: Any) -> None:
            if not any(found.columns == ["chunk_id"] for found in table.list_indices()):
                table.create_index("chunk_id", config=BTree())

        if self._read("counting codes", lambda table: table.count_rows()):
            self._write("indexing codes", index)
        self._write("optimizing codes", lambda table: table.optimize(cleanup_older_than=_KEEP))

    # Inside

    def _scan(self, columns: list[str], where: str | None) -> pa.Table:
        async def scan() -> pa.Table:
            if self._asked is None:
                self._asked = await _waiting(self.path, self.name)
            query = self._asked.query().select(columns)
            return await (query.where(where) if where else query).to_arrow()

        return self._read("reading codes", lambda _: run(scan()))

    def _read(self, doing: str, ask: Callable[[Any], _T]) -> _T:
        try:
            with told(self.path, doing):
                return ask(self._table)
        except StoreCorruptError:
            # A reader may hold files that a clean-up elsewhere has since removed; a fresh table does not know them.
            with told(self.path, doing):
                return ask(self._reopen())

    def _write(self, doing: str, act: Callable[[Any], object]) -> None:
        def once() -> None:
            with told(self.path, doing):
                act(self._table)

        keep_trying(once, refresh=self._reopen)

    def _reopen(self) -> Any:
        with told(self.path, "opening a table of codes"):
            self._table, self._asked = database.connect(self.path).open_table(self.name), None
            return self._table


def chunks_under(store: ChunkStore, keys: Sequence[str]) -> dict[str, str]:
    """The ids of stored chunks with one of these content addresses, and theirs."""
    found: dict[str, str] = {}
    for where in id_filters("embed_key", keys):
        part = store.scan(["id", "embed_key"], where)
        found.update(zip(map(unescape, part.column("id").to_pylist()), part.column("embed_key").to_pylist(), strict=True))
    return found


def content_addresses(store: ChunkStore) -> dict[str, tuple[str, str]]:
    """For every stored chunk its document's id and its content address."""
    part = store.scan(["id", "doc_id", "embed_key"])
    ids, documents = (map(unescape, part.column(name).to_pylist()) for name in ("id", "doc_id"))
    return dict(zip(ids, zip(documents, part.column("embed_key").to_pylist(), strict=True), strict=True))


def chunks_with_addresses(store: ChunkStore, doc_ids: Sequence[str]) -> dict[str, list[tuple[Chunk, str]]]:
    """The chunks of these documents in order, each with its content address; ids not stored are left out."""
    found: dict[str, list[tuple[Chunk, str]]] = {}
    for where in id_filters("doc_id", doc_ids):
        part = store.scan([*chunk_columns(store.header), "embed_key"], where)
        for chunk, key in zip(chunks_from(part), part.column("embed_key").to_pylist(), strict=True):
            found.setdefault(chunk.doc_id, []).append((chunk, key))
    return {doc_id: sorted(pairs, key=lambda pair: pair[0].index) for doc_id, pairs in found.items()}


async def _waiting(path: Path, name: str) -> Any:
    """A handle for ``run`` on the table as it is now and will be."""
    import lancedb

    database = await lancedb.connect_async(path, read_consistency_interval=timedelta(0))
    return await database.open_table(name)


def _delete(table: Any, *, where: str) -> None:
    table.delete(where)


def _schema(header: Mapping[str, Any], width: int) -> pa.Schema:
    import pyarrow as pa

    fields = [
        pa.field("id", pa.string(), nullable=False, metadata=_PRIMARY_KEY),
        pa.field("chunk_id", pa.string(), nullable=False),
        pa.field("embed_key", pa.string(), nullable=False),
        *(pa.field(name, pa.int32(), nullable=False) for name in ("window", "windows", "count")),
        pa.field("code", pa.binary(width), nullable=False),
    ]
    return pa.schema(fields, metadata={_KEY: json.dumps(header, sort_keys=True)})


def _read_header(schema: Any, path: Path, name: str) -> dict[str, Any]:
    try:
        header: dict[str, Any] = json.loads((schema.metadata or {})[_KEY])
        newest = int(header["format"])
    except (KeyError, TypeError, ValueError) as error:
        raise StoreCorruptError(
            f"The header of the codes {name!r} in {path} cannot be read ({error}). Drop that table and fill it again; no text is lost."
        ) from error
    if newest > FORMAT:
        raise StoreFormatError(
            f"The codes {name!r} in {path} are in format {newest}; this version reads up to {FORMAT}. Upgrade ragkit."
        )
    return header


def _bytes(table: pa.Table, width: int) -> NDArray[np.uint8]:
    """A column of fixed-size binaries as uint8 ``(n, width)``."""
    parts = [
        np.frombuffer(block.buffers()[1], np.uint8, count=len(block) * width, offset=block.offset * width).reshape(-1, width)
        for block in table.column("code").chunks
        if len(block)
    ]
    return np.concatenate(parts) if parts else np.empty((0, width), np.uint8)
