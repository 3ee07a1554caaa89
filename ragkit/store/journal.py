"""Journal: rows on their way into a cache's table, in a SQLite file beside it that all processes read and write."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import Any, NamedTuple

from ragkit.errors import StoreCorruptError
from ragkit.sqlite import SqliteFile, alone
from ragkit.store.log_rows import COLUMNS, LogRow, values_of

_NAMES = ", ".join(COLUMNS)
_SCHEMA = f"CREATE TABLE IF NOT EXISTS waiting (place INTEGER PRIMARY KEY AUTOINCREMENT, {_NAMES})"
_INSERT = f"INSERT INTO waiting ({_NAMES}) VALUES ({', '.join('?' * len(COLUMNS))})"
#: Rows that are deleted in one transaction: writers wait for it.
_AT_ONCE = 64
#: Pages of the write-ahead log from which on writers wait until all of it is moved, and seconds that this waits for readers.
_LONG, _PAUSE = 4096, 0.5


class Unread(NamedTuple):
    """Rows behind a place as ``values_of`` gives them, the place to go on from, and whether rows between the two are in the table only."""

    rows: list[tuple[Any, ...]]
    place: int
    missed: bool


class Journal:
    """The file at ``path``. Rows are numbered without gaps by their ``place``, and leave from the lowest place on.

    Reading, writing and keeping in shape have a connection each, so that nobody who looks waits for somebody who does the others.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        options: dict[str, Any] = {
            "what": "The journal of the cache",
            "schema": _SCHEMA,
            "remedy": f"Remove {path.parent}: a cache fills again by itself.",
            "durable": False,
            "checkpoints": False,
        }
        self._reader, self._writer = SqliteFile(path, **options), SqliteFile(path, **options)
        self._keeper = SqliteFile(path, **options, patience=_PAUSE)
        self._read_lock, self._write_lock, self._keep_lock = Lock(), Lock(), Lock()
        self._name = str(path)
        self._reader.connection()
        # While it is open no other file can have its inode.
        self._inode = os.stat(self._name).st_ino

    def exists(self) -> bool:
        """False when the file was removed, or another one lies there now."""
        try:
            return os.stat(self._name).st_ino == self._inode
        except OSError:
            return False

    def version(self, *, wait: bool = True) -> int | None:
        """Another number after every commit of another connection; costs microseconds. None, without ``wait``, while others read."""
        if not self._read_lock.acquire(blocking=wait):
            return None
        try:
            found: int = self._reader.connection().execute("PRAGMA data_version").fetchone()[0]
            return found
        except sqlite3.Error:
            # Every look-up comes here: what tells of errors is entered when there is one.
            with self._reader.told("looking for news"):
                raise
        finally:
            self._read_lock.release()

    def since(self, place: int) -> Unread:
        """What was written behind ``place``."""
        with self._read_lock, self._reader.told("reading"), self._reader.connection() as connection:
            connection.execute("BEGIN")
            newest = connection.execute("SELECT seq FROM sqlite_sequence").fetchone()
            found = connection.execute(f"SELECT {_NAMES} FROM waiting WHERE place > ? ORDER BY place", (place,)).fetchall()
        reached = newest[0] if newest else 0
        return Unread(found, reached, len(found) < reached - place)

    def append(self, rows: Sequence[LogRow]) -> int:
        """Commit rows, all or none; on return they survive the end of this process. Returns the place of the last."""
        values = list(map(values_of, rows))
        with self._write_lock, self._writer.told("storing in the cache"):
            self._demand()
            with self._writer.connection() as connection:
                connection.executemany(_INSERT, values)
                return int(connection.execute("SELECT seq FROM sqlite_sequence").fetchone()[0])

    def _demand(self) -> None:
        if not self.exists():
            raise StoreCorruptError(f"The cache {self.path.parent} was removed while it was open. Open it again.")

    def oldest(self, count: int) -> tuple[list[tuple[Any, ...]], int]:
        """The first ``count`` rows at most, as ``values_of`` gives them, and the place of the last."""
        with self._keep_lock, self._keeper.told("reading"):
            self._demand()
            found = (
                self._keeper.connection()
                .execute(f"SELECT {_NAMES}, place FROM waiting ORDER BY place LIMIT ?", (count,))
                .fetchall()
            )
        return [values[:-1] for values in found], found[-1][-1] if found else 0

    def forget(self, place: int) -> None:
        """Delete the rows up to ``place``, from the lowest on, a few at a time."""
        while True:
            with self._write_lock, self._writer.told("shortening"), self._writer.connection() as connection:
                first = connection.execute("SELECT min(place) FROM waiting").fetchone()[0]
                if first is None or first > place:
                    break
                connection.execute("DELETE FROM waiting WHERE place <= ?", (min(place, first + _AT_ONCE - 1),))

    def settle(self) -> None:
        """Move SQLite's write-ahead log into the file, so that it is written from its beginning again and does not grow on.

        That needs a moment in which nothing is left to move; where the log is long, writers wait for it.
        """
        with self._keep_lock, self._keeper.told("shortening"):
            connection = self._keeper.connection()
            _, pages, _ = connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
            if pages > _LONG:
                connection.execute("PRAGMA wal_checkpoint(RESTART)").fetchall()

    @contextmanager
    def keeping(self, wait: float) -> Iterator[bool]:
        """True for one thread at a time of all processes; False for the others, after ``wait`` seconds."""
        with self._keeper.told("keeping it in shape"), alone(self.path.with_suffix(".keeping"), wait=wait) as first:
            yield first

    def close(self) -> None:
        """Close the file."""
        with self._read_lock, self._write_lock, self._keep_lock:
            for file in (self._reader, self._writer, self._keeper):
                file.close()
