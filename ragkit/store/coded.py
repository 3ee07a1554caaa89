"""Codes of the stored vectors, in a column beside them: a scan of few bytes in memory finds candidates, the vectors on disk order them.

The codec stands in the metadata of its column. A code counts while its row's vector is the one it was made of (``embed_key``); rows without
one are coded in memory when they are read, so results never wait for ``encode``.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ragkit.errors import InvalidInputError, StoreMismatchError
from ragkit.seams import Vectors
from ragkit.store.failures import told
from ragkit.store.rows import vectors_from
from ragkit.store.schema import Header
from ragkit.vec.codecs import Codec, Codes, Drift, named

if TYPE_CHECKING:
    import pyarrow as pa

    from ragkit.store.chunks import ChunkStore
    from ragkit.store.snapshot import Snapshot

_CODEC = b"ragkit.codec"
_FIT_ROWS = 50_000
_BATCH = 8192
_DRIFT_ROWS = 2000
#: Candidates by codes for each row asked for; exact cosines choose among them.
_OVERSAMPLE = 2


def use_codec(store: ChunkStore, wanted: str | Codec) -> Codec:
    """Let dense searches of ``store`` find candidates by codes; the codec is fitted and written where there is none yet.

    Raises StoreMismatchError where the database has codes of another codec, InvalidInputError where a codec that learns finds too few
    vectors.
    """
    codec = stored_codec(store)
    if codec is None:
        codec = wanted if isinstance(wanted, Codec) else _fitted(store, wanted)
        _declare(store, codec)
        codec = stored_codec(store) or codec
    same = wanted.fingerprint == codec.fingerprint if isinstance(wanted, Codec) else named(wanted).name == codec.name
    if not same:
        asked = f"{wanted.name!r} ({wanted.fingerprint})" if isinstance(wanted, Codec) else repr(wanted)
        raise StoreMismatchError(
            f"{store.path} has codes of {codec.name!r} ({codec.fingerprint}), and {asked} was asked for. Use that one, or drop its codes first "
            "with drop_codes()."
        )
    encode(store, codec)
    store.use(codec)
    return codec


def stored_codec(store: ChunkStore) -> Codec | None:
    """The codec whose codes stand beside the vectors in use; None without codes. Raises StoreCorruptError for a damaged one."""
    name, _ = _columns(store.header)
    schema = store.read("reading the columns", lambda table: table.schema)
    return Codec.from_bytes(b64decode(schema.field(name).metadata[_CODEC])) if name in schema.names else None


def holds(table: Any, header: Header, codec: Codec) -> bool:
    """Whether a version of the table has codes of this very codec: another process may drop them, and a restored version lack them."""
    name, _ = _columns(header)
    return name in table.schema.names and table.schema.field(name).metadata[_CODEC] == b64encode(codec.to_bytes())


def drop_codes(store: ChunkStore) -> bool:
    """Drop the codes; True when there were some. Searches compare the vectors themselves again."""
    there = stored_codec(store) is not None
    if there:
        store.use(None)
        store.write("dropping codes", lambda table: table.drop_columns(list(_columns(store.header))))
    return there


def encode(store: ChunkStore, codec: Codec) -> int:
    """Write the codes that are missing; returns of how many rows. May be interrupted, and repeated by several processes."""
    import pyarrow as pa

    name, key = _columns(store.header)
    rows = store.scan(["id", "embed_key", store.header.vector], _waiting(store.header))
    vectors = vectors_from(rows) if len(rows) else np.empty((0, codec.dim), np.float32)
    kind = pa.binary(codec.size_bytes)
    for at in range(0, len(rows), _BATCH):
        part = rows.slice(at, _BATCH)
        codes = codec.encode(vectors[at : at + _BATCH]).rows
        coded = pa.FixedSizeBinaryArray.from_buffers(kind, len(codes), [None, pa.py_buffer(np.ascontiguousarray(codes))])
        schema = pa.schema([pa.field("id", pa.string(), nullable=False), pa.field(name, kind), pa.field(key, pa.string())])
        source = pa.Table.from_arrays([part.column("id"), coded, part.column("embed_key")], schema=schema)

        def merge(table: Any, source: pa.Table = source) -> None:
            table.merge_insert("id").when_matched_update_all(where=f"target.embed_key = source.{key}").execute(source)

        store.write("storing codes", merge)
    return len(rows)


def drift(store: ChunkStore, codec: Codec) -> Drift:
    """Whether the newest rows, at most 2,000, still suit the codec; the reason names the remedy."""
    added = store.scan(["_rowid", "added_at"], f"{store.header.vector} IS NOT NULL")
    newest = added.sort_by([("added_at", "descending")]).slice(0, _DRIFT_ROWS).column("_rowid").to_pylist()
    if not newest:
        return codec.drift(np.empty((0, codec.dim), np.float32))
    return codec.drift(vectors_from(store.on_snapshot(lambda one: one.rows(newest, [store.header.vector]))))


def read_vectors(store: ChunkStore, *, limit: int | None = None, seed: int = 0) -> Vectors:
    """The stored vectors ``(n, dim)`` of one version, by chunk id; at most ``limit`` of them, chosen by chance."""
    column = store.header.vector
    table = store.scan(["id", column], f"{column} IS NOT NULL")
    if not len(table):
        return np.empty((0, store.header.card.dim), np.float32)
    order = np.argsort(table.column("id").to_numpy(), kind="stable")
    if limit is not None and len(order) > limit:
        order = order[np.sort(np.random.default_rng(seed).choice(len(order), size=limit, replace=False))]
    found: Vectors = vectors_from(table)[order]
    return found


class CodedRows:
    """The codes of one version in memory, with the addresses of their rows."""

    def __init__(self, snapshot: Snapshot, codec: Codec) -> None:
        header = snapshot.header
        name, _ = _columns(header)
        waiting = _waiting(header)
        with told(snapshot.path, "reading codes"):
            done = (
                snapshot.table.search()
                .select(["_rowid", name])
                .where(f"NOT {waiting} AND {header.vector} IS NOT NULL")
                .to_arrow()
            )
            left = snapshot.table.search().select(["_rowid", header.vector]).where(waiting).to_arrow()
        codes = [_bytes(done.column(name), codec.size_bytes)]
        if len(left):
            codes.append(codec.encode(vectors_from(left)).rows)
        self._snapshot, self._codec = snapshot, codec
        self._codes = Codes(np.concatenate(codes), codec.fingerprint)
        self._addresses = np.concatenate([table.column("_rowid").to_numpy() for table in (done, left)]).astype(np.uint64)

    def nearest(self, queries: Vectors, *, limit: int, columns: Sequence[str], condition: str | None) -> list[pa.Table]:
        """For each query the ``columns`` and the exact ``_distance`` of up to ``limit`` rows that meet ``condition``, nearest first."""
        keep = None
        if condition is not None:
            with told(self._snapshot.path, "filtering"):
                let = self._snapshot.table.search().select(["_rowid"]).where(condition).to_arrow().column("_rowid").to_numpy()
            keep = np.isin(self._addresses, let)
        found = self._codec.search(queries, self._codes, k=_OVERSAMPLE * limit, keep=keep).rows
        return [self._ordered(query, self._addresses[rows], limit, columns) for query, rows in zip(queries, found, strict=True)]

    def _ordered(self, query: Vectors, addresses: Any, limit: int, columns: Sequence[str]) -> pa.Table:
        import pyarrow as pa

        vector = self._snapshot.header.vector
        wanted = [name for name in dict.fromkeys([*columns, vector]) if name != "_rowid"]
        rows = self._snapshot.rows(addresses.tolist(), wanted)
        stored = vectors_from(rows.select([vector])) if len(rows) else np.empty((0, len(query)), np.float32)
        lengths = np.linalg.norm(stored, axis=1) * np.linalg.norm(query)
        distances = (1 - np.einsum("nd,d->n", stored, query) / np.where(lengths > 0, lengths, 1)).astype(np.float32)
        rows = rows.append_column("_distance", pa.array(distances))
        return rows.take(np.argsort(distances, kind="stable")[:limit]).select([*columns, "_distance"])


def _columns(header: Header) -> tuple[str, str]:
    """The columns of the codes, and of the addresses of the vectors they were made of. Another model's codes have other names."""
    mark = header.card.fingerprint[:16]
    return f"code_{mark}", f"code_key_{mark}"


