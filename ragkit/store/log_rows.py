"""Rows of a cache's log, and their forms in Arrow and in SQLite."""

from __future__ import annotations

import json
import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ragkit.store.escape import escape, unescape

if TYPE_CHECKING:
    import pyarrow as pa

_TEXTS = ("kind", "entry", "scope", "key", "prompt", "answer", "model")
#: The columns of both stores, in order.
COLUMNS = ("row", "at", *_TEXTS, "detail", "vector")


@dataclass(frozen=True, slots=True, kw_only=True)
class LogRow:
    """One thing that happened: ``kind`` says what, ``at`` when (microseconds since 1970), ``detail`` (JSON) all the rest.

    ``row`` is a random number that names the row. ``vector`` holds float32 bytes of the model with the fingerprint ``model``.
    """

    kind: str
    at: int
    entry: str = ""
    scope: str = ""
    key: str = ""
    prompt: str = ""
    answer: str = ""
    model: str = ""
    vector: bytes = field(default=b"", repr=False)
    detail: Mapping[str, Any] = field(default_factory=dict, hash=False)
    row: int = field(default_factory=lambda: random.getrandbits(62))


def values_of(row: LogRow) -> tuple[Any, ...]:
    """What stands in ``COLUMNS`` for a row; texts are valid UTF-8."""
    texts = [escape(getattr(row, name)) for name in _TEXTS]
    return (row.row, row.at, *texts, json.dumps(row.detail, separators=(",", ":"), allow_nan=False), row.vector)


def row_from(values: Sequence[Any]) -> LogRow:
    """The row whose ``values_of`` these are."""
    number, at, *texts, detail, vector = values
    named = dict(zip(_TEXTS, map(unescape, texts), strict=True))
    return LogRow(row=number, at=at, detail=json.loads(detail), vector=vector, **named)


def fields() -> list[Any]:
    """The fields of the Arrow table."""
    import pyarrow as pa

    types = {"row": pa.int64(), "at": pa.int64(), "vector": pa.binary()}
    return [pa.field(name, types.get(name, pa.string()), nullable=False) for name in COLUMNS]


def to_arrow(found: Iterable[Sequence[Any]]) -> pa.Table:
    """Rows as ``values_of`` gives them, as a table."""
    import pyarrow as pa

    columns = list(zip(*found, strict=True)) or [()] * len(COLUMNS)
    schema = pa.schema(fields())
    arrays = [pa.array(column, type=one.type) for column, one in zip(columns, schema, strict=True)]
    return pa.Table.from_arrays(arrays, schema=schema)


def from_arrow(table: pa.Table) -> list[LogRow]:
    """The rows of a table."""
    return list(map(row_from, zip(*(table.column(name).to_pylist() for name in COLUMNS), strict=True)))
