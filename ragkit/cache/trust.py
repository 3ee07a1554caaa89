"""Who may put an answer before others: poisoning is kept to the poisoner."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ragkit.cache.entry import Entry
from ragkit.cache.partition import View, above
from ragkit.cache.prompts import normalised
from ragkit.errors import InvalidInputError
from ragkit.seams import Vectors


@dataclass(frozen=True, slots=True, kw_only=True)
class Trust:
    """What a writer that is not trusted may do. Its entries serve itself alone until they are confirmed.

    ``quota``: entries of one writer that live at once. ``confirmations``: other writers that must have got the very same answer to
    the very same prompt before everybody is served; it is worth what it costs to pose as so many. ``crowd`` and ``within``: more
    than ``crowd`` entries of untrusted writers within that cosine of a new one are taken for an attack on a question, and no more
    are stored there.

    Raises InvalidInputError for values out of range.
    """

    quota: int = 1000
    confirmations: int = 2
    crowd: int = 20
    within: float = 0.9

    def __post_init__(self) -> None:
        for name in ("quota", "confirmations", "crowd"):
            if not getattr(self, name) >= 1:
                raise InvalidInputError(f"{name} is {getattr(self, name)!r}; it is at least 1.")
        if not 0 < self.within <= 1:
            raise InvalidInputError(f"within is {self.within!r}; it is a cosine in (0, 1].")

    def objection(self, written: int, view: View | None, vector: Vectors | None) -> str | None:
        """Why a writer that has ``written`` entries may not store one with that ``vector`` among those in ``view``; None where it may."""
        if written >= self.quota:
            return f"quota: the writer has {self.quota} entries already"
        if view is None or vector is None:
            return None
        near = [view.entries[place] for place in above(view, vector, self.within)[0].tolist()]
        if sum(entry is not None and bool(entry.owner) for entry in near) >= self.crowd:
            return f"density: {self.crowd} unconfirmed entries lie around this prompt"
        return None

    def confirmed(self, answer: str, writer: str, holders: Iterable[Entry]) -> bool:
        """True when enough other writers hold the same answer to the same prompt."""
        same = {one.writer for one in holders if one.owner and normalised(one.answer) == normalised(answer)} - {writer}
        return len(same) >= self.confirmations
