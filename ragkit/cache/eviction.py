"""Which entries go when a cache is full: those whose bytes save least."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ragkit.cache.entry import Entry
from ragkit.errors import InvalidInputError

#: Evicting goes on to this share of the limits, so that the next puts find room.
_DOWN_TO = 0.95


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How much a cache holds at most: ``entries``, and ``size`` in bytes of memory. ``half_life`` is in seconds.

    Raises InvalidInputError for values below 1.
    """

    entries: int = 100_000
    size: int = 1 << 30
    half_life: float = 86_400.0

    def __post_init__(self) -> None:
        for name in ("entries", "size", "half_life"):
            if not getattr(self, name) >= 1:
                raise InvalidInputError(f"{name} is {getattr(self, name)!r}; a limit is at least 1.")

    def exceeded(self, *, entries: int, size: int) -> bool:
        """True when there is more than the limits allow."""
        return entries > self.entries or size > self.size


def worth(entry: Entry, *, now: float, half_life: float) -> float:
    """What a byte of the entry saves: cost x (1 + hits) x 2^(-idle / half-life) / bytes, after GreedyDual-Size-Frequency.

    ``cost`` is in whatever unit the caller counts, ``idle`` the time since it was last served or made; hits are this process's.
    """
    idle = max(0.0, now - entry.used)
    return float(entry.cost * (1 + entry.hits) * 2.0 ** (-idle / half_life) / entry.size)


def to_evict(entries: Sequence[Entry], limits: Limits, *, now: float) -> list[Entry]:
    """The entries to remove: expired ones, then those of least worth until 95 % of the limits are kept. Empty within the limits."""
    count, size = len(entries), sum(entry.size for entry in entries)
    if not limits.exceeded(entries=count, size=size):
        return []
    gone = []
    for entry in sorted(
        entries, key=lambda one: (one.expires > now, worth(one, now=now, half_life=limits.half_life), one.at, one.id)
    ):
        if count <= _DOWN_TO * limits.entries and size <= _DOWN_TO * limits.size and entry.expires > now:
            break
        gone.append(entry)
        count -= 1
        size -= entry.size
    return gone
