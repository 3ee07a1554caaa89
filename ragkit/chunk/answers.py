"""Answers that were paid for, kept in one SQLite file under what was asked."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from threading import Lock

from ragkit.chunk.verdict import Reply
from ragkit.errors import StoreCorruptError, StoreError, StoreFormatError

_FORMAT = 1
_KEYS = 500
#: Seconds to wait for another process that writes.
_PATIENCE = 30.0


class Answers:
    """A file of replies by key. Several threads and processes may share it; it must lie on a local disk.

    Every answer is committed as it comes. Raises StoreError when the file cannot be opened or written, StoreCorruptError
    when it is no such file, StoreFormatError when a newer ragkit wrote it.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path).expanduser()
        self._lock = Lock()
        self._open: tuple[int, sqlite3.Connection] | None = None

    def load(self, keys: Sequence[bytes]) -> dict[bytes, Reply]:
        """The replies that are there."""
        found: dict[bytes, Reply] = {}
        wanted = list(dict.fromkeys(keys))
        with self._lock:
            try:
                for at in range(0, len(wanted), _KEYS):
                    part = wanted[at : at + _KEYS]
                    rows = self._connection().execute(
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
            connection = self._connection()
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
            if self._open is not None and self._open[0] == os.getpid():
                self._open[1].close()
            self._open = None

    def _connection(self) -> sqlite3.Connection:
        # SQLite's connections must not cross a fork.
        if self._open is None or self._open[0] != os.getpid():
            self._open = (os.getpid(), _connect(self.path))
        return self._open[1]


def _connect(path: Path) -> sqlite3.Connection:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(path, timeout=_PATIENCE, check_same_thread=False)
    except (OSError, sqlite3.Error) as error:
        raise StoreError(
            f"{str(path)!r} cannot be opened: {error}. Give a file on a local disk that you may write to."
        ) from error
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        with closing(connection.execute("PRAGMA user_version")) as cursor:
            version = int(cursor.fetchone()[0])
        if version > _FORMAT:
            raise StoreFormatError(
                f"The answers in {str(path)!r} have format {version}; this version knows {_FORMAT}. Upgrade ragkit, or give another path."
            )
        with connection:
            connection.execute(
                "CREATE TABLE IF NOT EXISTS answers (key BLOB PRIMARY KEY, text BLOB NOT NULL, stopped TEXT NOT NULL, "
                "read INTEGER NOT NULL, cached INTEGER NOT NULL, written INTEGER NOT NULL) WITHOUT ROWID"
            )
            connection.execute(f"PRAGMA user_version = {_FORMAT}")
    except sqlite3.OperationalError as error:
        connection.close()
        raise StoreError(
            f"{str(path)!r} cannot be opened: {error}. Give a file on a local disk that you may write to."
        ) from error
    except sqlite3.DatabaseError as error:
        connection.close()
        raise StoreCorruptError(f"{str(path)!r} is no file of answers, or is damaged: {error}. Give another path.") from error
    except StoreFormatError:
        connection.close()
        raise
    return connection
