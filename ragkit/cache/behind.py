"""Work behind an answer: judgements, audits and late verifications, which nobody waits for."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Lock

#: Work that may wait; more is skipped and counted.
_WAITING = 64


class Behind:
    """Two threads for work that may fail or be skipped. ``trouble`` tells the last failure, "" for none."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(2, thread_name_prefix="ragkit-cache-behind")
        self._waiting: set[Future[None]] = set()
        self._lock = Lock()
        self.skipped = 0
        self.trouble = ""

    def do(self, work: Callable[[], object]) -> None:
        """Run ``work`` soon."""
        with self._lock:
            self._waiting = {one for one in self._waiting if not one.done()}
            if len(self._waiting) >= _WAITING:
                self.skipped += 1
            else:
                self._waiting.add(self._pool.submit(self.attempt, work))

    def attempt(self, work: Callable[[], object]) -> None:
        """Run ``work`` here; what it raises becomes ``trouble``."""
        try:
            work()
        except Exception as error:
            self.failed(error)

    def failed(self, error: Exception) -> None:
        """Remember a failure."""
        self.trouble = f"{type(error).__name__}: {error}"

    def flush(self) -> None:
        """Wait for everything given so far, and for what that gives in turn."""
        while True:
            with self._lock:
                waiting = [one for one in self._waiting if not one.done()]
            if not waiting:
                return
            for one in waiting:
                one.result()

    def close(self) -> None:
        """Finish what waits and end the threads."""
        self._pool.shutdown()
