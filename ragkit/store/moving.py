"""Columns for the vectors of another model, filled beside the ones in use and exchanged with them in one commit.

Names say which model a column belongs to, so that no reader or writer can take one model's vectors for another's: whoever still
knows the old columns finds them gone. Fields keep their identity through a change of name, so what an unfinished write of the old model commits
after the exchange lands in the old model's columns.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ragkit.errors import StoreError
from ragkit.seams import Vectors
from ragkit.store.chunks import ChunkStore
from ragkit.store.escape import escape, id_filters, unescape
from ragkit.store.rows import chunk_columns, chunks_from
from ragkit.store.schema import VECTOR, column_card, vector_column
from ragkit.types import Chunk, ModelCard

if TYPE_CHECKING:
    import pyarrow as pa

_MOVING, _RETIRED, _KEY, _SEEN, _SETTLED = "moving_", "retired_", "key_of_", "seen_", "settled_"


@dataclass(frozen=True, slots=True)
class Columns:
    """The columns of a model that a database moves to.

    ``vector`` and ``key``, its content address, become the ones in use; ``seen`` is the document's digest that a vector was made for.
    ``settled`` is an empty column whose only purpose is its commit. ``live`` once searches read them.
    """

    vector: str
    key: str
    seen: str
    settled: str
    live: bool

    @property
    def mark(self) -> str:
        """The part of the names that tells the model."""
        return self.seen.removeprefix(_SEEN)

    @property
    def pending(self) -> str:
        """SQL for rows without a vector, or with one of an earlier version of their document."""
        return f"({self.vector} IS NULL OR {self.seen} <> doc_digest)"


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredDocument:
    """A document's chunks in order, its digest, and the ids of chunks that wait for a vector."""

    digest: str
    chunks: Sequence[Chunk]
    waiting: frozenset[str]


def begin(store: ChunkStore, card: ModelCard) -> Columns | None:
    """The columns to fill for ``card``, made where they are missing; None where the database is wholly that model's.

    Raises StoreError while a move to yet another model is unfinished.
    """
    names, mark = _names(store), card.fingerprint[:16]
    live = store.header.card.fingerprint == card.fingerprint
    key = "embed_key" if live else _KEY + _MOVING + mark
    columns = Columns(store.header.vector if live else _MOVING + mark, key, _SEEN + mark, _SETTLED + mark, live)
    begun = unfinished(store)
    if begun is not None and begun.fingerprint != card.fingerprint:
        raise StoreError(
            f"{store.path} is on its way to the model {begun.name!r}. Finish that move first, or give it up with give_up_move(path)."
        )
    if live:
        return columns if columns.seen in names else None
    if columns.vector not in names:
        import pyarrow as pa

        made = [vector_column(columns.vector, card), pa.field(columns.key, pa.string()), pa.field(columns.seen, pa.string())]

        def add(table: Any) -> None:
            if store.header.vector not in table.schema.names:
                raise StoreError(f"{store.path} was moved by another process.")
            _add(table, made)

        store.write("adding columns for another model", add)
    return columns


def unfinished(store: ChunkStore) -> ModelCard | None:
    """The card of the model that the database is on its way to; its own until the last vectors are there; else None."""
    schema = store.read("reading the columns", lambda table: table.schema)
    found = [name for name in schema.names if name.startswith(_MOVING)]
    if found:
        return column_card(schema, found[0])
    return store.header.card if any(name.startswith(_SEEN) for name in schema.names) else None


def retired(store: ChunkStore) -> list[ModelCard]:
    """The cards of models whose vectors are kept beside the ones in use. Empty for most databases."""
    schema = store.read("reading the columns", lambda table: table.schema)
    return [column_card(schema, name) for name in schema.names if name.startswith(_RETIRED)]


def pending(store: ChunkStore, columns: Columns) -> dict[str, int]:
    """The ids of documents that have chunks without a vector, sorted, and how many of each."""
    counts: dict[str, int] = {}
    for doc_id in store.scan(["doc_id"], columns.pending).column("doc_id").to_pylist():
        counts[doc_id] = counts.get(doc_id, 0) + 1
    return {unescape(doc_id): count for doc_id, count in sorted(counts.items())}


def documents(store: ChunkStore, columns: Columns, doc_ids: Sequence[str]) -> dict[str, StoredDocument]:
    """These documents as they are stored now; those deleted meanwhile are left out."""
    rows: dict[str, list[tuple[Chunk, str, bool]]] = {}
    for where in id_filters("doc_id", doc_ids):
        table = store.scan([*chunk_columns(store.header), "doc_digest", columns.seen], where)
        digests, seen = table.column("doc_digest").to_pylist(), table.column(columns.seen).to_pylist()
        for chunk, digest, before in zip(chunks_from(table), digests, seen, strict=True):
            rows.setdefault(chunk.doc_id, []).append((chunk, digest, before != digest))
    return {
        doc_id: StoredDocument(
            digest=found[0][1],
            chunks=sorted((chunk for chunk, _, _ in found), key=lambda chunk: chunk.index),
            waiting=frozenset(chunk.id for chunk, _, waits in found if waits),
        )
        for doc_id, found in rows.items()
    }


