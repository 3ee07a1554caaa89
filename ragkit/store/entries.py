"""EntryLog: what a semantic cache keeps on disk; rows are only ever appended, and read onwards from where one was."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from operator import methodcaller
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, Self

from ragkit.errors import StoreCorruptError, StoreError, StoreFormatError
from ragkit.sqlite import alone
from ragkit.store import database
from ragkit.store.failures import told
from ragkit.store.journal import Journal
from ragkit.store.log_rows import LogRow, fields, from_arrow, row_from, to_arrow
from ragkit.store.patience import keep_trying
from ragkit.types import ModelCard

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["EntryLog", "LogRow"]

_TABLE = "entries"
_FORMAT = 2
_KEY = b"ragkit"
_REMEDY = "remove it: a cache fills again by itself"
_ALL = 1 << 30
_BATCH = 4096
_KEEP = timedelta(minutes=10)
#: Seconds to wait for another process that creates the same cache.
_PATIENCE = 30.0


class EntryLog:
    """The table ``entries`` of the database at ``path``, and the journal of the rows on their way into it.

    ``append`` commits to the journal, ``fold`` moves rows from there into the table, many at once. A row is read once, wherever it
    lies: readers look into the journal first and then, where rows have left it unseen, into the table. ``changed`` and ``unread``
    are for one thread at a time; ``append`` may run beside them, and ``fold``, ``remove`` and ``compact`` within ``keeping``.
    """

    def __init__(self, path: Path, table: Any) -> None:
        self.path = path
        self._lock = Lock()
        self._known: set[int] = set()
        self._journal: Journal | None = None
        self._again = False
        self._take(table)

    def _take(self, table: Any) -> None:
        header = _read_header(table.schema, self.path)
        self.card: ModelCard | None = header["card"]
        self._table, self._born = table, header.get("born") or 0
        if self._journal is not None:
            self._journal.close()
        # The journal of another table that lay here is another file.
        self._journal = Journal(self.path / f"journal-{self._born:016x}.sqlite")
        self._version: int | None = -1
        self._place = 0

    @staticmethod
    def exists(path: str | Path) -> bool:
        """True when there is a log at ``path``. Raises StoreError for a file or a folder of something else."""
        return database.exists(Path(path), table=_TABLE)

    @classmethod
    def open(cls, path: str | Path, *, card: Callable[[], ModelCard | None]) -> Self:
        """The log at ``path``, made with ``card()`` in its header where there is none; ``card`` on the result is the header's.

        Raises StoreError where something else is, StoreFormatError for a newer format, StoreCorruptError, StoreFullError.
        """
        place = Path(path)
        found = cls.exists(place)
        with told(place, "creating the folder", remedy=_REMEDY):
            place.parent.mkdir(parents=True, exist_ok=True)
        connection = database.connect(place)
        if not found:
            made = card()
            # LanceDB lets two create a table at once: that of the second takes the place of the first's.
            folder = place / f"{_TABLE}.lance"
            with told(place, "creating the folder", remedy=_REMEDY):
                folder.mkdir(parents=True, exist_ok=True)
            with told(place, "creating the cache", remedy=_REMEDY), alone(folder / "creating", wait=_PATIENCE) as first:
                if not first:
                    raise StoreError(f"Another process has been creating the cache {place} for {_PATIENCE:g} s. Try again.")
                if not cls.exists(place):
                    connection.create_table(_TABLE, schema=_schema(made))
        with told(place, "opening", remedy=_REMEDY):
            table = connection.open_table(_TABLE)
        return cls(place, table)

    # Reading

    def changed(self, *, wait: bool = True) -> bool:
        """True when there may be rows that ``unread`` has not returned, also, without ``wait``, while another thread reads.

        Costs microseconds. Raises StoreError.
        """
        journal = self._opened()
        return self._again or not journal.exists() or journal.version(wait=wait) != self._version

    def again(self) -> None:
        """Let the next ``unread`` return all rows, as if the log had been begun anew."""
        self._again = True

    def unread(self) -> tuple[list[LogRow], bool]:
        """Rows not returned before and not appended here, and whether the log was begun anew (forget all, then take them)."""
        if not self._opened().exists():
            self._begin_anew()
        if self._again:
            with self._lock:
                self._known.clear()
                self._version, self._place = -1, 0
        journal = self._opened()
        # Before reading: what comes meanwhile is read again rather than never.
        version = journal.version()
        found = journal.since(self._place)
        with self._lock:
            rows = {values[0]: row_from(values) for values in found.rows if values[0] not in self._known}
            if found.missed or self._version == -1:
                # In this order: rows leave the journal after they have come to the table.
                rows |= {row.row: row for row in from_arrow(self._unknown()) if row.row not in self._known}
            self._known.update(rows)
            self._version, self._place = version, max(self._place, found.place)
            anew, self._again = self._again, False
        return list(rows.values()), anew

    def _begin_anew(self) -> None:
        with told(self.path, "opening", remedy=_REMEDY):
            table = database.connect(self.path).open_table(_TABLE)
        if (_read_header(table.schema, self.path).get("born") or 0) == self._born:
            raise StoreCorruptError(f"The journal of the cache {self.path} was removed while it was open; {_REMEDY}.")
        self._again = True
        self._take(table)

    def _unknown(self) -> pa.Table:
        import numpy as np
        import pyarrow as pa

        with told(self.path, "reading the cache", remedy=_REMEDY):
            if not self._known:
                return self._open().search().limit(_ALL).to_arrow()
            numbers = self._open().search().select(["row"]).limit(_ALL).to_arrow().column("row").to_numpy()
            missing = numbers[~np.isin(numbers, np.fromiter(self._known, np.int64, len(self._known)))].tolist()
            parts = [
                self._open().search().where(_among(missing[at : at + _BATCH])).limit(_ALL).to_arrow()
                for at in range(0, len(missing), _BATCH)
            ]
        return pa.concat_tables(parts) if parts else to_arrow([])

    # Writing

    def append(self, rows: Sequence[LogRow]) -> None:
        """Commit rows, all or none; on return they survive the end of this process, and the others see them.

        Raises StoreFullError, StoreCorruptError, StoreError; then nothing was written.
        """
        if not rows:
            return
        journal, numbers = self._opened(), {row.row for row in rows}
        with self._lock:
            self._known |= numbers
        try:
            place = journal.append(rows)
        except BaseException:
            with self._lock:
                self._known -= numbers
            raise
        with self._lock:
            # Nobody came in between: these rows are all that is new, and need not be read.
            if journal is self._journal and self._place == place - len(rows):
                self._place = place

    # Keeping in shape

    @contextmanager
    def keeping(self, *, wait: float = 0.0) -> Iterator[bool]:
        """True for one at a time, of all processes; False for the others, after ``wait`` seconds."""
        with self._opened().keeping(wait) as alone:
            yield alone

    def fold(self) -> int:
        """Move the rows that the journal holds now into the table; returns how many that were.

        A kill in between leaves rows in both; they are not taken to the table twice.
        """
        journal, count = self._opened(), 0
        while True:
            found, place = journal.oldest(_BATCH)
            if not found:
                return count
            with told(self.path, "reading the cache", remedy=_REMEDY):
                where = _among(values[0] for values in found)
                there = self._open().search().select(["row"]).where(where).limit(_ALL).to_arrow()
            known = set(there.column("row").to_pylist())
            table = to_arrow(values for values in found if values[0] not in known)
            if len(table):
                self._write("moving rows into the table", methodcaller("add", table))
            journal.forget(place)
            journal.settle()
            count += len(found)
            if len(found) < _BATCH:
                return count

    def remove(self, numbers: Sequence[int]) -> None:
        """Delete rows of the table by number, in this order, a few thousand in a commit; ``fold`` before."""
        for at in range(0, len(numbers), _BATCH):
            self._write("removing dead rows", methodcaller("delete", _among(numbers[at : at + _BATCH])))

    def compact(self) -> None:
        """Merge the small files that folding leaves behind, and drop earlier versions."""
        self._write("merging files", methodcaller("optimize", cleanup_older_than=_KEEP))

    @property
    def files(self) -> int:
        """Files of rows; every fold adds one."""
        with told(self.path, "reading statistics", remedy=_REMEDY):
            return int(self._open().stats()["fragment_stats"]["num_fragments"])

    @property
    def closed(self) -> bool:
        """True after ``close``."""
        return self._table is None

    def close(self) -> None:
        """Let go of the files."""
        self._table = None
        if self._journal is not None:
            self._journal.close()

    def _open(self) -> Any:
        if self._table is None:
            raise StoreError(f"The cache {self.path} is closed. Open it again.")
        return self._table

    def _opened(self) -> Journal:
        self._open()
        assert self._journal is not None
        return self._journal

    def _write(self, doing: str, act: Callable[[Any], object]) -> None:
        def attempt() -> None:
            with told(self.path, doing, remedy=_REMEDY):
                act(self._open())

        # A table that is always read at its newest version needs no refreshing.
        keep_trying(attempt, refresh=lambda: None)


def _among(numbers: Iterable[int]) -> str:
    return f"row IN ({', '.join(map(str, numbers))})"


def _schema(card: ModelCard | None) -> pa.Schema:
    import pyarrow as pa

    header = {"cache": True, "format": _FORMAT, "born": random.getrandbits(62), "card": card.to_dict() if card else None}
    return pa.schema(fields(), metadata={_KEY: json.dumps(header, sort_keys=True)})


def _read_header(schema: Any, path: Path) -> dict[str, Any]:
    try:
        data: dict[str, Any] = json.loads((schema.metadata or {}).get(_KEY) or "{}")
        if not data.get("cache"):
            raise StoreError(f"{path} holds a table {_TABLE!r} that ragkit did not write. Choose another path for the cache.")
        if data["format"] > _FORMAT:
            raise StoreFormatError(
                f"The cache {path} is in format {data['format']}, of a newer ragkit; this version reads formats up to {_FORMAT}. "
                "Upgrade ragkit, or choose another path."
            )
        return data | {"card": ModelCard.from_dict(data["card"]) if data["card"] else None}
    except (ValueError, KeyError, TypeError) as error:
        raise StoreCorruptError(f"The header of the cache {path} cannot be read ({error}); {_REMEDY}.") from error
