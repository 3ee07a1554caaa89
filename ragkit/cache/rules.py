"""The settings of a cache that are not parts of it."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from ragkit.errors import InvalidInputError

DAY = 86_400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """How long answers live (seconds), which are stored, and how near entries are looked for; ``SemanticCache`` tells more.

    Raises InvalidInputError for values out of range.
    """

    ttl: float | None = 7 * DAY
    jitter: float = 0.1
    fresh_ttl: float = 300.0
    max_temperature: float = 1.0
    guards: Collection[str] | None = None
    k: int = 5
    floor: float = 0.6

    def __post_init__(self) -> None:
        for name in ("ttl", "fresh_ttl"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise InvalidInputError(f"{name} is {value!r}; it is in seconds, more than 0.")
        if not 0 <= self.jitter < 1:
            raise InvalidInputError(f"jitter is {self.jitter!r}; it is a share of the ttl, in [0, 1).")
        if not isinstance(self.k, int) or isinstance(self.k, bool) or self.k < 1:
            raise InvalidInputError(f"k is {self.k!r}; it must be a whole number, at least 1.")
        if not -1 <= self.floor <= 1:
            raise InvalidInputError(f"floor is {self.floor!r}; it is a cosine in [-1, 1].")

    def lifetime(self, ttl: float | None, *, fresh: bool, coin: float) -> float | None:
        """Seconds that an entry lives: the shortest that applies, less up to ``jitter`` of it; None for ever."""
        given = [value for value in (self.ttl, ttl, self.fresh_ttl if fresh else None) if value is not None]
        return min(given) * (1 - self.jitter * coin) if given else None
