"""A SQLite file of ours: opened once a process, checked for its format, its errors translated."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from ragkit.errors import StoreCorruptError, StoreError, StoreFormatError, StoreFullError

#: Seconds to wait for another process that writes, unless told otherwise.
_PATIENCE = 30.0
_FULL = (sqlite3.SQLITE_FULL, sqlite3.SQLITE_READONLY)
_DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR)
#: What growing the memory that processes share says on a full disk.
_SHARED_FULL = sqlite3.SQLITE_IOERR_SHMSIZE


class SqliteFile:
    """The file at ``path`` in WAL mode, made on first use with ``schema`` (one CREATE TABLE IF NOT EXISTS statement).

    ``what`` names the file in messages ("The vector cache"), ``remedy`` says what to do when it is damaged. ``durable``
    False lets the newest commits be lost with the power, never the file. ``checkpoints`` False leaves it to the caller to move
    the write-ahead log into the file, so that no commit waits for the disk. ``patience`` is how many seconds to wait for another
    process that writes (None: 30). Several threads and processes may share it, on a local disk; callers hold a lock of their own
    around a connection.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        what: str,
        schema: str,
        remedy: str,
        format: int = 1,
        durable: bool = True,
        checkpoints: bool = True,
        patience: float | None = None,
    ) -> None:
        self.path = Path(path).expanduser()
        self._what, self._schema, self._remedy = what, schema, remedy
        self._format, self._durable, self._checkpoints, self._patience = format, durable, checkpoints, patience
        self._open: tuple[int, sqlite3.Connection] | None = None

    def connection(self) -> sqlite3.Connection:
        """This process's connection: SQLite's must not cross a fork.

        Raises StoreError when the file cannot be opened, StoreCorruptError when it is no such file, StoreFormatError when a
        newer ragkit wrote it.
        """
        if self._open is None or self._open[0] != os.getpid():
            self._open = (os.getpid(), self._connect())
        return self._open[1]

    @contextmanager
    def told(self, doing: str) -> Iterator[None]:
        """Raise SQLite's failures as StoreFullError, StoreCorruptError or StoreError, with what was being done."""
        try:
            yield
        except sqlite3.Error as error:
            text = f"{self._what} {str(self.path)!r} failed while {doing}: {error}."
            code = getattr(error, "sqlite_errorcode", 0)
            if code & 0xFF in _FULL or code == _SHARED_FULL:
                raise StoreFullError(f"No space left, or no leave to write: {text} Free space, then run it again.") from error
            if code & 0xFF in _DAMAGED:
                raise StoreCorruptError(f"{text} It is damaged. {self._remedy}") from error
            raise StoreError(text) from error

    def close(self) -> None:
        """Close the file; the next call opens it again."""
        if self._open is not None and self._open[0] == os.getpid():
            self._open[1].close()
        self._open = None

    def _waits(self) -> float:
        return _PATIENCE if self._patience is None else self._patience

    def _connect(self) -> sqlite3.Connection:
        cannot = f"{self._what} {str(self.path)!r} cannot be opened: {{}}. Give a file on a local disk that you may write to."
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            connection = sqlite3.connect(self.path, timeout=self._waits(), check_same_thread=False)
        except (OSError, sqlite3.Error) as error:
            raise StoreError(cannot.format(error)) from error
        try:
            self._prepare(connection)
        except BaseException as error:
            connection.close()
            if isinstance(error, sqlite3.OperationalError) and error.sqlite_errorcode == sqlite3.SQLITE_FULL:
                raise StoreFullError(cannot.format(error)) from error
            if isinstance(error, sqlite3.OperationalError):
                raise StoreError(cannot.format(error)) from error
            if isinstance(error, sqlite3.DatabaseError):
                raise StoreCorruptError(
                    f"{self._what} {str(self.path)!r} is another kind of file, or is damaged: {error}. {self._remedy}"
                ) from error
            raise
        return connection

    def _prepare(self, connection: sqlite3.Connection) -> None:
        _to_wal(connection, self._waits())
        if not self._durable:
            connection.execute("PRAGMA synchronous = NORMAL")
        if not self._checkpoints:
            connection.execute("PRAGMA wal_autocheckpoint = 0")
        with closing(connection.execute("PRAGMA user_version")) as cursor:
            version = int(cursor.fetchone()[0])
        if version > self._format:
            raise StoreFormatError(
                f"{self._what} {str(self.path)!r} has format {version}; this version knows {self._format}. Upgrade ragkit, or give "
                "another path."
            )
        if version == self._format:
            return
        with connection:
            connection.execute(self._schema)
            connection.execute(f"PRAGMA user_version = {self._format}")


def _to_wal(connection: sqlite3.Connection, patience: float) -> None:
    """Switch to WAL mode. SQLite itself does not wait here for others who open the same new file at the same time."""
    until = time.monotonic() + patience
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > until:
                raise
        time.sleep(0.01)


@contextmanager
def alone(path: Path, *, wait: float) -> Iterator[bool]:
    """True for one thread at a time of all processes; False for the others, after ``wait`` seconds. Raises sqlite3.Error.

    The lock is that of a SQLite file with nothing in it, so it ends with its process.
    """
    with closing(sqlite3.connect(path, timeout=wait, check_same_thread=False)) as connection:
        try:
            connection.execute("BEGIN EXCLUSIVE")
            first = True
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:
                raise
            first = False
        yield first
