"""A text longer than the model's window, read in overlapping passes of token ids.

Late chunking's long form (Günther et al., 2409.04701), with three differences: every pass has its own special tokens,
prompt and context; a token's vector comes from the pass in which it stands farthest from where the text was cut, and
not from the first that holds it; the last pass is moved left until it is full.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ragkit.errors import InvalidInputError
from ragkit.text import HuggingFaceTokenizer, encodable
from ragkit.text.token_starts import slices
from ragkit.types import Span

Ids = NDArray[np.int32]
Places = NDArray[np.int64]
#: Texts longer than this (characters) are tokenized in slices from the outset: an encoding takes some 150 bytes a byte.
LONG_TEXT = 100_000
_GROUP = 64


class Own(NamedTuple):
    """A row's own tokens in one input: their numbers there, and their characters ``[start, end)`` in the row's text.

    ``number`` counts the passes that hold tokens of the row, from 0. All arrays are int64 ``(n,)``.
    """

    row: int
    number: int
    tokens: Places
    starts: Places
    ends: Places


def own_tokens(row: int, number: int, tokens: Places, starts: Places, ends: Places, span: Span) -> Own:
    """Tokens with their characters counted from the span's start; one that reaches over its edge ends there."""
    length = span.end - span.start
    return Own(row, number, tokens, np.clip(starts - span.start, 0, length), np.clip(ends - span.start, 0, length))


@dataclass(frozen=True, slots=True)
class LongReading:
    """The passes over one text.

    ``ids`` are whole inputs, special tokens included; pass i holds the body's tokens from ``firsts[i]`` on, after
    ``lead`` others, and gives the vectors of the tokens ``[owned[i], owned[i + 1])``. ``starts`` and ``ends`` are the
    tokens' characters in the body, int64 ``(n_tokens,)``; ``ascending`` says that neither ever steps back.
    """

    ids: list[Ids]
    firsts: Places
    owned: Places
    lead: int
    starts: Places
    ends: Places
    ascending: bool

    def tokens_of(self, span: Span) -> Iterator[tuple[int, Places]]:
        """``(pass, token numbers in it)`` of the tokens that share a character with ``span``; of all for a span without."""
        found = self._sharing(span)
        for place, tokens in self._by_pass(found if len(found) else np.arange(len(self.starts))):
            yield place, self._numbers(place, tokens)

    def own(self, row: int, span: Span) -> Iterator[tuple[int, Own]]:
        """``(pass, own tokens)`` of a row whose text is ``span``; no tokens in the first pass for a span without."""
        found = self._sharing(span)
        passes = list(self._by_pass(found)) or [(0, found)]
        for number, (place, tokens) in enumerate(passes):
            yield place, own_tokens(row, number, self._numbers(place, tokens), self.starts[tokens], self.ends[tokens], span)

    def _sharing(self, span: Span) -> Places:
        first, last = 0, len(self.starts)
        if self.ascending:
            first = int(np.searchsorted(self.ends, span.start, side="right"))
            last = int(np.searchsorted(self.starts, span.end, side="left"))
        starts, ends = self.starts[first:last], self.ends[first:last]
        found: Places = first + np.flatnonzero((starts < span.end) & (ends > span.start) & (ends > starts))
        return found

    def _by_pass(self, tokens: Places) -> Iterator[tuple[int, Places]]:
        owners = np.searchsorted(self.owned, tokens, side="right") - 1
        for place in np.unique(owners):
            yield int(place), tokens[owners == place]

    def _numbers(self, place: int, tokens: Places) -> Places:
        numbers: Places = tokens - self.firsts[place] + self.lead
        return numbers


def read_long(
    tokenizer: HuggingFaceTokenizer, head: str, body: str, window: int, overlap: int, name: Callable[[], str]
) -> LongReading:
    """Passes of at most ``window`` tokens over ``body``, each after ``head`` (prompt and context), sharing ``overlap``.

    Raises InvalidInputError where prompt, context, special tokens and overlap leave no room to advance.
    """
    before, after = _special_ids(tokenizer)
    lead = [*before, *tokenizer.backend.encode(encodable(head), add_special_tokens=False).ids]
    room = window - len(lead) - len(after)
    if room <= overlap:
        raise InvalidInputError(
            f"{name()} is read in passes of {window} tokens, of which special tokens, prompt and context take {window - room} and "
            f"overlap={overlap} leaves {room - overlap} to advance. Lower the overlap, shorten the context, or use a larger window."
        )
    ids, starts, ends = _tokens(tokenizer, body)
    firsts = first_tokens(len(ids), room, overlap)
    lead_ids, tail_ids = np.array(lead, np.int32), np.array(after, np.int32)
    passes = [np.concatenate([lead_ids, ids[first : first + room], tail_ids]) for first in firsts]
    ascending = bool((np.diff(starts) >= 0).all() and (np.diff(ends) >= 0).all())
    return LongReading(passes, firsts, owners_of(firsts, room, len(ids)), len(lead), starts, ends, ascending)


def first_tokens(n: int, room: int, overlap: int) -> Places:
    """Where each pass of ``room`` tokens begins so that ``n`` are covered; the last is moved left until it is full."""
    if n <= room:
        return np.zeros(1, np.int64)
    count = -(-(n - overlap) // (room - overlap))
    return np.minimum(np.arange(count, dtype=np.int64) * (room - overlap), n - room)


def owners_of(firsts: Places, room: int, n: int) -> Places:
    """``(passes + 1,)``: pass i gives the tokens from entry i to entry i + 1, those farthest from its two cuts.

    Where the next pass begins and where this one ends the text was cut; the border lies half-way between the two.
    """
    borders = (firsts[1:] + firsts[:-1] + room + 1) // 2
    return np.concatenate([[0], borders, [n]]).astype(np.int64)


def _special_ids(tokenizer: HuggingFaceTokenizer) -> tuple[list[int], list[int]]:
    """The special tokens the model puts before and after a text."""
    encoding = tokenizer.backend.encode("a")
    own = [place for place, special in enumerate(encoding.special_tokens_mask) if not special]
    first, last = (own[0], own[-1]) if own else (len(encoding.ids), len(encoding.ids))
    return encoding.ids[:first], encoding.ids[last + 1 :]


def _tokens(tokenizer: HuggingFaceTokenizer, text: str) -> tuple[Ids, Places, Places]:
    """Ids and character ranges of all tokens, tokenized in slices where the tokenizer vouches for the seams."""
    pieces = slices(text, tokenizer) if tokenizer.additive_at(text, 0) else iter([(0, len(text), True)])
    ids: list[Ids] = []
    ranges: list[NDArray[np.int64]] = []
    while group := list(islice(pieces, _GROUP)):
        texts = [encodable(text[start:end]) for start, end, _ in group]
        for (start, _, _), encoding in zip(group, tokenizer.backend.encode_batch(texts, add_special_tokens=False), strict=True):
            ids.append(np.array(encoding.ids, np.int32))
            ranges.append(np.array(encoding.offsets, np.int64).reshape(-1, 2) + start)
    if not ids:
        return np.empty(0, np.int32), np.empty(0, np.int64), np.empty(0, np.int64)
    places = np.concatenate(ranges)
    return np.concatenate(ids), places[:, 0], places[:, 1]
