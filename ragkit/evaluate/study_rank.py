"""Search in memory, exactly as an index ranks: every chunk scored by both arms, the candidates fused, ties broken alike."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ragkit.lexical import bm25_ceiling, bm25_scores
from ragkit.lexical.bm25 import K1, B
from ragkit.retrieve import DEFAULT_FETCH_K, DEFAULT_FUSION, Fusion, Mode
from ragkit.retrieve.fusion import Scored
from ragkit.seams import Vectors
from ragkit.types import TermStats
from ragkit.vec import order, ranks, top_k

Rows = NDArray[np.int64]
Floats = NDArray[np.float64]
_AT_ONCE = 32
_SLACK = 16  # candidates more than asked for, so that rounding loses none


class _Frequencies(dict[str, int]):
    """Document frequencies that equal only themselves: scorers remember statistics, and would compare all words to find them."""

    def __eq__(self, other: object) -> bool:
        return self is other

    __hash__ = None


class Postings:
    """Where the words of the questions occur: BM25 without keeping the words of the chunks.

    ``asked`` are the words of all questions; chunks are added in row order.
    """

    def __init__(self, asked: set[str]) -> None:
        self._asked = asked
        self._found: dict[str, tuple[list[int], list[int]]] = {}
        self._df: Counter[str] = Counter()
        self._lengths: list[int] = []

    def add(self, tokens: Sequence[str]) -> None:
        """The next chunk's words."""
        row = len(self._lengths)
        self._lengths.append(len(tokens))
        counts = Counter(tokens)
        self._df.update(counts.keys())
        for word in counts.keys() & self._asked:
            rows, times = self._found.setdefault(word, ([], []))
            rows.append(row)
            times.append(counts[word])

    @cached_property
    def stats(self) -> TermStats:
        """The statistics of all chunks added; ask when there are no more."""
        n = len(self._lengths)
        return TermStats(n_docs=n, mean_length=sum(self._lengths) / n if n else 0.0, df=_Frequencies(self._df))

    def weights(self) -> dict[str, tuple[Rows, Floats]]:
        """For each word asked for: the rows that hold it, and what it adds to their scores."""
        stats, mean = self.stats, self.stats.mean_length or 1.0
        norm = K1 * (1 - B + B * np.maximum(np.array(self._lengths, np.float64), 1) / mean)
        # A document of one word tells the word's weight; the rest of the formula is the same for all words.
        single = (K1 + 1) / (1 + K1 * (1 - B + B / mean))
        made: dict[str, tuple[Rows, Floats]] = {}
        words = list(self._found)
        for first in range(0, len(words), _AT_ONCE):
            some = words[first : first + _AT_ONCE]
            for word, score in zip(some, bm25_scores(some, [[word] for word in some], stats), strict=True):
                rows, times = self._found[word]
                at, tf = np.array(rows, np.int64), np.array(times, np.float64)
                made[word] = at, float(score) / single * (tf * (K1 + 1) / (tf + norm[at]))
        return made


class Ranked(NamedTuple):
    """Rows, best first, and their scores ``(n,)``; those of a later tier of candidates are on a scale of their own."""

    rows: Rows
    scores: Floats


