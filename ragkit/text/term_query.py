"""Conditions on a chunk's tokens: what a question about words has become once an analyzer has read it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import regex


@dataclass(frozen=True)
class OneOf:
    """At least one of these tokens."""

    tokens: tuple[str, ...]

    def matches(self, lex: Sequence[str]) -> bool:
        return not frozenset(self.tokens).isdisjoint(lex)


@dataclass(frozen=True)
class InOrder:
    """``tokens`` are all there, and the tokens joined by blanks hold ``pattern`` between two blanks."""

    tokens: tuple[str, ...]
    pattern: str

    @cached_property
    def _compiled(self) -> regex.Pattern[str]:
        return regex.compile(f" {self.pattern} ")

    def matches(self, lex: Sequence[str]) -> bool:
        return self._compiled.search(f" {' '.join(lex)} ") is not None


@dataclass(frozen=True)
class Every:
    """Every one of ``parts`` and none of ``without``; ``parts`` may only be empty where ``without`` is."""

    parts: tuple[Condition, ...]
    without: tuple[Condition, ...] = ()

    def matches(self, lex: Sequence[str]) -> bool:
        return all(part.matches(lex) for part in self.parts) and not any(part.matches(lex) for part in self.without)


@dataclass(frozen=True)
class Either:
    """At least one of ``parts``."""

    parts: tuple[Condition, ...]

    def matches(self, lex: Sequence[str]) -> bool:
        return any(part.matches(lex) for part in self.parts)


Condition = OneOf | InOrder | Every | Either


@dataclass(frozen=True)
class TermQuery:
    """What the BM25 arm looks for.

    A row is found when ``condition`` matches its tokens, and scored by ``tokens`` (repeats count). ``without`` is what a
    hit of no arm may hold. ``boosts`` are what tokens weigh in the scorer against an index's own weights: only the choice of
    candidates depends on them.
    """

    condition: Condition
    tokens: tuple[str, ...]
    without: tuple[Condition, ...] = ()
    boosts: Mapping[str, float] = field(default_factory=dict, hash=False)

    @classmethod
    def of(cls, tokens: Iterable[str]) -> TermQuery:
        """Rows that hold any of ``tokens``."""
        words = tuple(tokens)
        return cls(OneOf(tuple(dict.fromkeys(words))), words)

    def allows(self, lex: Sequence[str]) -> bool:
        """False for a row that holds what the query excludes."""
        return not any(part.matches(lex) for part in self.without)
