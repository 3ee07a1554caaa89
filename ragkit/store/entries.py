"""EntryLog: one LanceDB table to which a semantic cache only ever appends, read onwards from where it was left."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, Self

from ragkit.errors import StoreCorruptError, StoreError, StoreFormatError
from ragkit.store import database
from ragkit.store.escape import escape, unescape
from ragkit.store.failures import is_conflict, told
from ragkit.store.newest import Newest
from ragkit.types import ModelCard

if TYPE_CHECKING:
    import pyarrow as pa

_TABLE = "entries"
_FORMAT = 1
_KEY = b"ragkit"
_REMEDY = "remove it: a cache fills again by itself"
_TEXTS = ("kind", "entry", "scope", "key", "prompt", "answer", "model", "detail")
_ALL = 1 << 30
_PATIENCE = 60.0
_KEEP = timedelta(minutes=10)
_LOOKUP = 4096


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


class EntryLog:
    """The table ``entries`` of the database at ``path``; rows are appended, read in no promised order, and removed when dead.

    A commit is a new file of rows and one manifest, so readers see all rows of an ``append`` or none, and a killed writer leaves
    nothing half. ``changed`` and ``unread`` are for one thread at a time; ``append`` may run beside them.
    """

    def __init__(self, path: Path, table: Any) -> None:
        header = _read_header(table.schema, path)
        self.path, self.card = path, header["card"]
        self._table, self._born = table, header.get("born")
        self._newest = Newest(path / f"{_TABLE}.lance")
        self._lock = Lock()
        self._known: set[int] = set()
        self._version = self._breaks = -1
        #: The last row read: its place, its number, and LanceDB's name for it, which changes when files are merged.
        self._anchor: tuple[int, int, int] | None = None

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
            try:
                with told(place, "creating the cache", remedy=_REMEDY):
                    return cls(place, connection.create_table(_TABLE, schema=_schema(made)))
            except StoreError as error:
                if "already exists" not in str(error):
                    raise
        with told(place, "opening", remedy=_REMEDY):
            table = connection.open_table(_TABLE)
        return cls(place, table)

    def changed(self) -> bool:
        """True when somebody has committed something since ``unread`` was last called. Costs microseconds."""
        self._open()
        return self._newest.version() != self._version or self._newest.breaks != self._breaks

    def unread(self) -> tuple[list[LogRow], bool]:
        """Rows not returned before and not appended here, and whether the log was begun anew (forget all, then take them).

        Reads onwards from the last row read. Where that row is no longer in its place, because somebody merged files or removed rows,
        the rows' numbers are read and all unknown rows fetched.
        """
        version, breaks = self._newest.version(), self._newest.breaks
        with self._lock:
            # An open table does not notice that its folder was removed and made anew.
            anew = breaks != self._breaks and self._version >= 0 and self._begun_anew()
            table = self._tail(self._anchor)
            if table is None:
                table = self._unknown()
            fresh = [row for row in _rows_from(table) if row.row not in self._known]
            self._known.update(row.row for row in fresh)
            self._version, self._breaks = version, breaks
        return fresh, anew

    def _begun_anew(self) -> bool:
        """Open the table again; True, and everything forgotten, when it is another than the one opened before."""
        self._open()
        with told(self.path, "opening", remedy=_REMEDY):
            self._table = database.connect(self.path).open_table(_TABLE)
            born = _read_header(self._table.schema, self.path).get("born")
        if born == self._born:
            return False
        self._born, self._anchor = born, None
        self._known.clear()
        return True

    def _tail(self, anchor: tuple[int, int, int] | None) -> pa.Table | None:
        """Everything from the anchor on, the anchor itself left out; None when it is not where it was."""
        place = anchor[0] if anchor else 0
        with told(self.path, "reading the cache", remedy=_REMEDY):
            table = self._open().search().with_row_id(True).offset(place).limit(_ALL).to_arrow()
        if anchor is not None and (not len(table) or _name(table, 0) != anchor[1:]):
            return None
        self._anchor = (place + len(table) - 1, *_name(table, -1)) if len(table) else None
        return table if anchor is None else table.slice(1)

    def _unknown(self) -> pa.Table:
        import numpy as np

        with told(self.path, "reading the cache", remedy=_REMEDY):
            table = self._open().search().with_row_id(True).select(["row"]).limit(_ALL).to_arrow()
            numbers = table.column("row").to_numpy()
            known = np.fromiter(self._known, np.int64, len(self._known))
            missing = numbers[~np.isin(numbers, known)].tolist()
            parts = [
                self._open().search().with_row_id(True).where(_among(missing[at : at + _LOOKUP])).limit(_ALL).to_arrow()
                for at in range(0, len(missing), _LOOKUP)
            ]
        self._anchor = (len(table) - 1, *_name(table, -1)) if len(table) else None
        import pyarrow as pa

        return pa.concat_tables(parts) if parts else _to_arrow([])

    def append(self, rows: Sequence[LogRow]) -> None:
        """Commit rows, all or none; on return they survive the end of this process.

        Raises StoreFullError, StoreCorruptError, StoreError; then nothing was written.
        """
        if not rows:
            return
        table, numbers = _to_arrow(rows), {row.row for row in rows}
        with self._lock:
            self._known |= numbers
        try:
            result = self._write("storing in the cache", lambda target: target.add(table))
        except BaseException:
            with self._lock:
                self._known -= numbers
            raise
        with self._lock:
            # Nobody came in between: these rows are all that is new, and need not be read.
            if result.version == self._version + 1:
                self._version = result.version

    def remove(self, numbers: Sequence[int]) -> None:
        """Delete rows by number, in this order, a few thousand in a commit."""
        for at in range(0, len(numbers), _LOOKUP):
            where = _among(numbers[at : at + _LOOKUP])
            self._write("removing dead rows", lambda table, where=where: table.delete(where))

    def compact(self) -> None:
        """Merge the small files that appends leave behind, and drop versions older than ten minutes."""
        self._write("merging files", lambda table: table.optimize(cleanup_older_than=_KEEP))

    @property
    def files(self) -> int:
        """Files of rows; every append adds one."""
        with told(self.path, "reading statistics", remedy=_REMEDY):
            return int(self._open().stats()["fragment_stats"]["num_fragments"])

    @property
    def closed(self) -> bool:
        """True after ``close``."""
        return self._table is None

    def close(self) -> None:
        """Let go of the table."""
        self._table = None

    def _open(self) -> Any:
        if self._table is None:
            raise StoreError(f"The cache {self.path} is closed. Open it again.")
        return self._table

    def _write(self, doing: str, act: Any) -> Any:
        """``act`` on the table; while other writers come first, again, with growing pauses, for a minute."""
        pause, until = 0.005, time.monotonic() + _PATIENCE
        while True:
            try:
                with told(self.path, doing, remedy=_REMEDY):
                    return act(self._open())
            except StoreError as error:
                if not is_conflict(error) or time.monotonic() > until:
                    raise
            time.sleep(pause * (0.5 + random.random()))
            pause = min(pause * 2, 1.0)


def _name(table: pa.Table, at: int) -> tuple[int, int]:
    place = at % len(table)
    return table.column("row")[place].as_py(), table.column("_rowid")[place].as_py()


def _among(numbers: Iterable[int]) -> str:
    return f"row IN ({', '.join(map(str, numbers))})"


def _schema(card: ModelCard | None) -> pa.Schema:
    import pyarrow as pa

    header = {"cache": True, "format": _FORMAT, "born": random.getrandbits(62), "card": card.to_dict() if card else None}
    return pa.schema([*_fields()], metadata={_KEY: json.dumps(header, sort_keys=True)})


def _fields() -> list[Any]:
    import pyarrow as pa

    return [
        pa.field("row", pa.int64(), nullable=False),
        pa.field("at", pa.int64(), nullable=False),
        *(pa.field(name, pa.string(), nullable=False) for name in _TEXTS),
        pa.field("vector", pa.binary(), nullable=False),
    ]


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


def _to_arrow(rows: Sequence[LogRow]) -> pa.Table:
    import pyarrow as pa

    columns = {
        "row": [row.row for row in rows],
        "at": [row.at for row in rows],
        "vector": [row.vector for row in rows],
        "detail": [json.dumps(row.detail, separators=(",", ":"), allow_nan=False) for row in rows],
        **{name: [escape(getattr(row, name)) for row in rows] for name in _TEXTS if name != "detail"},
    }
    fields = _fields()
    return pa.Table.from_arrays([pa.array(columns[one.name], type=one.type) for one in fields], schema=pa.schema(fields))


def _rows_from(table: pa.Table) -> list[LogRow]:
    columns = {name: table.column(name).to_pylist() for name in ("row", "at", "vector", *_TEXTS)}
    texts = {name: list(map(unescape, columns[name])) for name in _TEXTS if name != "detail"}
    return [
        LogRow(
            row=columns["row"][at],
            at=columns["at"][at],
            vector=columns["vector"][at],
            detail=json.loads(columns["detail"][at]),
            **{name: values[at] for name, values in texts.items()},
        )
        for at in range(len(table))
    ]
