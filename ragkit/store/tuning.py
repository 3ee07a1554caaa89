"""Measuring how hard a vector index must be searched."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import takewhile

import numpy as np

from ragkit.errors import InvalidInputError
from ragkit.seams import Vectors
from ragkit.store.nearness import Nearness, Tuning
from ragkit.store.rows import vectors_from
from ragkit.store.snapshot import Snapshot
from ragkit.store.vector_index import guess

TARGET = 0.98
_REFINES = (1, 2, 4, 8, 16)
_K = 10
_CANDIDATES = 100


def tune(snapshot: Snapshot, *, target_recall: float, queries: int) -> Tuning:
    """The least ``refine``, and for it the fewest ``nprobes``, with which searches for stored vectors reach ``target_recall``.

    Recall is the share of the 10 nearest other rows, by a scan of all vectors, among 100 candidates of the index; ``queries``
    vectors spread evenly over the table are asked. Questions lie farther from the stored vectors than these from each other, so
    theirs may be a little lower. Where no setting reaches the target, the hardest is returned with the recall it has.

    Raises InvalidInputError for a target outside (0, 1], fewer than one query, and an empty table.
    """
    if not 0.0 < target_recall <= 1.0:
        raise InvalidInputError(f"target_recall is {target_recall!r}; it must be above 0 and at most 1 (0.98 is usual).")
    if not isinstance(queries, int) or isinstance(queries, bool) or queries < 1:
        raise InvalidInputError(f"queries is {queries!r}; it must be a whole number, at least 1.")
    rows = int(snapshot.table.count_rows())
    if not rows:
        raise InvalidInputError(f"{snapshot.path} holds no chunks, so there is nothing to measure. Add documents first.")
    if not snapshot.indexed:
        return Tuning(index=None, rows=rows, target=target_recall)
    base = replace(snapshot.tuning or guess(rows), target=target_recall)
    asked, vectors = _sample(snapshot, queries)
    truth = _others(snapshot, vectors, asked, _K, Nearness(exact=True))

    def recall(nprobes: int, refine: int) -> float:
        found = _others(snapshot, vectors, asked, _CANDIDATES, Nearness(nprobes=nprobes, refine=refine))
        shares = [len(best & some) / len(best) for best, some in zip(truth, found, strict=True) if best]
        return float(np.mean(shares)) if shares else 1.0

    ladder = [*takewhile(lambda step: step < base.partitions, _steps()), base.partitions]
    for refine in _REFINES:
        reached = recall(ladder[-1], refine)
        if reached >= target_recall:
            break
    low, high = 0, len(ladder) - 1
    while reached >= target_recall and low < high:
        middle = (low + high) // 2
        here = recall(ladder[middle], refine)
        if here >= target_recall:
            high, reached = middle, here
        else:
            low = middle + 1
    return replace(base, nprobes=ladder[high], refine=refine, recall=reached, queries=len(asked))


def _steps() -> Iterator[int]:
    """1, 2, 3, 4, 6, 9, ...: half as much again each time."""
    step = 1
    while True:
        yield step
        step = max(step + 1, step * 3 // 2)


def _sample(snapshot: Snapshot, queries: int) -> tuple[list[int], Vectors]:
    """Addresses and vectors of rows spread evenly over the table."""
    addresses = snapshot.addresses()
    spread = np.unique(np.linspace(0, len(addresses) - 1, queries).astype(np.int64))
    asked = addresses[spread].tolist()
    return asked, vectors_from(snapshot.rows(asked, [snapshot.header.vector]))


def _others(snapshot: Snapshot, vectors: Vectors, own: Sequence[int], limit: int, nearness: Nearness) -> list[set[int]]:
    """The ``limit`` nearest rows of each vector but its own."""
    tables = snapshot.nearest(vectors, limit=limit + 1, columns=["_rowid"], nearness=nearness)
    found = ([key for key in table.column("_rowid").to_pylist() if key != me] for table, me in zip(tables, own, strict=True))
    return [set(keys[:limit]) for keys in found]
