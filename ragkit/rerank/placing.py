"""From a reranker's scores to hits in a new order, with every share of the final score told."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ragkit.rerank.blend import Blend, blend
from ragkit.types import Hit, Part
from ragkit.vec import order, ranks

#: What a reranker said, in ``hit.parts``.
RERANK = "rerank"
#: What the first stage said, in ``hit.parts``, where it told no score of its arms.
FIRST = "first"
Floats = NDArray[np.float64]


def place(
    hits: Sequence[Hit], late: Mapping[str, float], weights: Blend, *, sketches: NDArray[np.float32] | None = None
) -> list[Hit]:
    """All the hits, those with a score ``late`` (by chunk id) in their new order, the others where they were.

    The blended scores are drawn from the scored hits alone, whatever order they come in; ``sketches``, float ``(n, d)`` in the order of
    ``late``, tell which are alike. An unscored hit keeps its place, has no part "rerank", and is given the score of the hit above
    it (below it at the top), so that scores never rise with the rank. The scored hits' parts tell what each source adds; ties
    break by document id and start.
    """
    scored = sorted((hit for hit in hits if hit.chunk.id in late), key=_tie)
    if not scored:
        return list(hits)
    values = np.array([late[hit.chunk.id] for hit in scored], np.float64)
    if sketches is not None:
        rows = {name: row for row, name in enumerate(late)}
        sketches = sketches[[rows[hit.chunk.id] for hit in scored]]
    documents = [hit.chunk.doc_id for hit in scored]
    mixed = blend(values, first=_arms(scored), sketches=sketches, documents=documents, weights=weights)
    shares = {RERANK: mixed.late} | mixed.first
    own_ranks = ranks(order(values))
    best = [
        replace(scored[at], score=float(mixed.scores[at]), parts=_parts(scored[at], values[at], int(own_ranks[at]), shares, at))
        for at in order(mixed.scores).tolist()
    ]
    return _filled(hits, best, late)


def _tie(hit: Hit) -> tuple[str, int, int, str]:
    return (hit.chunk.doc_id, hit.chunk.start, hit.chunk.end, hit.chunk.id)


def _arms(hits: Sequence[Hit]) -> dict[str, Floats]:
    """What each arm that scored every hit added to the first stage's score, or else the hits' own scores."""
    names = [name for name in ("dense", "bm25") if all(name in hit.parts for hit in hits)]
    if not names:
        return {FIRST: np.array([hit.score for hit in hits], np.float64)}
    return {name: np.array([hit.parts[name].share for hit in hits], np.float64) for name in names}


def _parts(hit: Hit, late: float, rank: int, shares: Mapping[str, Floats], at: int) -> dict[str, Part]:
    parts = {RERANK: Part(score=float(late), rank=rank, share=float(shares[RERANK][at]))}
    for name, share in shares.items():
        if name != RERANK:
            before = hit.parts.get(name, Part(score=hit.score, rank=hit.rank, share=0.0))
            parts[name] = replace(before, share=float(share[at]))
    return parts


def _filled(hits: Sequence[Hit], best: Sequence[Hit], late: Mapping[str, float]) -> list[Hit]:
    waiting = iter(best)
    above = math.nextafter(best[0].score, math.inf)
    placed: list[Hit] = []
    for rank, hit in enumerate(hits, 1):
        if hit.chunk.id in late:
            hit = next(waiting)
            above = hit.score
        else:
            hit = replace(hit, score=above, parts={name: part for name, part in hit.parts.items() if name != RERANK})
        placed.append(replace(hit, rank=rank))
    return placed
