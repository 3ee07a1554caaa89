"""The log on disk and the entries in memory, kept in step: every look sees what was committed, by whichever process."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from threading import Lock, RLock
from typing import TypeVar

from ragkit.cache.entry import Entry
from ragkit.cache.hot import HotSet
from ragkit.cache.learning import Learning
from ragkit.cache.partition import nearest
from ragkit.seams import Vectors
from ragkit.store.entries import EntryLog, LogRow

#: Seconds within which the answer to a prompt must have been made: a drop is remembered that long for puts on their way.
LATE = 3600.0

_T = TypeVar("_T")


class Shelf:
    """Entries of a cache, read from memory; what others have written to the log comes there by ``sync``."""

    def __init__(self, log: EntryLog, hot: HotSet, learning: Learning, *, clock: Callable[[], float]) -> None:
        self.log, self.hot, self.learning = log, hot, learning
        self._clock = clock
        self._lock, self._reading = RLock(), Lock()
        self._at = 0
        self._seen = clock()

    def now(self) -> int:
        """Microseconds since 1970, never the same twice."""
        with self._lock:
            self._at = max(int(self._clock() * 1e6), self._at + 1)
            return self._at

    def load(self, rows: Sequence[LogRow]) -> None:
        """Take the first rows that were read from the log, the policy's included."""
        self.learning.restore(row for row in rows if row.kind == "policy")
        with self._lock:
            self._apply(rows)

    def sync(self) -> None:
        """Take what others have committed since the last time; microseconds where nothing was. Raises StoreError."""
        now = self._clock()
        if not self.log.changed():
            self._seen = now
            return
        with self._reading:
            if not self.log.changed():
                return
            if now - self._seen > LATE / 2:
                # Drops may have been written and deleted since.
                self.log.again()
            try:
                self._read()
            except Exception:
                raise
            except BaseException:
                # Interrupted: a row is given only once.
                self.log.again()
                raise
            self._seen = now

    def _read(self) -> None:
        rows, anew = self.log.unread()
        with self._lock:
            if anew:
                for entry in self.hot:
                    entry.alive = False
                self.hot = HotSet(self.hot.model, self.hot.dim)
            self._apply(rows)
        self.learning.apply(row for row in rows if row.kind == "policy")

    def _apply(self, rows: Sequence[LogRow]) -> None:
        for row in rows:
            self.hot.apply(row)

    def exact(self, key: str, principal: str, *, oldest: float) -> Entry | None:
        """The living entry of this very prompt that ``principal`` may see and that was begun at ``oldest`` or later."""
        with self._lock:
            for owner in ("", principal):
                entry = self.hot.exact(key, owner)
                if entry is None:
                    continue
                if entry.expires <= self._clock():
                    self.hot.remove(entry)
                elif entry.created >= oldest:
                    return entry
        return None

    def glance(self, key: str, principal: str, *, oldest: float) -> tuple[bool, Entry | None]:
        """True and ``exact``; False where others have written something since the last ``sync``, or somebody is at work here. Never waits."""
        if self.log.changed(wait=False) or not self._lock.acquire(blocking=False):
            return False, None
        try:
            self._seen = self._clock()
            return True, self.exact(key, principal, oldest=oldest)
        finally:
            self._lock.release()

    def near(
        self, scope: str, vector: Vectors, *, k: int, floor: float, principal: str, oldest: float
    ) -> list[tuple[float, Entry]]:
        """The up to ``k`` nearest living entries of a scope that ``principal`` may see, with their cosines."""
        with self._lock:
            view = self.hot.view(scope)
        if view is None:
            return []
        now, found = self._clock(), []
        for cosine, entry in nearest(view, vector, floor):
            if entry.expires <= now:
                with self._lock:
                    if entry.alive:
                        self.hot.remove(entry)
            elif entry.created >= oldest and entry.owner in ("", principal):
                found.append((cosine, entry))
                if len(found) == k:
                    break
        return found

    def read(self, ask: Callable[[HotSet], _T]) -> _T:
        """``ask`` of the entries, while nothing changes."""
        with self._lock:
            return ask(self.hot)
