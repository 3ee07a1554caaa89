"""Hits of small chunks, put together into the runs that answer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import lru_cache
from itertools import islice

from ragkit.index.joined import joined_hit
from ragkit.retrieve import find_runs
from ragkit.seams import Tokenizer
from ragkit.types import Chunk, Hit


def run_hits(
    hits: Sequence[Hit],
    chunks_of: Callable[[str], Sequence[Chunk]],
    *,
    k: int,
    max_tokens: int,
    gap: int,
    tokenizer: Tokenizer | None,
) -> list[Hit]:
    """The ``k`` best runs as hits: the chunk is the run, ``parts`` are those of the hit it grew from."""
    runs = find_runs(hits, lru_cache(maxsize=64)(chunks_of), max_tokens=max_tokens, gap=gap)
    return [
        replace(joined_hit(run.chunks, run.seed, tokenizer), score=run.score, rank=rank)
        for rank, run in enumerate(islice(runs, k), 1)
    ]
