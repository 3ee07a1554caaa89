"""Several ways to put one need: what rewriters give, and how what each finds becomes one list."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ragkit.errors import InvalidInputError
from ragkit.types import Hit, Part

#: Measured; ADR 116 has the figures.
_C = 10.0


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


def fuse(lists: Sequence[Sequence[Hit]], names: Sequence[str]) -> list[Hit]:
    """All hits of the lists, best first, by reciprocal ranks: each list adds 1 / (10 + rank) to what it holds.

    ``hit.parts`` has, by the lists' names, the score and rank there and what that added. Ties break by document id, then
    start. After Cormack, Clarke and Buettcher (SIGIR 2009).
    """
    found: dict[str, Hit] = {}
    parts: dict[str, dict[str, Part]] = {}
    for name, hits in zip(names, lists, strict=True):
        for rank, hit in enumerate(hits, 1):
            found.setdefault(hit.chunk.id, hit)
            parts.setdefault(hit.chunk.id, {})[name] = Part(score=hit.score, rank=rank, share=1.0 / (_C + rank))
    fused = [replace(hit, score=sum(part.share for part in parts[one].values()), parts=parts[one]) for one, hit in found.items()]
    fused.sort(key=lambda hit: (-hit.score, hit.chunk.doc_id, hit.chunk.start, hit.chunk.id))
    return [replace(hit, rank=rank) for rank, hit in enumerate(fused, 1)]


def fuse_deep(find: Callable[[int], Sequence[Sequence[Hit]]], names: Sequence[str], *, k: int, depth: int) -> list[Hit]:
    """The best ``k`` of the fused lists; ``find`` gives the lists, each at most as long as it is told.

    Read are ``depth`` hits of each; while that gives too few, twice as many. What is new then ranks after everything before
    it, so that the best k are the beginning of more.
    """
    lists = find(depth)
    hits = fuse(lists, names)
    while len(hits) < k and any(len(one) >= depth for one in lists):
        depth *= 2
        lists = find(depth)
        seen, floor = {hit.chunk.id for hit in hits}, hits[-1].score
        more = [hit for hit in fuse(lists, names) if hit.chunk.id not in seen]
        hits += [replace(hit, score=min(hit.score, floor), rank=len(seen) + at) for at, hit in enumerate(more, 1)]
    return hits[:k]


def _checked(name: str, given: Any) -> tuple[str, ...]:
    if isinstance(given, str) or not isinstance(given, Iterable):
        raise InvalidInputError(f"{name} is {given!r}; give a list of texts, for example [{given!r}].")
    texts = tuple(dict.fromkeys(given))
    for text in texts:
        if not isinstance(text, str) or not text.strip():
            raise InvalidInputError(f"{name} holds {text!r}; each must be a text of at least one word.")
    return texts
