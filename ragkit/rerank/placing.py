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
    own_ranks = ranks(order(values))
    told = _parts(scored, values, own_ranks, {RERANK: mixed.late} | mixed.first)
    best = [(scored[at], float(mixed.scores[at]), told[at]) for at in order(mixed.scores).tolist()]
    return _filled(hits, best, late)


def _tie(hit: Hit) -> tuple[str, int, int, str]:
    return (hit.chunk.doc_id, hit.chunk.start, hit.chunk.end, hit.chunk.id)


def _arms(hits: Sequence[Hit]) -> dict[str, Floats]:
    """What each arm that scored every hit added to the first stage's score, or else the hits' own scores."""
    names = [name for name in ("dense", "bm25") if all(name in hit.parts for hit in hits)]
    if not names:
        return {FIRST: np.array([hit.score for hit in hits], np.float64)}
    return {name: np.array([hit.parts[name].share for hit in hits], np.float64) for name in names}


def _parts(hits: Sequence[Hit], late: Floats, ranked: NDArray[np.int64], shares: Mapping[str, Floats]) -> list[dict[str, Part]]:
    """For each hit what the reranker said, and what the arms said with their new shares."""
    columns = {name: share.tolist() for name, share in shares.items()}
    own = columns.pop(RERANK)
    parts: list[dict[str, Part]] = []
    for at, (hit, score, rank) in enumerate(zip(hits, late.tolist(), ranked.tolist(), strict=True)):
        told = {RERANK: Part(score=score, rank=rank, share=own[at])}
        for name, column in columns.items():
            before = hit.parts.get(name)
            known = (hit.score, hit.rank) if before is None else (before.score, before.rank)
            told[name] = Part(score=known[0], rank=known[1], share=column[at])
        parts.append(told)
    return parts


def _filled(hits: Sequence[Hit], best: Sequence[tuple[Hit, float, dict[str, Part]]], late: Mapping[str, float]) -> list[Hit]:
    """The hits with their ranks: those ``best`` first to last in the places of the scored, with score and parts."""
    waiting = iter(best)
    above = math.nextafter(best[0][1], math.inf)
    placed: list[Hit] = []
    for rank, hit in enumerate(hits, 1):
        if hit.chunk.id in late:
            hit, above, parts = next(waiting)
        else:
            parts = {name: part for name, part in hit.parts.items() if name != RERANK}
        placed.append(replace(hit, score=above, rank=rank, parts=parts))
    return placed
