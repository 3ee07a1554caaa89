"""Which keys were written when: a small table beside the chunks, for those who keep accounts of what they indexed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

from ragkit.errors import StoreCorruptError, StoreError
from ragkit.store import database
from ragkit.store.escape import escape, quote, unescape
from ragkit.store.failures import told
from ragkit.store.patience import keep_trying
from ragkit.types import digest

if TYPE_CHECKING:
    import pyarrow as pa

_TABLE = "records"
_KEEP = timedelta(days=1)
_LOOKUP = 4096
_TIDY_EVERY = 32
# Lance reads the primary key from here at creation: concurrent upserts of one new key then conflict instead of both going in.
_PRIMARY_KEY = {"lance-schema:unenforced-primary-key": "true"}


class RecordStore:
    """Keys with a group and the time of their last update, by namespace, in the database at ``path``.

    Times are microseconds since 1970 and never go back, whatever the clocks of the writers say: the present is later than
    every time stored. Safe for several threads and processes. The table is made by the first write.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._table: Any = None
        self._lock = Lock()

    def create(self) -> None:
        """Make the table where there is none."""
        with self._lock:
            self._table = self._table or self._open(create=True)

    def now(self) -> int:
        """The present: later than every time stored."""
        import pyarrow.compute as pc

        latest = pc.max(self._scan(["updated_at"]).column("updated_at")).as_py()
        return max(time.time_ns() // 1000, 0 if latest is None else latest + 1)

    def put(self, namespace: str, groups: Mapping[str, str | None], *, keep_groups: bool = False, at_least: int = 0) -> None:
        """Note the keys of ``groups`` as written now; with ``keep_groups`` those noted before keep the group they have.

        Raises StoreError when ``at_least`` lies in the future: whoever took that time had another clock.
        """
        if not groups:
            return
        at = self.now()
        if at < at_least:
            raise StoreError(
                f"{self.path} is at {at / 1e6:.6f}, and the update should be at least at {at_least / 1e6:.6f}, which lies "
                "ahead. Take times from get_time() of the same record manager."
            )
        known = self.groups(namespace, groups) if keep_groups else {}
        rows = [
            {
                "id": digest(namespace, key),
                "namespace": escape(namespace),
                "key": escape(key),
                "group_id": None if (group := known.get(key, given)) is None else escape(group),
                "updated_at": at,
            }
            for key, given in groups.items()
        ]
        self.create()
        import pyarrow as pa

        table = pa.Table.from_pylist(rows, schema=_schema())
        self._write(
            "noting records",
            lambda records: records.merge_insert("id").when_matched_update_all().when_not_matched_insert_all().execute(table),
        )
        self._tidy()

    def groups(self, namespace: str, keys: Iterable[str]) -> dict[str, str | None]:
        """The group of each of these keys; keys not noted are left out."""
        found: dict[str, str | None] = {}
        for where in _by_id(namespace, keys):
            table = self._scan(["key", "group_id"], where)
            for key, group in zip(table.column("key").to_pylist(), table.column("group_id").to_pylist(), strict=True):
                found[unescape(key)] = None if group is None else unescape(group)
        return found

    def keys(
        self,
        namespace: str,
        *,
        before: int | None = None,
        after: int | None = None,
        groups: Sequence[str] | None = None,
        limit: int | None = None,
    ) -> list[str]:
        """The keys last written before and after these times, exclusive, and of these groups; the oldest first."""
        conditions = [f"namespace = {quote(escape(namespace))}"]
        conditions += [f"updated_at < {before:d}"] if before is not None else []
        conditions += [f"updated_at > {after:d}"] if after is not None else []
        if groups is not None:
            listed = ", ".join(quote(escape(group)) for group in dict.fromkeys(groups))
            conditions.append(f"group_id IN ({listed})" if listed else "false")
        table = self._scan(["key", "updated_at"], " AND ".join(conditions))
        keys = table.sort_by([("updated_at", "ascending"), ("key", "ascending")]).column("key").to_pylist()
        return [unescape(key) for key in keys[:limit]]

    def delete(self, namespace: str, keys: Iterable[str]) -> None:
        """Forget these keys; unknown ones are no error."""
        known = self.groups(namespace, keys)
        for where in _by_id(namespace, known):
            self._write("forgetting records", lambda table, where=where: table.delete(where))  # type: ignore[misc]

    def _open(self, *, create: bool) -> Any:
        connection = database.connect(self.path)
        with told(self.path, "opening the records"):
            try:
                return connection.open_table(_TABLE)
            except ValueError as error:
                if "not found" not in str(error):
                    raise
            if not create:
                return None
            try:
                return connection.create_table(_TABLE, schema=_schema())
            except ValueError as error:
                if "already exists" not in str(error):
                    raise
                return connection.open_table(_TABLE)

    def _current(self) -> Any:
        with self._lock:
            self._table = self._table or self._open(create=False)
            return self._table

    def _refresh(self) -> Any:
        with self._lock:
            self._table = self._open(create=False)
            return self._table

    def _scan(self, columns: list[str], where: str | None = None) -> pa.Table:
        def ask(table: Any) -> pa.Table:
            query = table.search().select(columns)
            return (query.where(where) if where else query).to_arrow()

        table = self._current()
        if table is None:
            return _schema().empty_table().select(columns)
        try:
            with told(self.path, "reading records"):
                return ask(table)
        except StoreCorruptError:
            # Files that a clean-up elsewhere has removed; a fresh table does not know them.
            fresh = self._refresh()
            if fresh is None:
                raise
            with told(self.path, "reading records"):
                return ask(fresh)

    def _write(self, doing: str, act: Callable[[Any], object]) -> None:
        def attempt() -> None:
            with told(self.path, doing):
                act(self._current())

        keep_trying(attempt, refresh=self._refresh)

    def _tidy(self) -> None:
        """Merge small files now and then. What fails is done another time: the records are stored already."""
        try:
            with told(self.path, "tidying records"):
                table = self._current()
                if table.version % _TIDY_EVERY == 0:
                    table.optimize(cleanup_older_than=_KEEP)
        except StoreError:
            return


def _schema() -> pa.Schema:
    import pyarrow as pa

    return pa.schema(
        [
            pa.field("id", pa.string(), nullable=False, metadata=_PRIMARY_KEY),
            pa.field("namespace", pa.string(), nullable=False),
            pa.field("key", pa.string(), nullable=False),
            pa.field("group_id", pa.string()),
            pa.field("updated_at", pa.int64(), nullable=False),
        ]
    )


def _by_id(namespace: str, keys: Iterable[str]) -> Iterator[str]:
    ids = [digest(namespace, key) for key in dict.fromkeys(keys)]
    for at in range(0, len(ids), _LOOKUP):
        yield "id IN ({})".format(", ".join(map(quote, ids[at : at + _LOOKUP])))
