"""Exact BM25 on rank-bm25's formula, for all documents or only for the candidates of a search.

The weights are those of ``rank_bm25.BM25Okapi`` (ATIRE's BM25 of Trotman et al., "Improvements to BM25 and Language
Models Examined", 2014), so a candidate's score is the number that a scan over the whole corpus gives it: it does not
depend on which other rows are candidates, nor on whether an index has seen the row yet.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rank_bm25 import BM25Okapi

from ragkit.errors import InvalidInputError
from ragkit.types import TermStats

K1 = 1.2
B = 0.75
_NUMBERS = (int, float, np.number)
_EPSILON = 0.25  # rank-bm25's default: a term of more than half the documents weighs a quarter of the average term

Scores = NDArray[np.float64]
Counts = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Bm25:
    """BM25's two settings: ``k1`` >= 0, how much repeats of a word still count, and ``b`` in [0, 1], how much length does.

    Raises InvalidInputError for values out of range.
    """

    k1: float = K1
    b: float = B

    def __post_init__(self) -> None:
        _check(self.k1, self.b)


def term_stats(docs_tokens: Iterable[Sequence[str]]) -> TermStats:
    """The corpus statistics of these documents' tokens."""
    df: Counter[str] = Counter()
    n_docs = n_tokens = 0
    for tokens in docs_tokens:
        n_docs += 1
        n_tokens += len(tokens)
        df.update(set(tokens))
    return TermStats(n_docs=n_docs, mean_length=n_tokens / n_docs if n_docs else 0.0, df=dict(df))


def bm25_scores(
    query_tokens: Sequence[str], docs_tokens: Sequence[Sequence[str]], stats: TermStats, *, k1: float = K1, b: float = B
) -> Scores:
    """BM25 of each of ``docs_tokens``, float64 ``(n,)``, under the statistics of the whole corpus.

    Costs time in the candidates, not in the corpus. A token repeated in the query counts each time. Equal to
    ``BM25Okapi(corpus, k1=k1, b=b).get_scores(query_tokens)`` at the same rows, its floor of rare weights included
    (terms in more than half of the documents weigh 0.25 times the average weight), save one case: in corpora so small
    that the average weight is not positive rank-bm25 would rank a match below no match, and there such terms get a
    small positive weight instead. ``k1`` >= 0, ``b`` in [0, 1]; raises InvalidInputError otherwise.
    """
    wanted = set(query_tokens)
    return _scores(query_tokens, [_counted(tokens, wanted) for tokens in docs_tokens], list(map(len, docs_tokens)), stats, k1, b)


def bm25_counted(
    query_tokens: Sequence[str], counts: Counts, lengths: Counts, stats: TermStats, *, k1: float = K1, b: float = B
) -> Scores:
    """``bm25_scores`` of rows whose tokens are counted: ``counts`` ``(n, len(query_tokens))``, and in all ``lengths`` ``(n,)``."""
    _check(k1, b)
    scores = np.zeros(len(lengths))
    # The lines of BM25Okapi.get_scores, which would ask every row for every token in Python.
    one = _Candidates(query_tokens, [], [], stats, k1=k1, b=b)
    room = one.k1 * (1 - b + b * np.maximum(lengths, 1) / one.avgdl)
    for token, column in zip(query_tokens, counts.T, strict=True):
        scores += one.idf.get(token, 0.0) * (column * (one.k1 + 1) / (column + room))
    return scores


def bm25_ceiling(query_tokens: Sequence[str], stats: TermStats, *, k1: float = K1) -> float:
    """The score that no document can exceed for these tokens: each weight times k1 + 1.

    A token that no document has counts as the rarest. A document's score divided by this is the share of the question, by
    the rarity of its words, that the document covers.
    """
    if not stats.n_docs:
        return 0.0
    return (k1 + 1) * sum(_idf(stats, stats.df.get(term, 0)) for term in query_tokens)


class ExactBm25:
    """BM25 by a scan of everything: the scorer of small corpora and the reference for searches that use an index.

    ``docs_tokens`` are the analyzed documents, kept in memory.
    """

    def __init__(self, docs_tokens: Sequence[Sequence[str]], *, k1: float = K1, b: float = B) -> None:
        _check(k1, b)
        self.stats = term_stats(docs_tokens)
        self._docs = docs_tokens
        self._k1, self._b = k1, b

    def scores(self, query_tokens: Sequence[str]) -> Scores:
        """BM25 of every document, float64 ``(n_docs,)``."""
        return bm25_scores(query_tokens, self._docs, self.stats, k1=self._k1, b=self._b)


