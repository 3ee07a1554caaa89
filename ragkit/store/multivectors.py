"""Several vectors a chunk in a multivector column of LanceDB: a side table, made from what lies in the database already.

A row counts while its ``embed_key`` is its chunk's; what is missing or stale is for ``fill`` to find, and never gives a wrong answer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar

import numpy as np

from ragkit.errors import StoreError
from ragkit.seams import Vectors
from ragkit.store import database
from ragkit.store.escape import escape, id_filters, unescape
from ragkit.store.failures import told
from ragkit.store.patience import keep_trying

if TYPE_CHECKING:
    import pyarrow as pa

_PRIMARY_KEY = {"lance-schema:unenforced-primary-key": "true"}
_KEEP = timedelta(days=1)
_T = TypeVar("_T")


class MultiVectors:
    """The table ``name`` of the database at ``path``: for each chunk unit vectors ``(n, dim)``, kept as float16."""

    def __init__(self, path: Path, name: str, table: Any) -> None:
        self._path, self._name, self._table = path, name, table

    @classmethod
    def open(cls, path: Path, name: str, *, dim: int) -> Self:
        """The table, made where it is missing."""
        with told(path, "opening a table of vectors", remedy=_remedy(name)):
            table = database.connect(path).create_table(name, schema=_schema(dim), exist_ok=True)
        return cls(path, name, table)

    def keys(self) -> dict[str, str]:
        """For each chunk the content address that its vectors were made from."""
        rows = self._ask("reading", lambda table: table.search().select(["id", "embed_key"]).to_arrow())
        return dict(zip(map(unescape, rows.column("id").to_pylist()), rows.column("embed_key").to_pylist(), strict=True))

    def put(self, vectors: Mapping[str, Vectors], keys: Mapping[str, str]) -> None:
        """Store the vectors ``(n, dim)`` of some chunks in place of what they had: one commit."""
        import pyarrow as pa

        if not vectors:
            return
        rows = list(vectors.values())
        flat = pa.array(np.concatenate(rows).astype(np.float16).reshape(-1))
        ends = np.concatenate([[0], np.cumsum([len(one) for one in rows])])
        lists = pa.ListArray.from_arrays(pa.array(ends, pa.int32()), pa.FixedSizeListArray.from_arrays(flat, rows[0].shape[1]))
        arrays = [pa.array([escape(one) for one in vectors]), pa.array([keys[one] for one in vectors]), lists]
        batch = pa.Table.from_arrays(arrays, schema=_schema(rows[0].shape[1]))
        self._write(lambda table: table.merge_insert("id").when_matched_update_all().when_not_matched_insert_all().execute(batch))

    def delete(self, chunk_ids: Sequence[str]) -> None:
        """Remove the vectors of these chunks; unknown ids are no error."""
        for where in id_filters("id", chunk_ids):
            self._write(partial(_delete, where=where))

    def optimize(self) -> None:
        """Merge small files, and drop versions older than a day."""
        self._write(lambda table: table.optimize(cleanup_older_than=_KEEP))

    def nearest(self, queries: Vectors, *, limit: int, among: Sequence[str] | None = None) -> list[str]:
        """Up to ``limit`` chunks by the sum, over the rows of ``queries`` ``(q, dim)``, of their best cosine, best first; of ``among`` only."""
        filters = [None] if among is None else id_filters("id", among)
        found: list[tuple[float, str]] = []
        for where in filters:

            def ask(table: Any, where: str | None = where) -> pa.Table:
                query = table.search(np.asarray(queries, np.float32), vector_column_name="vectors").distance_type("cosine")
                # LanceDB sets room aside for as many rows as are asked for.
                query = query.select(["id", "_distance"]).limit(min(limit, max(int(table.count_rows()), 1)))
                return (query.where(where, prefilter=True) if where else query).to_arrow()

            rows = self._ask("searching by many vectors", ask)
            found += zip(rows.column("_distance").to_pylist(), map(unescape, rows.column("id").to_pylist()), strict=True)
        return [chunk for _, chunk in sorted(found)[:limit]]

    def _ask(self, doing: str, ask: Callable[[Any], _T]) -> _T:
        try:
            with self._told(doing):
                self._table.checkout_latest()
                return ask(self._table)
        except StoreError:
            with self._told(doing):
                return ask(self._reopen())

    def _write(self, act: Callable[[Any], object]) -> None:
        def once() -> None:
            with self._told("storing vectors"):
                act(self._table)

        keep_trying(once, refresh=self._reopen)

    def _told(self, doing: str) -> AbstractContextManager[None]:
        return told(self._path, doing, remedy=_remedy(self._name))

    def _reopen(self) -> Any:
        with self._told("opening a table of vectors"):
            self._table = database.connect(self._path).open_table(self._name)
            return self._table


def _remedy(name: str) -> str:
    return f"remove only the folder {name}.lance in it, open the late interaction again and call its fill(): all of it is made of the codes"


def _delete(table: Any, *, where: str) -> None:
    table.delete(where)


def _schema(dim: int) -> pa.Schema:
    import pyarrow as pa

    return pa.schema(
        [
            pa.field("id", pa.string(), nullable=False, metadata=_PRIMARY_KEY),
            pa.field("embed_key", pa.string(), nullable=False),
            pa.field("vectors", pa.list_(pa.list_(pa.float16(), dim))),
        ]
    )
