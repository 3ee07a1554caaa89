"""The engine under every chunker: one pass of the tokenizer, then bisection.

The tokenizer tells once where each token of the text starts. Token counts between two cuts are then a
difference of two positions, so that a chunk's end is found by bisection over the layout's cuts. Where the
tokenizer does not vouch that a cut leaves the tokens beside it as they were, the chunk's text is counted again
by itself, and shortened until it fits: the limit holds by the real tokenizer's own count, always.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ragkit.chunk.layout import Layout
from ragkit.errors import ChunkLimitError
from ragkit.seams import Tokenizer
from ragkit.text.token_starts import token_starts
from ragkit.text.unicode import cluster_start

#: A vocabulary may turn a long word into one "unknown" token: within the limit, and worthless as an embedding.
#: A token of more visible characters than this is taken for one token per _DENSE_STEP characters.
_DENSE, _DENSE_STEP = 100, 4
#: Between a context and what it is read before.
CONTEXT_END = "\n"


class Piece(NamedTuple):
    """A chunk to be: the span ``[start, end)``, the exact number of tokens in it, and what is read before it."""

    start: int
    end: int
    n_tokens: int
    context: str = ""


def pack(
    text: str, layout: Layout, tokenizer: Tokenizer, *, limit: int, overlap: int = 0, least: int | None = None, done: int = 0
) -> Iterator[Piece]:
    """Spans of at most ``limit`` tokens that cover ``text``; neighbours share at most ``overlap`` tokens.

    A chunk is filled with more than ``least`` tokens, by default half of the limit, before a stronger boundary is preferred to a
    later one. A context of the layout counts against the limit of the chunks that have it. What stands before ``done`` has
    been in a chunk, and the first chunk shares it.

    Raises ChunkLimitError when one character alone has more tokens than ``limit``.
    """
    packer = _Packer(text, layout, tokenizer, limit, limit // 2 if least is None else least)
    start = 0
    while done < len(text):
        piece = packer.take(start, done)
        if piece is None:
            start = done  # the overlap left no room for anything new
            continue
        yield piece
        done = piece.end
        start = packer.back(piece, overlap) if overlap and done < len(text) else done


class _Packer:
    """One text: where its tokens start, where it may be cut, what must stay whole."""

    __slots__ = (
        "_atoms", "_bare", "_breaks", "_contexts", "_cuts", "_doubtful", "_known", "_least", "_limit", "_spread", "_starts", "_strengths", "_text",
        "_tokenizer",
    )  # fmt: skip

    def __init__(self, text: str, layout: Layout, tokenizer: Tokenizer, limit: int, least: int) -> None:
        self._text, self._tokenizer, self._limit, self._least = text, tokenizer, limit, least
        self._contexts = layout.contexts
        starts, self._doubtful = token_starts(tokenizer, text)
        self._atoms = _fitting(layout.atoms, starts, limit)
        outside = ~_inside(layout.cuts, self._atoms)
        # Bisection over a memoryview is several times faster than one searchsorted call per look-up.
        self._starts = memoryview(starts)  # type: ignore[arg-type]
        self._spread = memoryview(_spread(text, starts))  # type: ignore[arg-type]
        self._cuts: list[int] = layout.cuts[outside].tolist()
        self._strengths: list[int] = layout.strengths[outside].tolist()
        self._breaks = layout.breaks.tolist()
        #: Where the last piece ended, whether the tokenizer vouches for that, and how many tokens stand before it.
        self._known = (0, tokenizer.additive_at(text, 0), 0)
        dense = len(self._spread) != len(self._starts)
        self._bare = not (self._cuts or self._breaks or self._contexts or self._doubtful or dense or len(self._atoms))

    def _count(self, start: int, end: int) -> int:
        """Exact tokens of ``text[start:end]``."""
        vouch, text = self._tokenizer.additive_at, self._text
        place, vouched, first = self._known
        if place != start:
            vouched, first = vouch(text, start), -1
        if vouched and vouch(text, end) and not (self._doubtful and self._doubt(start, end)):
            first = bisect_left(self._starts, start) if first < 0 else first
            last = _near(self._starts, end, first, self._limit)
            self._known = end, True, last
            return last - first
        return self._tokenizer.count_batch([text[start:end]])[0]

    def _doubt(self, start: int, end: int) -> bool:
        return bisect_right(self._doubtful, start) != bisect_left(self._doubtful, end)

    def take(self, start: int, done: int) -> Piece | None:
        """The chunk that begins at ``start`` and ends after ``done``; None when an overlap leaves no room."""
        if self._bare and (piece := self._take_words(start, done)):
            return piece
        context = self._context(start) if self._contexts else ""
        if not context:
            return self._take(start, done, "", 0)
        tokens = self._tokenizer.count_batch([context + CONTEXT_END])[0]
        # A context may fill half of a chunk; one that needs more is left out.
        if tokens * 2 <= self._limit:
            try:
                piece = self._take(start, done, context, tokens)
                # A grapheme cluster that fits alone is worth more than what is read before it.
                if piece is None or cluster_start(self._text, piece.end, start) == piece.end:
                    return piece
            except ChunkLimitError:
                pass  # the character fits without the context, or the next line says that it does not
        return self._take(start, done, "", 0)

    def _take_words(self, start: int, done: int) -> Piece | None:
        """What ``_take`` finds where nothing but words parts the text, in the common case; None in any other."""
        text, starts, room = self._text, self._starts, self._limit
        place, vouched, first = self._known
        full = first + room
        if place != start or not vouched or full >= len(starts):
            return None
        at = reach = starts[full]
        filled = max(done, starts[first + self._least])
        while at > filled and not text[at].isspace():
            at -= 1
        # One blank or line end after a visible character that neither it nor what follows extends.
        if at <= filled or text[at] not in " \n" or not "\u0300" > text[at - 1] > " " or text[at - 1].isspace():
            return None
        at += text[at] == "\n" and at < reach
        if not self._tokenizer.additive_at(text, at):
            return None
        last = bisect_left(starts, at, first, full + 1)
        self._known = at, True, last
        return Piece(start, at, last - first)

    def _context(self, start: int) -> str:
        """What is read before a chunk that begins at ``start``."""
        at = bisect_right(self._contexts, start, key=lambda entry: entry[0]) - 1
        return self._contexts[at][1] if at >= 0 else ""

    def _over(self, start: int, end: int, count: int, context: str, beside: int) -> int:
        """By how many tokens a chunk of ``count`` tokens exceeds the limit, read after its context or not."""
        if not context:
            return count - self._limit
        whole = self._tokenizer.count_batch([context + CONTEXT_END + self._text[start:end]])[0]
        return max(count + beside, whole) - self._limit

    def _take(self, start: int, done: int, context: str, beside: int) -> Piece | None:
        text, starts = self._text, self._spread
        room = self._limit - beside
        place, _, before = self._known
        # Tokens may be spread, which adds places and takes none away: the count before is where to begin to look.
        first = _near(starts, start, before, self._limit) if place == start else bisect_left(starts, start)
        budget = room
        border = self._border(done) if self._breaks else len(text)
        while budget > 0:
            reach = len(text) if first + budget >= len(starts) else starts[first + budget]
            if reach <= done:
                break
            end = border if border <= reach else self._end(start, done, reach, first, budget)
            if end <= done:
                break
            count = self._count(start, end)
            over = self._over(start, end, count, context, beside)
            if over <= 0:
                return Piece(start, end, count, context)
            budget = min(budget - 1, budget - over, budget * room // (room + over))
        return self._by_real_counts(start, done, context, beside)

    def _border(self, done: int) -> int:
        """The first break after ``done``, or the end of the text."""
        at = bisect_right(self._breaks, done)
        return self._breaks[at] if at < len(self._breaks) else len(self._text)

    def _end(self, start: int, done: int, reach: int, first: int, budget: int) -> int:
        """The best cut in ``(done, reach]``."""
        if len(self._atoms):
            reach = self._outside_atom(reach, done)
        filled = max(done, self._spread[min(first + budget * self._least // self._limit, len(self._spread) - 1)])
        high = bisect_right(self._cuts, reach) if self._cuts else 0
        near = bisect_right(self._cuts, filled, 0, high)
        if near < high:
            window = self._strengths[near:high]
            window.reverse()
            return self._whole(start, done, self._cuts[high - 1 - window.index(max(window))])
        if high and self._cuts[high - 1] > done:
            return self._whole(start, done, self._cuts[high - 1])
        return self._word_end(start, done, reach, filled)

    def _whole(self, start: int, done: int, end: int) -> int:
        """``end``, moved back so that it cuts no grapheme cluster, unless nothing would be left."""
        text = self._text
        # What cluster_start sees first, without the call.
        if end < len(text) and "\n" != text[end] < "\u0300" > text[end - 1]:
            return end
        whole = cluster_start(text, end, start)
        if whole > done:
            return whole
        return end if start == done else done

    def _outside_atom(self, reach: int, done: int) -> int:
        """``reach``, moved to the start of the atom it would cut."""
        at = int(np.searchsorted(self._atoms[:, 0], reach, side="left")) - 1
        if at >= 0 and done < self._atoms[at, 0] and reach < self._atoms[at, 1]:
            return int(self._atoms[at, 0])
        return reach

    def _word_end(self, start: int, done: int, reach: int, filled: int) -> int:
        """The last end of a word in ``(filled, reach]``, else the last whole character."""
        text, at = self._text, reach
        while at > filled and not text[at].isspace():
            at -= 1
        end = _beside_blanks(text, at, filled, min(at + 1, reach)) if at > filled else reach
        return self._whole(start, done, end)

    def _by_real_counts(self, start: int, done: int, context: str, beside: int) -> Piece | None:
        """The longest end that fits by counting texts alone: for tokenizers and texts where estimates fail."""
        text = self._text

        def fitting(end: int) -> bool:
            return self._over(start, end, self._count(start, end), context, beside) <= 0

        fits, high = done, done + 1
        while high < len(text) and fitting(high):
            fits, high = high, min(len(text), done + 2 * (high - done))
        if fitting(high):
            fits = high
        while high - fits > 1:
            middle = (fits + high) // 2
            if fitting(middle):
                fits = middle
            else:
                high = middle
        if fits > done:
            end = self._whole(start, done, fits)
            if end > done:
                end = end if fitting(end) else fits
                return Piece(start, end, self._count(start, end), context)
        if start < done:
            return None
        raise ChunkLimitError(
            f"The character {text[start]!r} at offset {start} has {self._count(start, start + 1)} tokens in "
            f"{self._tokenizer.name}, more than the {self._limit} that a chunk may have. Raise max_tokens."
        )

    def back(self, piece: Piece, overlap: int) -> int:
        """Where the next chunk begins: at a boundary so that it shares at most ``overlap`` tokens with ``piece``."""
        text, end, starts = self._text, piece.end, self._spread
        last = bisect_left(starts, end)
        lowest = max(piece.start + 1, starts[last - overlap] if last >= overlap else 0)
        middle = starts[max(0, last - max(1, overlap // 2))]
        at = bisect_left(self._cuts, lowest)
        if at < len(self._cuts) and self._cuts[at] <= min(middle, end - 1) and self._count(self._cuts[at], end) <= overlap:
            return self._cuts[at]
        at = lowest
        while at - 1 > piece.start and text[at - 1] in " \t":
            at -= 1
        if at == lowest and not text[at].isspace():
            at = _next_blank(text, lowest, end)
        if at == end:
            at = lowest
        while at < end:
            whole = cluster_start(text, at, piece.start)
            if whole > piece.start and self._count(whole, end) <= overlap:
                return whole
            at = max(at + 1, min(end, _next_blank(text, at + 1, end)) if text[at].isspace() else at + 1)
        return end


def token_places(text: str, tokenizer: Tokenizer) -> NDArray[np.int64]:
    """Where the tokens of ``text`` start, as the engine counts them while it looks for cuts."""
    return _spread(text, token_starts(tokenizer, text)[0])


def _near(places: memoryview[int], value: int, low: int, span: int) -> int:
    """``bisect_left(places, value, low)``, faster where the answer is about ``span`` places away."""
    high = low + span + 1
    return bisect_left(places, value, low, high if high < len(places) and places[high] >= value else len(places))


def _spread(text: str, starts: NDArray[np.int64]) -> NDArray[np.int64]:
    """``starts``, with a token of very many characters spread over them."""
    ends = np.append(starts[1:], len(text))
    long = np.flatnonzero(ends - starts > _DENSE)
    sizes = {int(at): len(text[starts[at] : ends[at]].rstrip()) for at in long}
    inside = [np.arange(starts[at] + _DENSE_STEP, starts[at] + size, _DENSE_STEP) for at, size in sizes.items() if size > _DENSE]
    return np.sort(np.concatenate([starts, *inside])) if inside else starts


def _fitting(atoms: NDArray[np.int64], starts: NDArray[np.int64], limit: int) -> NDArray[np.int64]:
    """The outermost atoms that fit into one chunk, as disjoint ascending spans."""
    if not len(atoms):
        return atoms
    counts = np.searchsorted(starts, atoms[:, 1]) - np.searchsorted(starts, atoms[:, 0])
    kept: list[tuple[int, int]] = []
    for begin, end in sorted(atoms[counts <= limit].tolist(), key=lambda span: (span[0], -span[1])):
        if not kept or begin >= kept[-1][1]:
            kept.append((begin, end))
    return np.array(kept, dtype=np.int64).reshape(-1, 2)


def _inside(cuts: NDArray[np.int64], atoms: NDArray[np.int64]) -> NDArray[np.bool_]:
    if not len(atoms):
        return np.zeros(len(cuts), np.bool_)
    at = np.searchsorted(atoms[:, 0], cuts, side="left") - 1
    return np.asarray((at >= 0) & (cuts < atoms[np.maximum(at, 0), 1]), np.bool_)


def _beside_blanks(text: str, at: int, floor: int, stop: int) -> int:
    """The cut in the blanks that end at ``at``, at most ``stop``: after their last line end, else before them."""
    begin = at
    while begin - 1 > floor and text[begin - 1].isspace():
        begin -= 1
    newline = text.rfind("\n", begin, stop)
    if newline < 0:
        newline = text.rfind("\r", begin, stop)
    return newline + 1 if newline >= 0 and text[newline : newline + 2] != "\r\n" else begin


def _next_blank(text: str, at: int, end: int) -> int:
    """The first blank at or after ``at`` that follows a visible character, else ``end``."""
    while at < end and not (text[at].isspace() and not text[at - 1].isspace()):
        at += 1
    return at
