"""From hits to the text a language model reads: merged, within a budget of tokens, every piece numbered and traceable."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

from ragkit.errors import InvalidInputError
from ragkit.text import resolve_tokenizer
from ragkit.types import Hit, Span

Order = Literal["rank", "document", "ends"]
_CITED = re.compile(r"\[(\d{1,4})\]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Passage:
    """A stretch ``[start, end)`` of one document's text that the hits ``chunk_ids`` cover without a gap.

    ``number`` is how the context cites it, counted from 1; ``score`` that of its best hit; ``text`` the exact slice.
    """

    number: int
    doc_id: str
    source: str
    title: str
    start: int
    end: int
    lines: tuple[int, int]
    text: str
    score: float
    chunk_ids: tuple[str, ...]

    @property
    def span(self) -> Span:
        """The characters of the document."""
        return Span(self.start, self.end)

    @property
    def heading(self) -> str:
        """``[number] title (source:lines)``, as it stands in the context."""
        first, last = self.lines
        place = f"{self.source}:{first}" if first == last else f"{self.source}:{first}-{last}"
        return f"[{self.number}] {self.title} ({place})" if self.title else f"[{self.number}] {place}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """What to put before a language model, and where each part of it came from.

    ``text`` has ``n_tokens`` tokens, special tokens not counted. ``left_out`` are the ids of the chunks that did not fit.
    """

    text: str
    passages: tuple[Passage, ...]
    n_tokens: int
    left_out: tuple[str, ...]

    def cited(self, answer: str) -> list[Passage]:
        """The passages that an answer cites as ``[number]``, in the order of their first mention; unknown numbers are left out."""
        known = {passage.number: passage for passage in self.passages}
        numbers = dict.fromkeys(int(found) for found in _CITED.findall(answer))
        return [known[number] for number in numbers if number in known]


@dataclass(slots=True)
class _Block:
    """Hits of one document that touch or overlap."""

    first: Hit
    start: int
    end: int
    text: str
    lines: tuple[int, int]
    rank: int
    score: float
    ids: list[str]

    def passage(self, number: int) -> Passage:
        return Passage(
            number=number,
            doc_id=self.first.chunk.doc_id,
            source=self.first.source,
            title=str(self.first.chunk.metadata.get("title") or ""),
            start=self.start,
            end=self.end,
            lines=self.lines,
            text=self.text,
            score=self.score,
            chunk_ids=tuple(self.ids),
        )


def assemble(hits: Sequence[Hit], *, max_tokens: int, tokenizer: Any = None, order: Order = "rank") -> Context:
    """Hits as one text of at most ``max_tokens`` tokens: numbered passages, each an exact slice of its document.

    Hits are taken best first; those of one document that touch or overlap become one passage, so nothing is told
    twice. A hit that no longer fits is left out whole and named in ``left_out``; a later, shorter one may still fit.
    ``order`` is that of the passages: by "rank", by "document" (documents by their best hit, passages by position), or
    "ends" (the best first and last, where models read most carefully; Liu et al., "Lost in the Middle", 2307.03172).
    ``tokenizer``, anything ``resolve_tokenizer`` takes, should be the reading model's.

    Raises InvalidInputError for a budget below 1 or an unknown order.
    """
    if not isinstance(max_tokens, int) or isinstance(max_tokens, bool) or max_tokens < 1:
        raise InvalidInputError(f"max_tokens is {max_tokens!r}; it must be a whole number of tokens, at least 1.")
    if order not in get_args(Order):
        raise InvalidInputError(f"order is {order!r}; allowed are {', '.join(get_args(Order))}.")
    counter = resolve_tokenizer(tokenizer)
    blocks: list[_Block] = []
    left_out: list[str] = []
    text, n_tokens = "", 0
    passages: tuple[Passage, ...] = ()
    for hit in sorted(hits, key=lambda hit: hit.rank):
        if any(hit.chunk.id in block.ids for block in blocks):
            continue
        trial = _with(blocks, hit)
        longer, found = _render(trial, order)
        count = counter.count_batch([longer])[0]
        if count > max_tokens:
            left_out.append(hit.chunk.id)
            continue
        blocks, text, passages, n_tokens = trial, longer, found, count
    return Context(text=text, passages=passages, n_tokens=n_tokens, left_out=tuple(left_out))


def _with(blocks: Sequence[_Block], hit: Hit) -> list[_Block]:
    """The blocks with one more hit, and whatever it joins made one."""
    chunk = hit.chunk
    grown = _Block(hit, chunk.start, chunk.end, chunk.text, hit.lines, hit.rank, hit.score, [chunk.id])
    kept: list[_Block] = []
    for block in blocks:
        apart = block.end < grown.start or block.start > grown.end
        if block.first.chunk.doc_id != chunk.doc_id or apart:
            kept.append(block)
            continue
        left, right = sorted((block, grown), key=lambda one: (one.start, -one.end))
        text = left.text if right.end <= left.end else left.text + right.text[left.end - right.start :]
        best = min(block, grown, key=lambda one: one.rank)
        lines = (min(left.lines[0], right.lines[0]), max(left.lines[1], right.lines[1]))
        grown = _Block(
            best.first, left.start, max(left.end, right.end), text, lines, best.rank, best.score, block.ids + grown.ids
        )
    return sorted([*kept, grown], key=lambda block: block.rank)


def _render(blocks: Sequence[_Block], order: Order) -> tuple[str, tuple[Passage, ...]]:
    if order == "document":
        best: dict[str, int] = {}
        for block in blocks:
            best.setdefault(block.first.chunk.doc_id, block.rank)
        placed = sorted(blocks, key=lambda block: (best[block.first.chunk.doc_id], block.start))
    elif order == "ends":
        placed = [*blocks[::2], *reversed(blocks[1::2])]
    else:
        placed = list(blocks)
    passages = tuple(block.passage(number) for number, block in enumerate(placed, 1))
    return "\n\n".join(f"{passage.heading}\n{passage.text.strip()}" for passage in passages), passages
