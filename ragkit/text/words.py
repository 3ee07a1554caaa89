"""Token counts word by word, remembered: for vocabularies in which a blank parts all tokens.

Text repeats its words far more than its sentences. Where a blank is a seam, each distinct word is tokenized once and its
count looked up ever after: several times faster than tokenizing the text, even when nothing is remembered yet.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import chain

import numpy as np

from ragkit.seams import Offsets

Starts = Callable[[Sequence[str]], list[Offsets]]

#: About 10 MB of words; beyond it the memory starts anew.
_REMEMBERED = 100_000
#: Longer words hardly ever come back.
_LONGEST = 40
_PIECE = 4_000


class WordCounts:
    """How many tokens each word has; ``starts`` tokenizes those that are not remembered."""

    __slots__ = ("_known", "_starts")

    def __init__(self, starts: Starts) -> None:
        self._starts = starts
        self._known: dict[str, int] = {}

    def starts_batch(self, texts: Sequence[str]) -> list[Offsets]:
        """Where the tokens of each text start; those of one word are spread evenly over it."""
        split = [_words(text) for text in texts]
        table = self._learn(set(chain.from_iterable(split)))
        return [_spread(words, table) for words in split]

    def _learn(self, words: set[str]) -> dict[str, int]:
        """The counts of these words; threads may do the same work twice, and come to the same counts."""
        known = self._known
        fresh: dict[str, int] = {}
        # Sorted, so that equal texts are tokenized in equal pieces on every machine.
        pieces = list(_pieces(sorted(words - known.keys())))
        for piece, starts in zip(pieces, self._starts([" ".join(piece) for piece in pieces]), strict=True):
            lengths = np.fromiter(map(len, piece), np.int64, len(piece))
            edges = np.append(0, np.cumsum(lengths + 1))
            fresh |= zip(piece, np.diff(np.searchsorted(starts, edges)).tolist(), strict=True)
        table = {word: known[word] for word in words if word in known} | fresh
        if len(known) > _REMEMBERED:
            self._known = {}
        self._known.update((word, count) for word, count in fresh.items() if len(word) <= _LONGEST)
        return table


def _words(text: str) -> list[str]:
    """The runs between single blanks, empty ones included: with one blank each they rebuild the text's offsets."""
    return text.replace("\n", " ").replace("\t", " ").replace("\r", " ").split(" ")


def _pieces(words: Sequence[str]) -> Iterator[list[str]]:
    piece: list[str] = []
    size = 0
    for word in words:
        piece.append(word)
        size += len(word) + 1
        if size >= _PIECE:
            yield piece
            piece, size = [], 0
    if piece:
        yield piece


def _spread(words: list[str], counts_of: dict[str, int]) -> Offsets:
    counts = np.fromiter(map(counts_of.__getitem__, words), np.int64, len(words))
    lengths = np.fromiter(map(len, words), np.int64, len(words))
    begins = np.cumsum(lengths + 1) - (lengths + 1)
    word = np.repeat(np.arange(len(words)), counts)
    inside = np.arange(len(word)) - np.repeat(np.cumsum(counts) - counts, counts)
    starts: Offsets = begins[word] + inside * lengths[word] // counts[word]
    return starts