def _waiting(header: Header) -> str:
    name, key = _columns(header)
    return f"({header.vector} IS NOT NULL AND ({name} IS NULL OR {key} IS NULL OR {key} <> embed_key))"


def _declare(store: ChunkStore, codec: Codec) -> None:
    import pyarrow as pa

    if codec.dim != store.header.card.dim:
        raise InvalidInputError(
            f"The codec {codec.name!r} is for {codec.dim} dimensions; {store.path} has {store.header.card.dim}."
        )
    name, key = _columns(store.header)
    fields = [
        pa.field(name, pa.binary(codec.size_bytes), metadata={_CODEC: b64encode(codec.to_bytes())}),
        pa.field(key, pa.string()),
    ]

    def add(table: Any) -> None:
        if name not in table.schema.names:
            table.add_columns(fields)

    store.write("adding columns for codes", add)


def _fitted(store: ChunkStore, name: str) -> Codec:
    pipeline = named(name)
    vectors = read_vectors(store, limit=_FIT_ROWS)
    if len(vectors):
        return pipeline.fit(vectors)
    if pipeline.learns:
        raise InvalidInputError(
            f"The codec {name!r} learns from stored vectors, and {store.path} holds none. Index documents first, or take one that learns "
            "nothing, such as 'rotated+int4'."
        )
    return pipeline.fit(np.eye(1, store.header.card.dim, dtype=np.float32))


def _bytes(column: Any, width: int) -> Any:
    """A column of fixed-size bytes as uint8 ``(n, width)``."""
    parts = [
        np.frombuffer(chunk.buffers()[1], np.uint8)[chunk.offset * width : (chunk.offset + len(chunk)) * width].reshape(-1, width)
        for chunk in column.chunks
        if len(chunk)
    ]
    return np.concatenate(parts) if parts else np.empty((0, width), np.uint8)
