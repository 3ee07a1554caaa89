"""What calls of a cache report."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from threading import Lock
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """What became of a ``put``: the id of the new entry, or None and the reason why nothing was stored. True when stored."""

    entry: str | None = None
    reason: str = ""

    def __bool__(self) -> bool:
        return self.entry is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheStats:
    """The store as it is now, and counts of this process since it was opened.

    ``verdicts`` counts look-ups by kind, ``refused`` why answers were not stored, ``stale`` entries removed at a look-up because a
    source had changed, ``skipped`` judgements and audits that too many others were waiting for. ``trouble`` is the last failure that
    a call was spared, "" for none.
    """

    path: str
    entries: int
    bytes: int
    model: str
    policy: dict[str, Any]
    threshold: float
    verdicts: dict[str, int]
    stored: int
    refused: dict[str, int]
    stale: int
    evicted: int
    skipped: int
    trouble: str


@dataclass(slots=True)
class Tally:
    """Counts, from any thread."""

    verdicts: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    stored: int = 0
    stale: int = 0
    _lock: Lock = field(default_factory=Lock)

    def saw(self, kind: str) -> None:
        """A look-up had this verdict."""
        with self._lock:
            self.verdicts[kind] += 1

    def put(self, reason: str) -> None:
        """An answer was stored, or was not for a reason; reasons are counted up to their first colon."""
        with self._lock:
            if reason:
                self.refused[reason.split(":")[0]] += 1
            else:
                self.stored += 1

    def removed(self, many: int) -> None:
        """Entries were found to be stale."""
        with self._lock:
            self.stale += many
