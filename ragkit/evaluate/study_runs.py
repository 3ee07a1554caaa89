"""Landmarks in a study: what a recipe of small chunks returns is the runs that ``Index.search_runs`` makes of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache

import numpy as np

from ragkit.evaluate.study_measure import Ints, Places
from ragkit.evaluate.study_rank import Ranked
from ragkit.retrieve import DEFAULT_FETCH_K, Mode, find_runs
from ragkit.types import Chunk, Hit, Span

_Place = tuple[int, int, int, int]  # document number, start, end, tokens


def as_runs(
    found: Mapping[Mode, Sequence[Ranked]], made: Places, *, max_tokens: int, fetch_k: int = DEFAULT_FETCH_K
) -> tuple[dict[Mode, list[Ints]], Places]:
    """The runs of at most ``max_tokens`` that grow from each question's best ``fetch_k`` chunks, as rows of places of their own."""

    @lru_cache(maxsize=256)
    def chunks_of(doc_id: str) -> Sequence[Chunk]:
        at = numbers[doc_id]
        return [chunk(row, at) for row in range(int(made.bounds[at]), int(made.bounds[at + 1]))]

    def chunk(row: int, at: int) -> Chunk:
        span = Span(int(made.start[row]), int(made.end[row]))
        return Chunk(
            id=str(row),
            doc_id=made.documents[at],
            start=span.start,
            end=span.end,
            text="",
            window=span,
            index=row - int(made.bounds[at]),
            n_tokens=int(made.tokens[row]),
        )

    def runs(ranked: Ranked) -> list[_Place]:
        best = zip(ranked.rows[:fetch_k].tolist(), ranked.scores[:fetch_k].tolist(), strict=True)
        hits = [Hit(chunk=chunk(row, int(owners[row])), score=score, rank=rank) for rank, (row, score) in enumerate(best, 1)]
        return [
            (numbers[run.seed.chunk.doc_id], run.chunks[0].start, run.chunks[-1].end, sum(one.n_tokens for one in run.chunks))
            for run in find_runs(hits, chunks_of, max_tokens=max_tokens)
        ]

    numbers, owners = {name: at for at, name in enumerate(made.documents)}, made.owners
    returned = {mode: [runs(ranked) for ranked in some] for mode, some in found.items()}
    distinct = sorted({place for some in returned.values() for one in some for place in one})
    row_of = {place: row for row, place in enumerate(distinct)}
    table = np.array(distinct, np.int64).reshape(-1, 4)
    places = Places(
        documents=made.documents,
        bounds=np.searchsorted(table[:, 0], np.arange(len(made.documents) + 1)),
        start=table[:, 1],
        end=table[:, 2],
        tokens=table[:, 3],
    )
    rows = {mode: [np.array([row_of[place] for place in one], np.int64) for one in some] for mode, some in returned.items()}
    return rows, places
