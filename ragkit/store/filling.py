"""Declaring columns on a database that exists: the columns come empty, rows are filled from their metadata, then they are used.

Every step may be interrupted: what is filled stays filled, and declaring the same columns again goes on with the rest.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from ragkit.store.columns import DECLARED, Column, merged, read_columns
from ragkit.store.database import ensure_column_indexes
from ragkit.store.escape import unescape

if TYPE_CHECKING:
    import pyarrow as pa

    from ragkit.store.chunks import ChunkStore

_AT_ONCE = 8192
_READ = ["id", "doc_id", "doc_digest", "metadata"]


def declare(store: ChunkStore, given: Sequence[Column]) -> None:
    """Give the table the columns it lacks, fill them, and change declarations that differ in ``wrong``.

    Raises StoreMismatchError for a key that is stored with another type, and InvalidInputError for stored metadata of another type
    than is declared, before anything is changed.
    """
    stored = {column.key: column for column in store.columns()}
    wanted = merged(list(stored.values()), given, store.path)
    new = [column for column in wanted if column.key not in stored]
    waiting = [column for column in wanted if not column.ready]
    if new:
        store.read("reading metadata", partial(_values, columns=new, where=None, use=lambda batch: None))
        store.write("adding columns", partial(_add, columns=new))
    for column in wanted:
        if column.key in stored and column != stored[column.key]:
            store.write("changing a declaration", partial(_note, column=column))
    if waiting:
        empty = " OR ".join(f"{column.name} IS NULL" for column in waiting)

        def fill(batch: pa.Table) -> None:
            store.write("filling columns", partial(_fill, batch=batch))

        store.read("filling columns", partial(_values, columns=waiting, where=empty, use=fill))
    for column in waiting:
        store.write("finishing a column", partial(_note, column=replace(column, ready=True)))
    store.write("indexing columns", ensure_column_indexes)


def _add(table: Any, *, columns: Sequence[Column]) -> None:
    here = {column.key for column in read_columns(table.schema)}
    fields = [column.field() for column in columns if column.key not in here]
    if fields:
        table.add_columns(fields)


def _note(table: Any, *, column: Column) -> None:
    if column not in read_columns(table.schema):
        table.update_field_metadata({"path": column.name, "metadata": {DECLARED: column.declaration()}})


def _values(table: Any, *, columns: Sequence[Column], where: str | None, use: Any) -> None:
    """Give ``use`` the columns' values of all rows that have one, in Arrow tables with the rows' ids and digests."""
    import pyarrow as pa

    schema = pa.schema(
        [pa.field(name, pa.string(), nullable=False) for name in ("id", "doc_digest")] + [c.field() for c in columns]
    )
    query = table.search().select(_READ)
    for batch in (query.where(where) if where else query).to_batches(_AT_ONCE):
        rows = []
        for row in batch.to_pylist():
            metadata, doc_id = json.loads(row["metadata"]), unescape(row["doc_id"])
            values = {column.name: column.value(metadata, doc_id) for column in columns}
            if any(value is not None for value in values.values()):
                rows.append({"id": row["id"], "doc_digest": row["doc_digest"]} | values)
        if rows:
            use(pa.Table.from_pylist(rows, schema=schema))


def _fill(table: Any, *, batch: pa.Table) -> None:
    # A document may have been replaced since its metadata were read; its new rows came with their values.
    table.merge_insert("id").when_matched_update_all(where="target.doc_digest = source.doc_digest").execute(batch)