class Ranker:
    """The chunks of one recipe, row by row in the order of document id, start and end.

    ``vectors`` is float32 ``(n, dim)`` with unit rows, ``tokens`` int64 ``(n,)`` the length of each chunk's text,
    ``documents`` int64 ``(n,)`` the number of its document, and ``words`` where the questions' words occur.
    """

    def __init__(
        self,
        *,
        vectors: Vectors,
        tokens: Rows,
        documents: Rows,
        words: Postings,
        fusion: Fusion = DEFAULT_FUSION,
        fetch_k: int = DEFAULT_FETCH_K,
    ) -> None:
        self._vectors, self._tokens, self._documents = vectors, tokens, documents
        self._stats, self._weights = words.stats, words.weights()
        self._fusion, self._fetch_k = fusion, fetch_k

    def rank(
        self, vector: Vectors, words: Sequence[str], modes: Sequence[Mode], *, scope: slice, least: int, budget: int
    ) -> dict[Mode, Ranked]:
        """The best rows of ``scope`` in every mode: at least ``least`` and ``budget`` tokens of them, where there are as many."""
        matrix, exact = self._vectors[scope], vector.astype(np.float64)
        rough = matrix @ vector

        def cosines(rows: Rows) -> Floats:
            close: Floats = np.clip(np.round(matrix[rows].astype(np.float64) @ exact, 12), -1.0, 1.0)
            return close

        def nearest(limit: int) -> Rows:
            # Single precision finds them, double precision ranks them.
            rows = np.sort(top_k(rough, limit + _SLACK))
            best: Rows = rows[order(cosines(rows))[:limit]]
            return best

        bm25 = np.zeros(len(self._tokens))
        held = np.zeros(len(self._tokens), dtype=bool)
        for word in words:
            if word in self._weights:
                rows, weights = self._weights[word]
                bm25[rows] += weights
                held[rows] = True
        bm25, held = bm25[scope], held[scope]
        # What an arm does not match ranks below all it matches.
        lexical = np.where(held, bm25, -np.inf)
        tokens = self._tokens[scope]
        found: dict[Mode, Ranked] = {}
        n_held = int(held.sum())
        for mode in modes:
            if mode == "hybrid":
                ceiling = bm25_ceiling(words, self._stats)
                rows, scores = self._fused(
                    nearest, cosines, bm25, lexical, n_held, tokens, self._documents[scope], ceiling, least=least, budget=budget
                )
            elif mode == "dense":
                rows = _enough(nearest, len(tokens), tokens, least=least, budget=budget)
                scores = cosines(rows)
            else:
                rows = _enough(lambda limit: top_k(lexical, limit), n_held, tokens, least=least, budget=budget)
                scores = bm25[rows]
            found[mode] = Ranked(rows + scope.start, scores)
        return found

    def _fused(
        self,
        nearest: Callable[[int], Rows],
        cosines: Callable[[Rows], Floats],
        bm25: Floats,
        lexical: Floats,
        n_held: int,
        tokens: Rows,
        owners: Rows,
        ceiling: float,
        *,
        least: int,
        budget: int,
    ) -> Ranked:
        limit, formula, hits = self._fetch_k, None, Ranked(np.zeros(0, np.int64), np.zeros(0))
        while True:
            dense, sparse = nearest(limit), top_k(lexical, min(limit, n_held))
            rows = np.union1d(dense, sparse)
            scored = Scored(cosines(rows), _ranks(rows, dense), bm25[rows], _ranks(rows, sparse), owners[rows], ceiling)
            formula = formula or self._fusion.fit(scored)
            shares = formula(scored)
            scores = shares.dense + shares.bm25
            best = order(scores)
            best = best[~np.isin(rows[best], hits.rows)]
            hits = Ranked(np.concatenate([hits.rows, rows[best]]), np.concatenate([hits.scores, scores[best]]))
            if len(hits.rows) >= len(tokens) or (len(hits.rows) >= least and int(tokens[hits.rows].sum()) >= budget):
                return hits
            limit *= 2


def _enough(best: Callable[[int], Rows], most: int, tokens: Rows, *, least: int, budget: int) -> Rows:
    """The best rows: ``least``, and more while they have fewer tokens than ``budget`` and there are more than these."""
    limit = min(most, least)
    rows = best(limit)
    while limit < most and int(tokens[rows].sum()) < budget:
        limit = min(most, limit * 2)
        rows = best(limit)
    return rows


def _ranks(rows: Rows, found: Rows) -> NDArray[np.int64]:
    """For each of ``rows`` its rank in ``found``, counted from 1, and 0 where it is not there."""
    places = np.zeros(len(rows), np.int64)
    places[np.searchsorted(rows, found)] = ranks(np.arange(len(found)))
    return places
