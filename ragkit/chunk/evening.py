"""Best fit: of all ways to pack sentences into the fewest chunks, the one that fills them most evenly."""

from __future__ import annotations

from bisect import bisect_right
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from ragkit.chunk.layout import Layout
from ragkit.chunk.packer import pack, token_places
from ragkit.errors import ChunkLimitError
from ragkit.seams import Tokenizer
from ragkit.text.unicode import cluster_start


def best_fit(text: str, cuts: NDArray[np.int64], tokenizer: Tokenizer, *, limit: int, overlap: int, ahead: int) -> Layout:
    """A layout whose breaks are the chosen ends of chunks; ``cuts`` are the ends of sentences, ascending, inside the text.

    The number of chunks is the least that sentences allow; among those packings the sum of squared free tokens is least.
    Ends that the greedy packing has too are fixed once in a while, the last at most ``ahead`` characters before the end, so
    that a text that goes on is packed alike. A sentence beyond the limit is cut first, as the engine would.
    """
    room = max(1, limit - overlap)
    starts = token_places(text, tokenizer)
    ends = _with_parts(text, cuts, starts, tokenizer, room)
    places = np.searchsorted(starts, ends)
    fixed = _last_greedy(ends, places, limit, room, len(text) - ahead)
    chosen = _fewest_and_evenest(places[: fixed + 1], limit, room)
    if fixed < len(ends) - 1:
        tail = _fewest_and_evenest(places[fixed:], room if fixed else limit, room)
        chosen += [fixed + at for at in tail]
    inner = ends[[at for at in chosen if at < len(ends) - 1]]
    return Layout(ends[1:-1], np.ones(len(ends) - 2, np.int64), breaks=inner, settled=int(ends[fixed]) if fixed else None)


def _with_parts(
    text: str, cuts: NDArray[np.int64], starts: NDArray[np.int64], tokenizer: Tokenizer, room: int
) -> NDArray[np.int64]:
    """0, the cuts, the parts of sentences beyond the limit, and the end of the text."""
    ends = np.concatenate(([0], cuts, [len(text)]))
    parts: list[int] = []
    for at in np.flatnonzero(np.diff(np.searchsorted(starts, ends)) > room):
        begin, end = int(ends[at]), int(ends[at + 1])
        parts += _parts(text, begin, end, tokenizer, room)
    return np.union1d(ends, np.array(parts, np.int64))


def _parts(text: str, begin: int, end: int, tokenizer: Tokenizer, room: int) -> list[int]:
    """The ends of a sentence's parts, without those in a grapheme cluster; none, for the engine to find, where a character needs more."""
    try:
        ends = [begin + piece.end for piece in pack(text[begin:end], Layout(), tokenizer, limit=room)]
    except ChunkLimitError:
        return []
    return [at for before, at in pairwise([begin, *ends]) if cluster_start(text, at, before) == at]


def _last_greedy(ends: NDArray[np.int64], places: NDArray[np.int64], limit: int, room: int, before: int) -> int:
    """The last end of the greedy packing that is not after ``before``, as an index into ``ends``; 0 when there is none."""
    at = 0
    while True:
        last = int(np.searchsorted(places, places[at] + (room if at else limit), side="right")) - 1
        last = max(at + 1, last)
        if last >= len(ends) - 1 or ends[last] > before:
            return at
        at = last


def _fewest_and_evenest(places: NDArray[np.int64], first: int, room: int) -> list[int]:
    """The ends of the chunks, as indices into ``places`` (tokens before each end); the first chunk may have ``first`` tokens.

    Dynamic programming over the ends: fewest chunks, then the least sum of squared free tokens. Every end has only as many
    predecessors as fit into a chunk, so time is linear in the text.
    """
    count = len(places)
    number, before = [0] * count, [0] * count
    cost = np.zeros(count, np.int64)
    low = 0
    for at in range(1, count):
        if places[at] - places[0] <= first or at == 1:
            number[at], cost[at] = 1, (first - (places[at] - places[0])) ** 2
            continue
        while low < at - 1 and (low == 0 or places[at] - places[low] > room):
            low += 1
        # Later ends need no fewer chunks, so those with the fewest stand together.
        high = bisect_right(number, number[low], low, at)
        costs = cost[low:high] + (room - (places[at] - places[low:high])) ** 2
        best = int(np.argmin(costs))
        number[at], before[at], cost[at] = number[low] + 1, low + best, costs[best]
    chosen, at = [], count - 1
    while at > 0:
        chosen.append(at)
        at = before[at]
    return chosen[::-1]