def _scores(
    query: Sequence[str], frequencies: list[dict[str, int]], lengths: list[int], stats: TermStats, k1: float, b: float
) -> Scores:
    _check(k1, b)
    if not frequencies:
        return np.zeros(0)
    scores: Scores = _Candidates(query, frequencies, lengths, stats, k1=k1, b=b).get_scores(query)
    return scores


class _Candidates(BM25Okapi):  # type: ignore[misc]  # rank-bm25 carries no types
    """rank-bm25's formula over a few documents with the statistics of the corpus they come from."""

    def __init__(
        self,
        query: Sequence[str],
        frequencies: list[dict[str, int]],
        lengths: list[int],
        stats: TermStats,
        *,
        k1: float,
        b: float,
    ) -> None:
        # The parent's constructor would count statistics over these documents, so its fields are set instead.
        # With k1 = 0, or an empty document at b = 1, the formula would divide 0 by 0 for terms a document lacks.
        self.k1, self.b, self.epsilon = max(k1, 1e-12), b, _EPSILON
        self.corpus_size = len(frequencies)
        self.doc_freqs = frequencies
        self.doc_len = [max(length, 1) for length in lengths]
        self.avgdl = stats.mean_length or 1.0
        self.idf = {term: _idf(stats, stats.df[term]) for term in set(query) if term in stats.df}


def boosts(tokens: Sequence[str], stats: TermStats) -> dict[str, float]:
    """What each of ``tokens`` weighs here against an index that knows no repeats in a query and no floor under common words.

    Such an index (LanceDB's, Lucene's) weighs a word in n of N documents ``log(1 + (N - n + 0.5) / (n + 0.5))``. With these factors
    its best candidates are those of ``bm25_scores``.
    """
    repeats = Counter(token for token in tokens if token in stats.df)
    plain = {token: math.log1p((stats.n_docs - stats.df[token] + 0.5) / (stats.df[token] + 0.5)) for token in repeats}
    return {token: number * _idf(stats, stats.df[token]) / plain[token] for token, number in repeats.items()}


def _counted(tokens: Sequence[str], wanted: set[str]) -> dict[str, int]:
    """How often each of ``wanted`` is in ``tokens``; for the few that are, faster than a Counter of them."""
    found = [token for token in tokens if token in wanted]
    return {token: found.count(token) for token in set(found)}


def _idf(stats: TermStats, df: int) -> float:
    weight = math.log(stats.n_docs - df + 0.5) - math.log(df + 0.5)
    average = _average_idf(_Same(stats))
    if average <= 0 and weight <= 0:
        return _EPSILON * math.log1p((stats.n_docs - df + 0.5) / (df + 0.5))
    return weight if weight >= 0 else _EPSILON * average


class _Same:
    """Statistics compared by identity: comparing two vocabularies word by word costs more than the mean of one."""

    def __init__(self, stats: TermStats) -> None:
        self.stats = stats

    def __hash__(self) -> int:
        return id(self.stats)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and other.stats is self.stats


@lru_cache(maxsize=8)
def _average_idf(same: _Same) -> float:
    """The mean weight over the vocabulary; remembered, because it reads every term of the corpus."""
    stats = same.stats
    # Sorted, so that the order in which words were met cannot move the last digit.
    df = np.sort(np.fromiter(stats.df.values(), dtype=np.float64, count=len(stats.df)))
    return float(np.mean(np.log(stats.n_docs - df + 0.5) - np.log(df + 0.5))) if len(df) else 0.0


def _check(k1: Any, b: Any) -> None:
    if not isinstance(k1, _NUMBERS) or isinstance(k1, bool) or not (k1 >= 0 and math.isfinite(k1)):
        raise InvalidInputError(f"BM25 k1 is {k1!r}; it must be a finite number >= 0 (1.2 is usual).")
    if not isinstance(b, _NUMBERS) or isinstance(b, bool) or not 0 <= b <= 1:
        raise InvalidInputError(f"BM25 b is {b!r}; it must be between 0 and 1 (0.75 is usual).")
