"""All living entries in memory: what the rows of the log add up to, in whatever order they come.

Every row says what happened and when, so the outcome does not depend on the order of arrival: a put is dead when a drop names it
that is not older, or when the same prompt was put later; a note waits for its entry. Two processes that have read the same rows
hold the same entries.
"""

from __future__ import annotations

import bisect
from collections.abc import Iterable, Iterator

import numpy as np

from ragkit.cache.entry import Drop, Entry
from ragkit.cache.partition import Partition, View
from ragkit.cache.rows import entry_from
from ragkit.store.entries import LogRow


class HotSet:
    """Entries by id, by exact prompt and by scope, with the vectors of the model with the fingerprint ``model``.

    Vectors of other models are never looked at: their entries answer exact repetitions only. Not safe for several threads;
    ``Shelf`` holds the lock.
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

    def apply(self, row: LogRow) -> int:
        """Take one row of kind "put", "drop" or "note", each row once; returns how many living entries a drop removed."""
        if row.kind == "put":
            self._put(row)
        elif row.kind == "drop":
            before = len(self.entries)
            self._drop(Drop.from_dict(row.detail, row.at), row)
            return before - len(self.entries)
        elif row.kind == "note":
            self._notes.setdefault(row.entry, []).append(row)
            if row.entry in self.entries:
                self._note(self.entries[row.entry], row)
        return 0

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

    def view(self, scope: str) -> View | None:
        """The vectors of a scope, to be searched without the lock; None where there are none."""
        partition = self._partitions.get(scope)
        return partition.view() if partition else None

    def written_by(self, writer: str) -> int:
        """Living entries of a writer."""
        return self._writers.get(writer, 0)

    def gone(self, entry: Entry) -> bool:
        """Whether a drop that is known names this entry, stored or not."""
        if entry.at <= self._dropped.get(entry.id, -1):
            return True
        first = bisect.bisect_left(self._drops, entry.at, key=lambda drop: drop.at)
        return any(drop.hits(entry) for drop in self._drops[first:])

    def __len__(self) -> int:
        return len(self.entries)

    def __iter__(self) -> Iterator[Entry]:
        return iter(list(self.entries.values()))

    # What rows do

    def _put(self, row: LogRow) -> None:
        entry = entry_from(row)
        if self.gone(entry):
            self.dead.append((row.at, row.row))
            return
        owners = self._exact.setdefault(entry.key, {})
        for note in self._notes.get(entry.id, ()):
            self._note(entry, note)
        old = owners.get(entry.owner)
        if old is not None and old.id == entry.id:
            # The same answer with another model's vector: a process with that model needs the row.
            old.rows = entry.rows = [*old.rows, *entry.rows]
            if old.model == self.model:
                return
            self._forget(old)
        elif old is not None and (old.at, old.id) > (entry.at, entry.id):
            self.dead.append((row.at, row.row))
            return
        elif old is not None:
            self.remove(old)
        owners = self._exact.setdefault(entry.key, {})
        owners[entry.owner] = entry
        self.entries[entry.id] = entry
        self.size += entry.size
        self._writers[entry.writer] = self._writers.get(entry.writer, 0) + 1
        if entry.dim and row.model == self.model:
            partition = self._partitions.get(entry.scope)
            if partition is None:
                partition = self._partitions[entry.scope] = Partition(self.dim)
            partition.add(entry, np.frombuffer(row.vector, np.float32))

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
            if public is None or (public.at, public.id) < (entry.at, entry.id):
                if public is not None:
                    self.remove(public)
                    owners = self._exact.setdefault(entry.key, {})
                owners[""] = entry
            else:
                self.remove(entry)

    def remove(self, entry: Entry) -> None:
        """Forget a living entry; its rows count as dead."""
        self.dead += [(entry.at, number) for number in entry.rows]
        self._forget(entry)

    def _forget(self, entry: Entry) -> None:
        entry.alive = False
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
