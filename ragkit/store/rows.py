"""Rows of the table: what goes in, what comes out."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from ragkit.errors import StoreFormatError
from ragkit.seams import Vectors
from ragkit.store.escape import escape, unescape
from ragkit.store.filters import facts
from ragkit.store.schema import Header, is_vector, make_schema
from ragkit.types import AS_IT_STANDS, Chunk, Encoding, Span

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """A stored chunk with its lines and its document's digest."""

    chunk: Chunk
    lines: tuple[int, int]
    document: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Row(Stored):
    """A stored chunk with its vector (float32 ``(dim,)``) and its BM25 tokens too."""

    vector: Vectors = field(hash=False)
    lex: list[str] = field(hash=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentRows:
    """A whole document, ready to be stored: one entry per chunk in every sequence, ``vectors`` ``(n, dim)`` float32."""

    doc_id: str
    digest: str
    recipe: str
    chunks: Sequence[Chunk]
    lines: Sequence[tuple[int, int]]
    lex: Sequence[Sequence[str]]
    keys: Sequence[str]
    vectors: Vectors = field(hash=False)


_JSON = json.JSONEncoder(allow_nan=False).encode
_CHUNK_COLUMNS = (
    "id", "doc_id", "ordinal", "start", "end", "window_start", "window_end", "line_first", "line_last", "text", "context", "n_tokens", "metadata",
)  # fmt: skip


def chunk_columns(header: Header) -> list[str]:
    """The columns that ``chunks_from`` reads."""
    return [*_CHUNK_COLUMNS, "encoding"] if header.format > 1 else list(_CHUNK_COLUMNS)


def stored_columns(header: Header) -> list[str]:
    """The columns that ``stored_from`` reads."""
    return [*chunk_columns(header), "doc_digest"]


def row_columns(header: Header) -> list[str]:
    """The columns that ``rows_from`` reads."""
    return [*stored_columns(header), "lex", header.vector]


def to_arrow(documents: Sequence[DocumentRows], header: Header, added_at: int) -> pa.Table:
    """The chunk rows of whole documents. ``added_at`` is in microseconds since 1970.

    Raises StoreFormatError for an encoding that a table of format 1 cannot hold, InvalidInputError for metadata of another type
    than a column declares.
    """
    import pyarrow as pa

    schema = make_schema(header)
    pairs = [(document, chunk) for document in documents for chunk in document.chunks]
    chunks = [chunk for _, chunk in pairs]
    lines = [pair for document in documents for pair in document.lines]
    vectors = np.concatenate([document.vectors for document in documents]) if documents else np.empty((0, 0), np.float32)
    if header.format < 2 and any(chunk.encoding != AS_IT_STANDS for chunk in chunks):
        raise StoreFormatError(
            f"The database is in format {header.format}, written by ragkit {header.ragkit}, which holds no blended or late chunks. "
            "Index the documents into another path to use them."
        )
    metadata = [_JSON(chunk.metadata) for chunk in chunks]
    # The chunks of a document mostly share their metadata. JSON is the key because 1, 1.0 and True are equal in Python.
    known = {(chunk.doc_id, text): chunk for chunk, text in zip(chunks, metadata, strict=True)}
    flattened = {key: facts(chunk.metadata, chunk.doc_id) for key, chunk in known.items()}
    columns: dict[str, Any] = {
        "id": [escape(chunk.id) for chunk in chunks],
        "doc_id": [escape(chunk.doc_id) for chunk in chunks],
        "doc_digest": [document.digest for document, _ in pairs],
        "recipe": [escape(document.recipe) for document, _ in pairs],
        "ordinal": [chunk.index for chunk in chunks],
        "start": [chunk.start for chunk in chunks],
        "end": [chunk.end for chunk in chunks],
        "window_start": [chunk.window.start for chunk in chunks],
        "window_end": [chunk.window.end for chunk in chunks],
        "line_first": [first for first, _ in lines],
        "line_last": [last for _, last in lines],
        "text": [escape(chunk.text) for chunk in chunks],
        "context": [escape(chunk.context) for chunk in chunks],
        "encoding": [_encoding_json(chunk.encoding) for chunk in chunks],
        "n_tokens": [chunk.n_tokens for chunk in chunks],
        "metadata": metadata,
        "facts": [flattened[chunk.doc_id, text] for chunk, text in zip(chunks, metadata, strict=True)],
        "lex": [escape(" ".join(tokens)) for document in documents for tokens in document.lex],
        "embed_key": [key for document in documents for key in document.keys],
        "added_at": [added_at] * len(chunks),
    }
    for column in header.columns:
        typed = {key: column.value(chunk.metadata, chunk.doc_id) for key, chunk in known.items()}
        columns[column.name] = [typed[chunk.doc_id, text] for chunk, text in zip(chunks, metadata, strict=True)]
    arrays = []
    for column in schema:
        if column.name == header.vector:
            flat = pa.array(np.ascontiguousarray(vectors, np.float32).reshape(-1))
            arrays.append(pa.FixedSizeListArray.from_arrays(flat, column.type.list_size))
        else:
            arrays.append(pa.array(columns[column.name], type=column.type))
    return pa.Table.from_arrays(arrays, schema=schema)


@lru_cache(maxsize=256)
def _encoding_json(encoding: Encoding) -> str:
    return "" if encoding == AS_IT_STANDS else _JSON(asdict(encoding))


@lru_cache(maxsize=256)
def _encoding_from(text: str) -> Encoding:
    return Encoding(**json.loads(text)) if text else AS_IT_STANDS


def chunks_from(table: pa.Table) -> Iterator[Chunk]:
    """The chunks of an Arrow table that has ``chunk_columns``."""
    wanted = [name for name in (*_CHUNK_COLUMNS, "encoding") if name in table.column_names]
    for row in table.select(wanted).to_pylist():
        yield Chunk(
            id=unescape(row["id"]),
            doc_id=unescape(row["doc_id"]),
            start=row["start"],
            end=row["end"],
            text=unescape(row["text"]),
            window=Span(row["window_start"], row["window_end"]),
            index=row["ordinal"],
            n_tokens=row["n_tokens"],
            context=unescape(row["context"]),
            encoding=_encoding_from(row.get("encoding", "")),
            metadata=json.loads(row["metadata"]),
        )


def vectors_from(table: pa.Table, name: str | None = None) -> Vectors:
    """The column of vectors as float32 ``(n, dim)``; zeros where a row waits for its vector while a database is moved."""
    column = table.column(name or next(one for one in table.column_names if is_vector(one))).combine_chunks()
    dim = column.type.list_size
    flat: Vectors = np.asarray(column.flatten().to_numpy(zero_copy_only=False), dtype=np.float32).reshape(-1, dim)
    if not column.null_count:
        return flat
    found: Vectors = np.zeros((len(table), dim), np.float32)
    found[column.is_valid().to_numpy(zero_copy_only=False)] = flat
    return found


def stored_from(table: pa.Table) -> Iterator[Stored]:
    """The rows of an Arrow table that has ``stored_columns``."""
    lines = zip(table.column("line_first").to_pylist(), table.column("line_last").to_pylist(), strict=True)
    for chunk, place, document in zip(chunks_from(table), lines, table.column("doc_digest").to_pylist(), strict=True):
        yield Stored(chunk=chunk, lines=place, document=document)


def rows_from(table: pa.Table) -> list[Row]:
    """The rows of an Arrow table that has ``row_columns``."""
    lex = (unescape(text).split(" ") if text else [] for text in table.column("lex").to_pylist())
    return [
        Row(chunk=one.chunk, lines=one.lines, document=one.document, vector=vector, lex=tokens)
        for one, vector, tokens in zip(stored_from(table), vectors_from(table) if len(table) else (), lex, strict=True)
    ]
