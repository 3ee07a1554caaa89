"""What held-out pairs say of two ways to compare prompts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ragkit.cache.pairs import LabelledPair
from ragkit.seams import Vectors
from ragkit.train.judge import Interval

Floats = NDArray[np.float64]
Rows = NDArray[np.int64]
_RESAMPLES = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """A figure by the plain cosine, and how much the adapter adds, with its 95 % interval over groups of prompts."""

    plain: float
    gain: Interval


class Scored(NamedTuple):
    """One round's held-out items: the group each belongs to, and for either way its scores and whether what it finds is right."""

    group: Rows
    plain: tuple[Floats, NDArray[np.bool_]]
    trained: tuple[Floats, NDArray[np.bool_]]


#: A figure of items sorted by descending score: how often each counts, and how often it counts and is right.
Figure = Callable[[Floats, Floats], float]


def average_precision(counts: Floats, right: Floats) -> float:
    """Mean precision at each right item."""
    total = right.sum()
    return float((right * right.cumsum() / np.maximum(counts.cumsum(), 1e-12)).sum() / total) if total else 0.0


def area(counts: Floats, right: Floats) -> float:
    """Precision over hit rate (P-CHR AUC; arXiv 2606.19719), from no hit to all."""
    total = counts.sum()
    return float((counts * right.cumsum() / np.maximum(counts.cumsum(), 1e-12)).sum() / total) if total else 0.0


def compare(rounds: Sequence[Scored], figure: Figure, *, seed: int = 0) -> Compared:
    """The figure, averaged over rounds by size, and the gain when groups are drawn again, both ways on the same draw."""
    weights = np.array([len(one.group) for one in rounds], np.float64)
    weights /= weights.sum()
    ordered = [
        [(order, right[order]) for scores, right in (one.plain, one.trained) for order in [np.argsort(-scores, kind="stable")]]
        for one in rounds
    ]

    def both(draws: Sequence[Floats]) -> Floats:
        values = np.zeros(2)
        for share, ways, counts in zip(weights, ordered, draws, strict=True):
            values += share * np.array([figure(counts[order], counts[order] * right) for order, right in ways])
        return values

    plain, trained = both([np.ones(len(one.group)) for one in rounds])
    rng = np.random.default_rng(seed)
    gains = []
    owners = [np.unique(one.group, return_inverse=True)[1] for one in rounds]
    for _ in range(_RESAMPLES):
        draws = []
        for owner in owners:
            groups = int(owner.max()) + 1
            draws.append(rng.multinomial(groups, np.full(groups, 1 / groups))[owner].astype(np.float64))
        before, after = both(draws)
        gains.append(after - before)
    low, high = np.percentile(gains, [2.5, 97.5])
    many = sum(len(one.group) for one in rounds)
    return Compared(plain=float(plain), gain=Interval(float(trained - plain), float(low), float(high), many))


def nearest(vectors: Vectors, meaning: Rows) -> tuple[Floats, NDArray[np.bool_]]:
    """Each prompt looked up among the others ``(n, dim)``: the cosine of the nearest, and whether it means the same."""
    right, best = np.zeros(len(vectors), bool), np.zeros(len(vectors))
    for first in range(0, len(vectors), 1024):
        cosines = vectors[first : first + 1024] @ vectors.T
        rows = np.arange(len(cosines))
        cosines[rows, first + rows] = -np.inf
        found = cosines.argmax(axis=1)
        right[first : first + 1024] = meaning[found] == meaning[first : first + 1024]
        best[first : first + 1024] = cosines[rows, found]
    return best, right


def meanings(pairs: Sequence[LabelledPair]) -> tuple[Rows, Rows]:
    """Each pair's two texts as numbers ``(n, 2)``, and the meaning of each text: one for all that the labels join."""
    places: dict[str, int] = {}
    texts = np.array([[places.setdefault(text, len(places)) for text in (pair.a, pair.b)] for pair in pairs], np.int64)
    parent = list(range(len(places)))

    def find(one: int) -> int:
        while parent[one] != one:
            parent[one] = parent[parent[one]]
            one = parent[one]
        return one

    for (one, other), pair in zip(texts.tolist(), pairs, strict=True):
        if pair.same:
            parent[find(one)] = find(other)
    _, meaning = np.unique([find(one) for one in range(len(places))], return_inverse=True)
    return texts, meaning.astype(np.int64)
