"""From sentences that were found to the runs of sentences that answer: landmarks, without fixed chunks.

A sentence alone says little, and its neighbours say whether it stands in the right place. So a sentence's evidence is its own
score plus a share of its neighbours', and a run grows from the strongest over whatever is nearly as strong. The idea of
sentence landmarks is that of Luo et al., "Landmark Embedding" (2402.11573); what they learn by training is read off the
neighbours here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from ragkit.errors import InvalidInputError
from ragkit.types import Chunk, Hit

#: Measured on two collections; ADR 92 has the figures.
_NEIGHBOURS = 0.25
_SHARE = 0.8


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """Neighbouring chunks of one document, in order; ``seed`` is the hit it grew from, ``score`` the seed's with its neighbours'."""

    chunks: tuple[Chunk, ...]
    seed: Hit
    score: float


def find_runs(
    hits: Sequence[Hit],
    chunks_of: Callable[[str], Sequence[Chunk]],
    *,
    max_tokens: int,
    gap: int = 1,
    share: float = _SHARE,
    neighbours: float = _NEIGHBOURS,
) -> Iterator[Run]:
    """Runs of the chunks found, best first, lazily; every hit is in exactly one, and no chunk is in two.

    ``hits`` are of one search, best first; ``chunks_of`` gives all chunks of a document, in order. The lowest hit's score
    counts as nothing; a chunk's evidence is what it has above that, plus ``neighbours`` (0 to 1) times that of the chunk on
    either side. A run grows from its strongest hit to chunks with at least ``share`` (above 0, up to 1) of its evidence, over up
    to ``gap`` weaker ones, as long as its chunks have ``max_tokens`` tokens together, and never over a hole
    between chunks. A hit that is larger by itself is a run of its own.

    Raises InvalidInputError for settings out of range.
    """
    _check(max_tokens, gap, share, neighbours)
    return _runs(hits, chunks_of, max_tokens, gap, share, neighbours)


def _runs(
    hits: Sequence[Hit], chunks_of: Callable[[str], Sequence[Chunk]], most: int, gap: int, share: float, neighbours: float
) -> Iterator[Run]:
    if not hits:
        return
    floor = min(hit.score for hit in hits)
    alone = {(hit.chunk.doc_id, hit.chunk.index): hit.score - floor for hit in hits}

    def evidence(doc_id: str, at: int) -> float:
        around = alone.get((doc_id, at - 1), 0.0) + alone.get((doc_id, at + 1), 0.0)
        return alone.get((doc_id, at), 0.0) + neighbours * around

    ranked = sorted(
        ((evidence(hit.chunk.doc_id, hit.chunk.index), hit) for hit in hits),
        key=lambda pair: (-pair[0], -pair[1].score, pair[1].chunk.doc_id, pair[1].chunk.index),
    )
    taken: dict[str, set[int]] = {}
    for top, seed in ranked:
        doc_id, at = seed.chunk.doc_id, seed.chunk.index
        used = taken.setdefault(doc_id, set())
        if at in used:
            continue
        chunks = chunks_of(doc_id)
        first = last = at
        tokens = chunks[at].n_tokens
        while top > 0:
            steps = [
                (-evidence(doc_id, reach), abs(reach - at), -reach, begin, end)
                for begin, end, reach in _reachable(chunks, first, last, gap)
                if evidence(doc_id, reach) >= share * top
                and not used.intersection(range(begin, end))
                and tokens + sum(chunk.n_tokens for chunk in chunks[begin:end]) <= most
            ]
            if not steps:
                break
            *_, begin, end = min(steps)
            tokens += sum(chunk.n_tokens for chunk in chunks[begin:end])
            first, last = min(first, begin), max(last, end - 1)
        used.update(range(first, last + 1))
        yield Run(chunks=tuple(chunks[first : last + 1]), seed=seed, score=floor + top)


def _reachable(chunks: Sequence[Chunk], first: int, last: int, gap: int) -> Iterator[tuple[int, int, int]]:
    """``(begin, end, reach)``: taking ``chunks[begin:end]`` extends the run to ``reach``, over at most ``gap`` others."""
    for reach in range(last + 1, min(last + gap + 2, len(chunks))):
        if chunks[reach].start > chunks[reach - 1].end:
            break
        yield last + 1, reach + 1, reach
    for reach in range(first - 1, max(first - gap - 2, -1), -1):
        if chunks[reach].end < chunks[reach + 1].start:
            break
        yield reach, first, reach


def _check(max_tokens: int, gap: int, share: float, neighbours: float) -> None:
    for name, value, least in (("max_tokens", max_tokens, 1), ("gap", gap, 0)):
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            raise InvalidInputError(f"{name} is {value!r}; it must be a whole number, at least {least}.")
    if not 0.0 < share <= 1.0:
        raise InvalidInputError(
            f"share is {share!r}; it is the part of the strongest evidence that a run needs, above 0, up to 1."
        )
    if not 0.0 <= neighbours <= 1.0:
        raise InvalidInputError(f"neighbours is {neighbours!r}; it is the weight of the chunks on either side, from 0 to 1.")
