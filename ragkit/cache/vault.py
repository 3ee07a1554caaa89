"""Writing to the log of a cache, and keeping it in shape."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Lock

from ragkit.cache.entry import Drop
from ragkit.cache.eviction import Limits, to_evict
from ragkit.cache.hot import HotSet
from ragkit.cache.learning import BATCH, Learning
from ragkit.cache.shelf import LATE, Shelf
from ragkit.errors import StoreError
from ragkit.store.entries import EntryLog, LogRow

#: Rows that wait in the journal before they go into the table together: a quarter as many cost twice as much each.
_WAITING = 4096
#: Files of rows that may gather in the table before they are merged.
_FILES = 64
#: Dead rows that may gather before they are deleted, beside a quarter of the living.
_DEAD = 1000
#: Seconds between two looks for entries past their time that nobody has asked for.
_SWEEP = 60.0

_INTERRUPTED = "The thread that was storing for all who wait was interrupted; what it stored is not known. Store it again."

_Pending = tuple[list[LogRow], "Future[int]"]


class Vault(Shelf):
    """Entries of a cache: read from memory, written to the log first.

    Puts that wait at the same time go into one commit. Moving rows into the table, merging files, deleting dead rows and evicting
    happen in a thread of their own, started by writes.
    """

    def __init__(self, log: EntryLog, hot: HotSet, learning: Learning, *, limits: Limits, clock: Callable[[], float]) -> None:
        super().__init__(log, hot, learning, clock=clock)
        self._limits = limits
        self._writing = Lock()
        self._pending: deque[_Pending] = deque()
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="ragkit-cache-writer")
        self._keeper = ThreadPoolExecutor(1, thread_name_prefix="ragkit-cache-keeper")
        self._tending: Future[None] | None = None
        self._waiting = 0
        self._sweep_at = self._seen + _SWEEP
        self._snapshot: int | None = None
        self.evicted = 0
        self.trouble = ""

    # Writing

    def write(self, rows: Sequence[LogRow], *, wait: bool = True) -> int:
        """Commit rows and take them into memory. With ``wait`` they are on disk on return, or the error is raised here.

        Returns how many living entries the drops among them removed, 0 without ``wait``.
        """
        done: Future[int] = Future()
        self._pending.append((list(rows), done))
        if not wait:
            try:
                self._writer.submit(self._drain)
                return 0
            except RuntimeError:
                # The interpreter is shutting down, or the cache was closed.
                pass
        # Whoever comes first commits for all who wait: waking another thread takes longer than a commit.
        self._drain()
        return done.result() if wait else 0

    def drop(self, drop: Drop) -> int:
        """Remove what ``drop`` names; returns how many living entries that were."""
        return self.write([LogRow(kind="drop", at=drop.at, detail=drop.to_dict())])

    def flush(self) -> None:
        """Wait until everything given so far is on disk, judgements included."""
        self.write([])

    def _drain(self) -> None:
        with self._writing:
            self._commit()

    def _commit(self) -> None:
        # They stay in the queue until all is done: whoever is interrupted here leaves nobody waiting for ever.
        taken = [self._pending[place] for place in range(len(self._pending))]
        if not taken:
            return
        try:
            self._store([one for one in taken if not one[1].done()])
        except BaseException as error:
            interrupted = not isinstance(error, Exception)
            self.trouble = str(error) or type(error).__name__
            if interrupted:
                # The rows may be on disk all the same.
                self.log.again()
            for _, done in taken:
                if not done.done():
                    done.set_exception(StoreError(_INTERRUPTED) if interrupted else error)
            if interrupted:
                raise
            return
        finally:
            for _ in taken:
                self._pending.popleft()
        self._catch_up()
        self._tend()

    def _store(self, taken: Sequence[_Pending]) -> None:
        rows = [row for one, _ in taken for row in one]
        counted, events = self.learning.take(self.now())
        try:
            self.log.append([*rows, *counted])
        except BaseException:
            self.learning.give_back(events)
            raise
        with self._lock:
            dropped = [sum(map(self.hot.apply, one)) for one, _ in taken]
        self._waiting += len(rows) + len(counted)
        for (_, done), count in zip(taken, dropped, strict=True):
            done.set_result(count)

    def _catch_up(self) -> None:
        """Take note of our own commit here, so that no ``glance`` finds something to read."""
        try:
            self.sync()
        except StoreError as error:
            # Those who look will be told.
            self.trouble = str(error)

    def count(self) -> None:
        """Write counts and judgements when many wait, and look for expired entries when it is time, without waiting for it."""
        if self.learning.waiting >= BATCH:
            self.write([], wait=False)
        elif self._clock() >= self._sweep_at:
            self._tend()

    # Keeping in shape

    def _crowded(self) -> bool:
        hot = self.hot
        return (
            self._waiting >= _WAITING
            or self._clock() >= self._sweep_at
            or len(hot.dead) > _DEAD + len(hot) // 4
            or self._limits.exceeded(entries=len(hot), size=hot.size)
        )

    def _tend(self) -> None:
        if not self._crowded() or (self._tending is not None and not self._tending.done()):
            return
        try:
            self._tending = self._keeper.submit(self.tend)
        except RuntimeError:
            return

    def tend(self, *, wait: float = 0.0) -> None:
        """Forget what has expired, evict what is over the limits, put judgements together, move rows into the table, delete dead ones, merge files.

        One process at a time: the others come back after ``wait`` seconds and leave it to that one.
        """
        self._sweep()
        try:
            with self.log.keeping(wait=wait) as alone:
                if alone:
                    self._keep()
            self._waiting = 0
        except StoreError as error:
            # Nothing is lost by a table that is larger than it need be; the next write tries again.
            self.trouble = str(error)

    def _sweep(self) -> None:
        """Forget entries past their time. Every process sees for itself that it has come, so nothing is written."""
        now = self._clock()
        self._sweep_at = now + _SWEEP
        for entry in [entry for entry in self.hot if entry.expires <= now]:
            with self._lock:
                if entry.alive:
                    self.hot.remove(entry)

    def _keep(self) -> None:
        self._evict()
        # What is buried must be dead by all that others have written.
        self.sync()
        with self._lock:
            if len(self.hot.dead) > _DEAD + len(self.hot) // 4:
                buried = self.hot.buried(int((self._clock() - LATE) * 1e6))
            else:
                buried = []
        rows, spare = self.learning.snapshot(self.now(), self._snapshot)
        if rows:
            self.write(rows)
            self._snapshot = rows[-1].row
        self.log.fold()
        self.log.remove([*spare, *buried])
        if self.log.files > _FILES:
            self.log.compact()

    def _evict(self) -> None:
        with self._lock:
            crowded = self._limits.exceeded(entries=len(self.hot), size=self.hot.size)
            gone = to_evict(list(self.hot), self._limits, now=self._clock()) if crowded else []
        if gone:
            self.drop(Drop(at=self.now(), entries=frozenset(entry.id for entry in gone)))
            self.evicted += len(gone)

    def close(self) -> None:
        """Write what waits, end the threads, let go of the table; once."""
        if self.log.closed:
            return
        try:
            self.flush()
        finally:
            self._keeper.shutdown()
            self._writer.shutdown()
            self.log.close()