def known(store: ChunkStore, columns: Columns, keys: Sequence[str]) -> dict[str, Vectors]:
    """Vectors of the new model that are stored under these content addresses already, also from an earlier time with that model."""
    mark = columns.mark
    pairs = [(columns.vector, columns.key), (_RETIRED + mark, _KEY + _RETIRED + mark)]
    names, found = _names(store), dict[str, Vectors]()
    for vector, key in pairs:
        if vector in names:
            found |= store.vectors_under(keys, vector=vector, key=key)
    return found


def fill(
    store: ChunkStore, columns: Columns, *, ids: Sequence[str], keys: Sequence[str], digests: Sequence[str], vectors: Vectors
) -> None:
    """Write vectors ``(n, dim)`` to rows whose document is still the version with this digest; others stay pending."""
    import pyarrow as pa

    dim = vectors.shape[1]
    flat = pa.array(np.ascontiguousarray(vectors, np.float32).reshape(-1))
    schema = pa.schema(
        [
            pa.field("id", pa.string(), nullable=False),
            pa.field(columns.vector, pa.list_(pa.field("item", pa.float32()), dim)),
            pa.field(columns.key, pa.string()),
            pa.field(columns.seen, pa.string()),
        ]
    )
    arrays = [
        pa.array([escape(one) for one in ids]),
        pa.FixedSizeListArray.from_arrays(flat, dim),
        pa.array(keys),
        pa.array(digests),
    ]
    rows = pa.Table.from_arrays(arrays, schema=schema)

    def merge(table: Any) -> None:
        same = f"target.doc_digest = source.{columns.seen}"
        table.merge_insert("id").when_matched_update_all(where=same).execute(rows)

    store.write("storing vectors of another model", merge)


def exchange(store: ChunkStore, columns: Columns) -> None:
    """Let searches read the new columns: one commit. ``store`` is of the old model and raises StoreMismatchError from here on."""
    old, new = store.header.card.fingerprint[:16], columns.mark

    def rename(table: Any) -> None:
        table.alter_columns(
            {"path": store.header.vector, "rename": _RETIRED + old, "nullable": True},
            {"path": "embed_key", "rename": _KEY + _RETIRED + old, "nullable": True},
            {"path": columns.vector, "rename": f"{VECTOR}_{new}"},
            {"path": columns.key, "rename": "embed_key"},
        )

    store.write("changing to another model", rename)


def fence(store: ChunkStore, columns: Columns) -> None:
    """A commit that no unfinished write of the old model can follow: adding a column conflicts with every write under way.

    Once it is there, no row without a vector can come any more, and ``pending`` is final.
    """
    import pyarrow as pa

    store.write("waiting for unfinished writes", lambda table: _add(table, [pa.field(columns.settled, pa.bool_())]))


def settle(store: ChunkStore, columns: Columns) -> None:
    """Drop what was needed for the move; older vectors of the model now in use go too."""
    mark = columns.mark
    _drop(store, [columns.seen, columns.settled, _RETIRED + mark, _KEY + _RETIRED + mark])


def drop_retired(store: ChunkStore) -> int:
    """Drop the vectors of earlier models; returns of how many models. Files shrink when old versions are cleaned up."""
    count = len(retired(store))
    _drop(store, [name for name in _names(store) if name.startswith((_RETIRED, _KEY + _RETIRED))])
    return count


def give_up(store: ChunkStore) -> bool:
    """Drop the columns of a move that was not finished; True when there was one."""
    begun = unfinished(store)
    if begun is None or begun.fingerprint == store.header.card.fingerprint:
        return False
    _drop(store, [name for name in _names(store) if name.startswith((_MOVING, _KEY + _MOVING, _SEEN))])
    return True


def _names(store: ChunkStore) -> list[str]:
    names: list[str] = store.read("reading the columns", lambda table: table.schema.names)
    return names


def _add(table: Any, fields: Sequence[pa.Field]) -> None:
    missing = [one for one in fields if one.name not in table.schema.names]
    if not missing:
        return
    try:
        table.add_columns(missing)
    except Exception:
        # Another process may have added them between the look and the attempt.
        if not {one.name for one in fields} <= set(table.schema.names):
            raise


def _drop(store: ChunkStore, wanted: Sequence[str]) -> None:
    def drop(table: Any) -> None:
        there = [name for name in wanted if name in table.schema.names]
        if there:
            table.drop_columns(there)

    store.write("dropping columns", drop)
