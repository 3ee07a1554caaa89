"""LanceDB's asynchronous queries from any thread: its blocking ones cross threads six times a query, these once a search."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

from ragkit.store import database
from ragkit.store.failures import told
from ragkit.store.schema import Header

_T = TypeVar("_T")
_LOCK = threading.Lock()
_loop: asyncio.AbstractEventLoop | None = None


def run(work: Coroutine[Any, Any, _T]) -> _T:
    """The result of ``work``, done on an event loop in a thread of its own; never call it from there."""
    global _loop
    with _LOCK:
        if _loop is None:
            fresh = asyncio.new_event_loop()
            try:
                threading.Thread(target=fresh.run_forever, name="ragkit-reading", daemon=True).start()
            except RuntimeError:
                # No more threads now; kept, the loop would let every later search wait for ever.
                fresh.close()
                work.close()
                raise
            _loop = fresh
    waiting = asyncio.run_coroutine_threadsafe(work, _loop)
    try:
        return waiting.result()
    except BaseException:
        waiting.cancel()
        raise


def _forget() -> None:
    """In a forked child the loop's thread is gone, and the lock may have been held by another."""
    global _loop, _LOCK
    _loop, _LOCK = None, threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)


class Reading:
    """Connections for handles that stay at one version; they share LanceDB's caches."""

    def __init__(self, path: Path) -> None:
        import lancedb

        self._path = path
        session = lancedb.Session()
        self._blocking = database.connect(path, session=session)
        with told(path, "connecting"):
            self._waiting = run(lancedb.connect_async(path, session=session))

    def open(self, version: int) -> tuple[Any, Any, Header]:
        """The table at ``version``, a handle on the same for ``run``, and its header. Raises what ``database.open_table`` raises."""
        table, header = database.open_table(self._blocking, self._path, version=version)
        with told(self._path, "opening"):
            return table, run(self._waiting.open_table(table.name, version=version)), header
