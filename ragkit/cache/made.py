"""A fresh answer, with what it rests on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from ragkit.cache.admission import Outcome
from ragkit.cache.sources import Source

#: Says of a prompt, a stored answer and a fresh one whether both say the same. One that raises has not judged.
Judge = Callable[[str, str, str], bool]


@dataclass(frozen=True, slots=True)
class Made:
    """An answer to be stored: its text, what it rests on, and how it ended where that is known.

    ``outcome`` decides whether it may be stored (its own text must not be blank either); ``text`` is what is served again, and may
    be another form of it. ``cost`` is in any one unit, ``ttl`` in seconds; None leaves them to the cache.
    """

    text: str
    outcome: Outcome | None = None
    sources: tuple[Source, ...] = ()
    tags: tuple[str, ...] = ()
    cost: float | None = None
    ttl: float | None = None

    @property
    def admitted(self) -> Outcome:
        """The outcome to be admitted."""
        return self.outcome or Outcome(text=self.text)

    def added_to(self, given: Made, seconds: float) -> Made:
        """With the sources, tags and limits that were ``given`` with the prompt; it took ``seconds``."""
        cost = given.cost if given.cost is not None else self.cost
        return replace(
            self,
            sources=(*given.sources, *self.sources),
            tags=(*given.tags, *self.tags),
            cost=cost if cost is not None else seconds,
            ttl=min((ttl for ttl in (given.ttl, self.ttl) if ttl is not None), default=None),
        )


def made_of(answer: str | Outcome | Made) -> Made:
    """What a maker returned, as Made."""
    if isinstance(answer, Made):
        return answer
    return Made(answer.text, outcome=answer) if isinstance(answer, Outcome) else Made(answer)
