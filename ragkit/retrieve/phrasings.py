"""Several ways to put one need: what rewriters give, and how what each finds becomes one list."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ragkit.errors import InvalidInputError
from ragkit.types import Hit, Part


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What rewriting took: calls of a model that were answered, tokens by the provider's own count, seconds."""

    calls: int = 0
    tokens_in: int = 0
    tokens_cached: int = 0
    tokens_out: int = 0
    seconds: float = 0.0

    def __add__(self, other: Cost) -> Cost:
        return Cost(
            calls=self.calls + other.calls,
            tokens_in=self.tokens_in + other.tokens_in,
            tokens_cached=self.tokens_cached + other.tokens_cached,
            tokens_out=self.tokens_out + other.tokens_out,
            seconds=self.seconds + other.seconds,
        )


@dataclass(frozen=True, slots=True)
class Phrasings:
    """One need in several words: ``index.search(Phrasings(["how long until a request fails?", "request timeout"]))``.

    ``texts`` are questions; ``passages``, texts that an answer might look like, are embedded as documents are. Each is
    searched by itself, and the lists are fused; ``hit.parts`` calls them q1, q2 and p1, p2. The first is what ``rerank`` gets. ``note`` says what did not go as it should
    where a rewriter made them, ``cost`` what that took. What is said twice counts once.

    Raises InvalidInputError for a str in place of a list, for texts that are blank or no text, and without any.
    """

    texts: Sequence[str]
    passages: Sequence[str] = field(default=(), kw_only=True)
    note: str = field(default="", kw_only=True)
    cost: Cost = field(default=Cost(), kw_only=True)

    def __post_init__(self) -> None:
        for name in ("texts", "passages"):
            object.__setattr__(self, name, _checked(name, getattr(self, name)))
        if not self.texts and not self.passages:
            raise InvalidInputError("Phrasings is empty; give at least one question or one passage.")


#: A rewriter gets a question and gives it in other words; a list of questions is as good as Phrasings.
Rewriter = Callable[[str], Phrasings | Sequence[str]]


def rewritten(rewrite: Rewriter, question: str) -> Phrasings:
    """What the rewriter makes of a question. Raises InvalidInputError when it gives nothing usable."""
    given = rewrite(question)
    return given if isinstance(given, Phrasings) else Phrasings(given)


def fuse(lists: Sequence[Sequence[Hit]], names: Sequence[str], *, depth: int) -> list[Hit]:
    """All hits of the lists, best first, by the mean over the lists of what each scored there above what it would miss.

    A list that holds ``depth`` hits may go on below: what it lacks scores there at most as its last, so that is where its
    scores begin; a shorter one has all there is, and begins at 0. ``hit.parts`` has, by the lists' names, score and rank there and the
    share of the final score. Scores must be in one unit, as those of one mode of search are. Ties break by document id, then start.
    """
    found: dict[str, Hit] = {}
    parts: dict[str, dict[str, Part]] = {}
    for name, hits in zip(names, lists, strict=True):
        floor = hits[-1].score if len(hits) >= depth else 0.0
        for rank, hit in enumerate(hits, 1):
            found.setdefault(hit.chunk.id, hit)
            share = (hit.score - floor) / len(lists)
            parts.setdefault(hit.chunk.id, {})[name] = Part(score=hit.score, rank=rank, share=share)
    fused = [
        replace(hit, score=math.fsum(part.share for part in parts[one].values()), parts=parts[one]) for one, hit in found.items()
    ]
    fused.sort(key=lambda hit: (-hit.score, hit.chunk.doc_id, hit.chunk.start, hit.chunk.id))
    return [replace(hit, rank=rank) for rank, hit in enumerate(fused, 1)]


def fuse_deep(find: Callable[[int], Sequence[Sequence[Hit]]], names: Sequence[str], *, k: int, depth: int) -> list[Hit]:
    """The best ``k`` of the fused lists; ``find`` gives the lists, each at most as long as it is told.

    Read are ``depth`` hits of each; while that gives too few, twice as many. What is new then ranks after everything before
    it, so that the best k are the beginning of more.
    """
    lists = find(depth)
    hits = fuse(lists, names, depth=depth)
    while len(hits) < k and any(len(one) >= depth for one in lists):
        depth *= 2
        lists = find(depth)
        seen, least = {hit.chunk.id for hit in hits}, hits[-1].score
        more = [hit for hit in fuse(lists, names, depth=depth) if hit.chunk.id not in seen]
        hits += [replace(hit, score=min(hit.score, least), rank=len(seen) + at) for at, hit in enumerate(more, 1)]
    return hits[:k]


def _checked(name: str, given: Any) -> tuple[str, ...]:
    if isinstance(given, str) or not isinstance(given, Iterable):
        raise InvalidInputError(f"{name} is {given!r}; give a list of texts, for example [{given!r}].")
    texts = tuple(dict.fromkeys(given))
    for text in texts:
        if not isinstance(text, str) or not text.strip():
            raise InvalidInputError(f"{name} holds {text!r}; each must be a text of at least one word.")
    return texts
