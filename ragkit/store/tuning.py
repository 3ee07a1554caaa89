"""Measuring how hard a vector index must be searched."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import takewhile

import numpy as np

from ragkit.errors import InvalidInputError
from ragkit.seams import Vectors
from ragkit.store.nearness import Nearness, Tuning
from ragkit.store.rows import vectors_from
from ragkit.store.snapshot import Snapshot
from ragkit.store.vector_index import enough, guess

TARGET = 0.98
_REFINES = (1, 2, 4, 8, 16)
_K = 10
_CANDIDATES = 100
_LEAN = 0.5


def tune(snapshot: Snapshot, *, target_recall: float, queries: int) -> Tuning:
    """The least ``refine``, and for it the fewest ``nprobes``, with which searches for stored vectors reach ``target_recall``.

    Recall is the share of the 10 nearest rows, by a scan of all vectors, among 100 candidates of the index. Stored vectors lie
    closer to each other than questions lie to them, so each of the ``queries``, spread evenly over the table, leans to another one.
    Where no setting reaches the target, the hardest is returned with the recall it has.

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
    vectors = _questions(snapshot, queries)
    truth = _nearest(snapshot, vectors, _K, Nearness(exact=True))

    def recall(nprobes: int, refine: int) -> float:
        found = _nearest(snapshot, vectors, _CANDIDATES, Nearness(nprobes=nprobes, refine=refine))
        return float(np.mean([len(best & some) / len(best) for best, some in zip(truth, found, strict=True)]))

    for refine in _REFINES:
        reached = recall(base.partitions, refine)
        if reached >= target_recall:
            break
    # Where fewer partitions than these are asked for, searches scan every row instead, and recall says nothing.
    least = enough(_CANDIDATES, refine, base.partitions, rows)
    ladder = [step for step in takewhile(lambda step: step < base.partitions, _steps()) if step > least]
    ladder = sorted({least, *ladder, base.partitions})
    low, high = 0, len(ladder) - 1
    while reached >= target_recall and low < high:
        middle = (low + high) // 2
        here = recall(ladder[middle], refine)
        if here >= target_recall:
            high, reached = middle, here
        else:
            low = middle + 1
    return replace(base, nprobes=ladder[high], refine=refine, recall=reached, queries=len(vectors))


def _steps() -> Iterator[int]:
    """1, 2, 3, 4, 6, 9, ...: half as much again each time."""
    step = 1
    while True:
        yield step
        step = max(step + 1, step * 3 // 2)


def _questions(snapshot: Snapshot, queries: int) -> Vectors:
    """Stored vectors spread evenly over the table, each with half of another one added."""
    addresses = snapshot.addresses()
    spread = np.unique(np.linspace(0, len(addresses) - 1, queries).astype(np.int64))
    stored = vectors_from(snapshot.rows(addresses[spread].tolist(), [snapshot.header.vector]))
    unit = stored / np.maximum(np.linalg.norm(stored, axis=1, keepdims=True), np.finfo(np.float32).tiny)
    mixed: Vectors = unit + _LEAN * np.roll(unit, len(unit) // 2, axis=0)
    return mixed[mixed.any(axis=1)]


def _nearest(snapshot: Snapshot, vectors: Vectors, limit: int, nearness: Nearness) -> list[set[int]]:
    tables = snapshot.nearest(vectors, limit=limit, columns=["_rowid"], nearness=nearness)
    return [set(table.column("_rowid").to_pylist()) for table in tables]
