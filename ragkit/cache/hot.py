"""All living entries in memory: what the rows of the log add up to, in whatever order they come.

Every row says what happened and when, so the outcome does not depend on the order of arrival: a put is dead when a drop names it
that is not older, or when the same prompt was put later; a note waits for its entry. Two processes that have read the same rows
hold the same entries.
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np

from ragkit.cache.entry import Drop, Entry
from ragkit.cache.partition import Partition, nearest
from ragkit.seams import Vectors
from ragkit.store.entries import LogRow

Visible = Callable[[Entry], bool]


class HotSet:
    """Entries by id, by exact prompt and by scope, with the vectors of the model with the fingerprint ``model``.

    Vectors of other models are never looked at: their entries answer exact repetitions only. Not safe for several threads;
    ``Vault`` holds the lock.
    """

    def __init__(self, model: str, dim: int) -> None:
        self.model, self.dim = model, dim
        self.entries: dict[str, Entry] = {}
        self.size = 0
        #: Rows that no longer matter to anybody: dead puts first to last, and what was said about them.
        self.dead: list[tuple[int, int]] = []
        self._exact: dict[str, dict[str, Entry]] = {}
        self._partitions: dict[str, Partition] = {}
        self._drops: list[Drop] = []
        self._drop_rows: list[tuple[int, int]] = []
        self._dropped: dict[str, int] = {}
        self._notes: dict[str, list[LogRow]] = {}
        self._writers: dict[str, int] = {}

    def apply(self, row: LogRow) -> None:
        """Take one row of kind "put", "drop" or "note"; each row once."""
        if row.kind == "put":
            self._put(row)
        elif row.kind == "drop":
            self._drop(Drop.from_dict(row.detail, row.at), row)
        elif row.kind == "note":
            self._notes.setdefault(row.entry, []).append(row)
            if row.entry in self.entries:
                self._note(self.entries[row.entry], row)

    # Asking

    def exact(self, key: str, principal: str) -> Entry | None:
        """The entry of this very prompt that serves everybody, else the one that serves ``principal`` alone."""
        owners = self._exact.get(key)
        if not owners:
            return None
        return owners.get("") or owners.get(principal)

    def holders(self, key: str) -> Iterable[Entry]:
        """All entries of this very prompt, whoever they serve."""
        return self._exact.get(key, {}).values()

    def view(self, scope: str) -> tuple[Vectors, list[Entry | None]] | None:
        """The vectors of a scope, to be searched without the lock; None where there are none."""
        partition = self._partitions.get(scope)
        return partition.view() if partition else None

    def vector(self, entry: Entry) -> Vectors | None:
        """The vector of a living entry of this model, None for others."""
        return self._partitions[entry.scope].vector(entry) if entry.slot >= 0 else None

    def written_by(self, writer: str) -> int:
        """Living entries of a writer."""
        return self._writers.get(writer, 0)

    def __len__(self) -> int:
        return len(self.entries)

    def __iter__(self) -> Iterator[Entry]:
        return iter(list(self.entries.values()))

    # What rows do

    def _put(self, row: LogRow) -> None:
        entry = entry_from(row, row.model == self.model)
        if self._gone(entry):
            self.dead.append((row.at, row.row))
            return
        owners = self._exact.setdefault(entry.key, {})
        for note in self._notes.get(entry.id, ()):
            self._note(entry, note)
        old = owners.get(entry.owner)
        if old is not None:
            loser = self._loser(old, entry)
            if loser is entry:
                self.dead.append((row.at, row.row))
                return
            self.remove(old)
            owners = self._exact.setdefault(entry.key, {})
        owners[entry.owner] = entry
        self.entries[entry.id] = entry
        self.size += entry.size
        self._writers[entry.writer] = self._writers.get(entry.writer, 0) + 1
        if entry.embedded and row.model == self.model:
            partition = self._partitions.get(entry.scope)
            if partition is None:
                partition = self._partitions[entry.scope] = Partition(self.dim)
            partition.add(entry, np.frombuffer(row.vector, np.float32))

    def _loser(self, old: Entry, new: Entry) -> Entry:
        """Of two entries for one prompt the one that goes: the older; of two forms of one entry the one of another model."""
        if old.id == new.id:
            return new if old.model == self.model else old
        return old if (old.at, old.id) < (new.at, new.id) else new

    def _gone(self, entry: Entry) -> bool:
        if entry.at <= self._dropped.get(entry.id, -1):
            return True
        first = bisect.bisect_left(self._drops, entry.at, key=lambda drop: drop.at)
        return any(drop.hits(entry) for drop in self._drops[first:])

    def _drop(self, drop: Drop, row: LogRow) -> None:
        self._drop_rows.append((row.at, row.row))
        if drop.entries:
            for name in drop.entries:
                self._dropped[name] = max(drop.at, self._dropped.get(name, -1))
                found = self.entries.get(name)
                if found is not None and found.at <= drop.at:
                    self.remove(found)
        if drop.tags or drop.documents or drop.scope or drop.tenant or drop.before or drop.everything:
            bisect.insort(self._drops, drop, key=lambda one: one.at)
            for entry in [entry for entry in self.entries.values() if drop.hits(entry)]:
                self.remove(entry)

    def _note(self, entry: Entry, row: LogRow) -> None:
        entry.wrong += int(row.detail.get("wrong", 0))
        entry.group = row.detail.get("group", entry.group)
        if row.detail.get("confirmed") and not entry.confirmed:
            self._confirm(entry)

    def _confirm(self, entry: Entry) -> None:
        owners = self._exact.setdefault(entry.key, {})
        known = owners.get(entry.owner) is entry
        if known:
            del owners[entry.owner]
        entry.confirmed = True
        if known:
            public = owners.get("")
            if public is None or self._loser(public, entry) is public:
                if public is not None:
                    self.remove(public)
                    owners = self._exact.setdefault(entry.key, {})
                owners[""] = entry
            else:
                self.remove(entry)

    def remove(self, entry: Entry) -> None:
        """Forget a living entry; its row counts as dead."""
        entry.alive = False
        self.dead.append((entry.at, entry.row))
        self.size -= entry.size
        if self.entries.get(entry.id) is entry:
            del self.entries[entry.id]
        owners = self._exact.get(entry.key, {})
        if owners.get(entry.owner) is entry:
            del owners[entry.owner]
        if not owners:
            self._exact.pop(entry.key, None)
        left = self._writers.get(entry.writer, 1) - 1
        if left > 0:
            self._writers[entry.writer] = left
        else:
            self._writers.pop(entry.writer, None)
        partition = self._partitions.get(entry.scope)
        if partition is not None and entry.slot >= 0:
            partition.remove(entry)
            if not len(partition):
                del self._partitions[entry.scope]

    def buried(self, before: int) -> list[int]:
        """Rows that may be deleted, in the order to delete them in; forgets them.

        Dead puts from the oldest on, then notes about entries that are gone, then drops begun before ``before``: a put that a
        drop names may still arrive while it is younger than that.
        """
        puts = [number for _, number in sorted(self.dead)]
        self.dead.clear()
        notes = [row for name, rows in self._notes.items() if name not in self.entries for row in rows if row.at < before]
        for row in notes:
            self._notes.pop(row.entry, None)
        drops = [number for at, number in self._drop_rows if at < before]
        self._drop_rows = [pair for pair in self._drop_rows if pair[0] >= before]
        self._drops = [drop for drop in self._drops if drop.at >= before]
        self._dropped = {name: at for name, at in self._dropped.items() if at >= before}
        return [*puts, *(row.row for row in notes), *drops]


def entry_from(row: LogRow, embedded: bool) -> Entry:
    """The entry that a row of kind "put" tells of."""
    detail: dict[str, Any] = dict(row.detail)
    expires = detail.get("expires")
    return Entry(
        id=row.entry,
        row=row.row,
        at=row.at,
        scope=row.scope,
        tenant=detail.get("tenant", ""),
        key=row.key,
        prompt=row.prompt,
        answer=row.answer,
        model=row.model,
        embedded=embedded and bool(row.vector),
        expires=math.inf if expires is None else float(expires),
        opaque=bool(detail.get("opaque")),
        writer=detail.get("writer", ""),
        confirmed=bool(detail.get("confirmed")),
        tags=tuple(detail.get("tags", ())),
        documents=tuple((name, version) for name, version in detail.get("documents", ())),
        group=detail.get("group") or row.entry,
        cost=float(detail.get("cost", 1.0)),
        used=row.at / 1e6,
    )


__all__ = ["HotSet", "Visible", "entry_from", "nearest"]
