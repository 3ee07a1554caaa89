"""Answers that were paid for, kept in one SQLite file under what was asked."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from pathlib import Path
from threading import Lock

from ragkit.chunk.verdict import Reply
from ragkit.errors import StoreCorruptError, StoreError
from ragkit.sqlite import SqliteFile

_KEYS = 500
_SCHEMA = (
    "CREATE TABLE IF NOT EXISTS answers (key BLOB PRIMARY KEY, text BLOB NOT NULL, stopped TEXT NOT NULL, "
    "read INTEGER NOT NULL, cached INTEGER NOT NULL, written INTEGER NOT NULL) WITHOUT ROWID"
)


class Answers:
    """A file of replies by key. Several threads and processes may share it; it must lie on a local disk.

    Every answer is committed as it comes. Raises StoreError when the file cannot be opened or written, StoreCorruptError
    when it is no such file, StoreFormatError when a newer ragkit wrote it.
    """

    def __init__(self, path: str | Path) -> None:
        self._file = SqliteFile(
            path, what="The file of answers", schema=_SCHEMA, remedy="Restore it from a backup, or give another path."
        )
        self.path = self._file.path
        self._lock = Lock()

    def load(self, keys: Sequence[bytes]) -> dict[bytes, Reply]:
        """The replies that are there."""
        found: dict[bytes, Reply] = {}
        wanted = list(dict.fromkeys(keys))
        with self._lock:
            try:
                for at in range(0, len(wanted), _KEYS):
                    part = wanted[at : at + _KEYS]
                    rows = self._file.connection().execute(
                        f"SELECT key, text, stopped, read, cached, written FROM answers WHERE key IN ({','.join('?' * len(part))})",
                        part,
                    )
                    for key, text, stopped, read, cached, written in rows:
                        answer = text.decode("utf-8", "surrogatepass")
                        found[key] = Reply(text=answer, stopped=stopped, tokens_in=read, tokens_cached=cached, tokens_out=written)
            except (sqlite3.Error, UnicodeDecodeError) as error:
                raise StoreCorruptError(
                    f"The answers in {str(self.path)!r} cannot be read: {error}. Restore the file from a backup, or name another."
                ) from error
        return found

    def save(self, key: bytes, reply: Reply) -> None:
        """Keep one reply, at once."""
        row = (
            key,
            reply.text.encode("utf-8", "surrogatepass"),
            reply.stopped,
            reply.tokens_in,
            reply.tokens_cached,
            reply.tokens_out,
        )
        with self._lock:
            connection = self._file.connection()
            try:
                with connection:
                    connection.execute("INSERT OR REPLACE INTO answers VALUES (?, ?, ?, ?, ?, ?)", row)
            except sqlite3.Error as error:
                raise StoreError(
                    f"An answer could not be kept in {str(self.path)!r}: {error}. Nothing more is asked, so that nothing is "
                    "paid for in vain. Free space, and run again."
                ) from error

    def close(self) -> None:
        """Close the file; the next call opens it again."""
        with self._lock:
            self._file.close()
