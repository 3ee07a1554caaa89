"""Guards: reasons, found without any model, why the answer to one prompt must not be served for another.

Deterministic, and made for English; in other languages and scripts they compare numbers, codes, names, denials and single
replaced words. A guard that finds nothing proves nothing.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from ragkit.cache.guards.checks import FINDINGS, GUARDS, Guard, fresh_words
from ragkit.cache.guards.reading import read
from ragkit.errors import InvalidInputError

__all__ = ["GUARDS", "Rejection", "asks_about_now", "check", "prepare"]


@dataclass(frozen=True, slots=True)
class Rejection:
    """The guard that objects, and the pieces that differ: of the prompt asked (``left``) and of the stored one (``right``)."""

    guard: str
    left: str
    right: str

    @property
    def reason(self) -> str:
        """One line for people."""
        return f"{self.guard}: {self.left or 'nothing'!s} against {self.right or 'nothing'!s}"


def check(left: str, right: str, *, guards: Collection[str] | None = None, first: bool = False) -> tuple[Rejection, ...]:
    """Every objection to serving the answer of ``right`` for ``left``; empty when no guard objects.

    ``guards`` names those to ask (default: all), ``first`` stops at the first objection. Raises InvalidInputError for an
    unknown guard.
    """
    chosen = GUARDS if guards is None else _chosen(guards)
    one, other = read(left), read(right)
    found: list[Rejection] = []
    for name, guard in chosen.items():
        difference = guard(one, other)
        if difference:
            found.append(Rejection(name, *difference))
            if first:
                break
    return tuple(found)


def _chosen(guards: Collection[str]) -> dict[str, Guard]:
    unknown = [name for name in guards if name not in GUARDS]
    if unknown:
        raise InvalidInputError(f"guards names {unknown[0]!r}; the guards are {', '.join(GUARDS)}.")
    return {name: GUARDS[name] for name in guards}


def prepare(prompt: str) -> None:
    """Read a prompt that was stored, so that no look-up has to; readings of the prompts asked for last are kept."""
    reading = read(prompt)
    for find in FINDINGS:
        find(reading)


def asks_about_now(prompt: str) -> str | None:
    """The words for which the answer will soon be another ("today", "latest"), else None: store such answers briefly or not at all."""
    return fresh_words(read(prompt)) or None
