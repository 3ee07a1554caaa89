"""Entries as rows of the log, and back."""

from __future__ import annotations

import math
from typing import Any

from ragkit.cache.entry import Entry
from ragkit.seams import Vectors
from ragkit.store.entries import LogRow

_ABSENT: tuple[Any, ...] = ("", None, False, [], ())


def row_of(entry: Entry, vector: Vectors | None) -> LogRow:
    """The row of kind "put" that tells of ``entry``, with its vector ``(dim,)`` where it has one."""
    detail: dict[str, Any] = {
        "tenant": entry.tenant,
        "expires": None if math.isinf(entry.expires) else entry.expires,
        "opaque": entry.opaque,
        "writer": entry.writer,
        "confirmed": entry.confirmed,
        "tags": list(entry.tags),
        "documents": [list(pair) for pair in entry.documents],
        "group": entry.group,
        "cost": entry.cost,
    }
    return LogRow(
        kind="put",
        at=entry.at,
        entry=entry.id,
        scope=entry.scope,
        key=entry.key,
        prompt=entry.prompt,
        answer=entry.answer,
        model=entry.model,
        vector=vector.tobytes() if vector is not None else b"",
        detail={name: value for name, value in detail.items() if value not in _ABSENT},
    )


def entry_from(row: LogRow) -> Entry:
    """The entry that a row of kind "put" tells of."""
    detail = row.detail
    return Entry(
        id=row.entry,
        rows=[row.row],
        at=row.at,
        scope=row.scope,
        tenant=detail.get("tenant", ""),
        key=row.key,
        prompt=row.prompt,
        answer=row.answer,
        model=row.model,
        dim=len(row.vector) // 4,
        expires=float(detail.get("expires", math.inf)),
        opaque=detail.get("opaque", False),
        writer=detail.get("writer", ""),
        confirmed=detail.get("confirmed", False),
        tags=tuple(detail.get("tags", ())),
        documents=tuple((name, version) for name, version in detail.get("documents", ())),
        group=detail.get("group", row.entry),
        cost=detail.get("cost", 1.0),
        used=row.at / 1e6,
    )
