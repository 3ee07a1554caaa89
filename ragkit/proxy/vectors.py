"""The embeddings that a server has seen, by content, in one SQLite file of limited size."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping, Sequence
from pathlib import Path
from threading import Lock
from typing import Any

from ragkit.sqlite import SqliteFile

#: Rows in the order in which they were stored: ``age`` grows with every row, so the lowest are the oldest.
_SCHEMA = "CREATE TABLE IF NOT EXISTS kept (age INTEGER PRIMARY KEY AUTOINCREMENT, key TEXT NOT NULL UNIQUE, value TEXT NOT NULL)"
_AT_ONCE = 500
#: Seconds to wait for another server that writes: a client waits, too, and what is not kept can be asked for again.
_PATIENCE = 1.0
#: Share of the rows that is given up at a time, from the oldest on, when the file is full.
_SHARE = 10


class Vectors:
    """Embeddings by key in the file at ``path``, which several servers may share.

    Above ``limit`` bytes (None: no limit) the ones stored longest ago are given up, a tenth at a time. SQLite keeps the room for
    new ones, so the file stays about as large as it was.
    """

    def __init__(self, path: Path, *, limit: int | None = None) -> None:
        self._file = SqliteFile(
            path,
            what="The file of embeddings",
            schema=_SCHEMA,
            remedy="Delete it: it only saves time.",
            durable=False,
            patience=_PATIENCE,
        )
        self._limit = limit
        self._lock = Lock()

    def load(self, keys: Sequence[str]) -> dict[str, Any]:
        """The embeddings that are there, as JSON values."""
        found: dict[str, Any] = {}
        with self._lock:
            for at in range(0, len(keys), _AT_ONCE):
                part = keys[at : at + _AT_ONCE]
                rows = self._file.connection().execute(
                    f"SELECT key, value FROM kept WHERE key IN ({','.join('?' * len(part))})", part
                )
                found |= {key: json.loads(value) for key, value in rows}
        return found

    def save(self, values: Mapping[str, Any]) -> None:
        """Keep embeddings, all or none, in place of the oldest where there is no room."""
        rows = [(key, json.dumps(value)) for key, value in values.items()]
        with self._lock, self._file.connection() as connection:
            connection.executemany("INSERT OR REPLACE INTO kept (key, value) VALUES (?, ?)", rows)
            while self._limit is not None and _used(connection) > self._limit:
                first, last = connection.execute("SELECT min(age), max(age) FROM kept").fetchone()
                if first is None:
                    break
                connection.execute("DELETE FROM kept WHERE age <= ?", (first + (last - first) // _SHARE,))

    def __len__(self) -> int:
        with self._lock:
            return int(self._file.connection().execute("SELECT count(*) FROM kept").fetchone()[0])

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._file.close()


def _used(connection: sqlite3.Connection) -> int:
    """Bytes of the pages that hold something."""
    size, pages, free = (
        connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_size", "page_count", "freelist_count")
    )
    return int(size * (pages - free))
