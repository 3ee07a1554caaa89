"""One pass of a tokenizer over a long text, in slices that tokenize as the whole does."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

import numpy as np

from ragkit.seams import Offsets, Tokenizer

#: One long string tokenizes several times slower than a batch of slices this long (characters), in far more memory.
_SLICE = 4_000
_GROUP = 64
#: Without a safe seam within this many slice lengths, a slice ends anywhere.
_PATIENCE = 8


def token_starts(tokenizer: Tokenizer, text: str) -> tuple[Offsets, list[int]]:
    """Where each token of ``text`` starts, int64 ``(n_tokens,)``, and the seams that are only estimates.

    Counts between two positions that ``tokenizer.additive_at`` vouches for are exact unless one of the returned
    seams, ascending, lies between them.
    """
    found: list[Offsets] = []
    doubtful: list[int] = []
    pieces = slices(text, tokenizer)
    while group := list(islice(pieces, _GROUP)):
        doubtful += [end for _, end, exact in group if not exact]
        batch = tokenizer.starts_batch([text[start:end] for start, end, _ in group])
        found += [starts + begin for (begin, _, _), starts in zip(group, batch, strict=True)]
    return np.concatenate(found) if found else np.empty(0, np.int64), doubtful


def slices(text: str, tokenizer: Tokenizer) -> Iterator[tuple[int, int, bool]]:
    """``(start, end, exact)`` slices of about ``_SLICE`` characters that cover ``text``."""
    start, length = 0, len(text)
    while start < length:
        end = start + _SLICE
        if end >= length:
            yield start, length, True
            return
        last = min(start + _SLICE * _PATIENCE, length)
        seam = _seam(text, start + _SLICE // 2, end, tokenizer, last=True) or _seam(text, end, last, tokenizer, last=False)
        yield start, seam or last, seam is not None or last == length
        start = seam or last


def _seam(text: str, low: int, high: int, tokenizer: Tokenizer, *, last: bool) -> int | None:
    """The last, or first, place in ``[low, high)`` that the tokenizer vouches for; line ends before blanks."""
    for mark, shift in (("\n", 1), (" ", 0)):
        position = high if last else low - 1
        for _ in range(64):
            position = text.rfind(mark, low, position) if last else text.find(mark, position + 1, high)
            if position < 0:
                break
            if tokenizer.additive_at(text, position + shift):
                return position + shift
    return None
