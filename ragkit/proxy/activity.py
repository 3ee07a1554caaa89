"""What happened lately, for the page: counts a minute, and the near misses with both prompts. Kept in memory only, and bounded."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from ragkit.cache import Verdict

#: Minutes on the page's chart, and near misses in its list.
_MINUTES, _NEAR = 120, 100


@dataclass(frozen=True, slots=True, kw_only=True)
class NearMiss:
    """A prompt that came near an entry and was not served it; the prompts are "" where the operator may not see them."""

    at: float
    model: str
    similarity: float | None
    refused_by: str
    reason: str
    entry: str
    prompt: str = ""
    stored: str = ""


class Activity:
    """Counts and near misses of one server since it started; ``clock`` gives seconds since 1970."""

    def __init__(self, *, show_prompts: bool, clock: Callable[[], float] = time.time) -> None:
        self._show, self._clock = show_prompts, clock
        self._minutes: deque[tuple[int, Counter[str]]] = deque(maxlen=_MINUTES)
        self._near: deque[NearMiss] = deque(maxlen=_NEAR)
        self.totals: Counter[str] = Counter()

    def count(self, what: str, amount: float = 1) -> None:
        """Add to a total and to this minute."""
        minute = int(self._clock() // 60)
        if not self._minutes or self._minutes[-1][0] != minute:
            self._minutes.append((minute, Counter()))
        self._minutes[-1][1][what] += amount  # type: ignore[assignment]
        self.totals[what] += amount  # type: ignore[assignment]

    def near(self, prompt: str, verdict: Verdict, *, model: str, stored: str) -> None:
        """Remember a near miss; ``stored`` is the prompt of the entry that came nearest."""
        refusal = verdict.refusals[0] if verdict.refusals else None
        self._near.appendleft(
            NearMiss(
                at=self._clock(),
                model=model,
                similarity=verdict.similarity,
                refused_by=refusal.tier if refusal else verdict.tier,
                reason=refusal.reason if refusal else verdict.reason,
                entry=refusal.entry if refusal else verdict.entry or "",
                prompt=prompt if self._show else "",
                stored=stored if self._show else "",
            )
        )

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready: ``totals``, ``minutes`` (oldest first, quiet ones included), ``near`` (newest first)."""
        known = dict(self._minutes)
        now = int(self._clock() // 60)
        first = max(min(known, default=now), now - _MINUTES + 1)
        return {
            "totals": dict(self.totals),
            "minutes": [{"at": 60 * minute, **known.get(minute, {})} for minute in range(first, now + 1)],
            "near": [asdict(one) for one in self._near],
        }
