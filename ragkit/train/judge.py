"""nDCG@10 of vectors on labelled questions, alone and fused with BM25, and what held-out documents say of a difference."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ragkit.retrieve import DEFAULT_FETCH_K, DEFAULT_FUSION, Convex, Fusion
from ragkit.retrieve.fusion import Scored
from ragkit.seams import Vectors
from ragkit.train.corpus import Corpus, Questions, Rows, Words
from ragkit.vec import order, ranks, top_k

JudgeMode = Literal["dense", "hybrid"]
K = 10
_DISCOUNT = 1 / np.log2(np.arange(2, K + 2))
_RESAMPLES = 2000
#: Votes of the dense arm that are tried once it is better than it was; at 1 BM25 would have none.
DENSE_SHARES = (0.4, 0.5, 0.7, 0.8, 0.9)
_BLOCK = 128


class Arm(NamedTuple):
    """What is judged: unit rows of the chunks and of the questions, BM25 for each question, and how hybrid search fuses both."""

    vectors: Vectors
    asked: Vectors
    words: Sequence[Words]
    fusion: Fusion = DEFAULT_FUSION


def plain_arm(corpus: Corpus, questions: Questions) -> Arm:
    """Chunks read alone, without any context."""
    return Arm(corpus.read[:, 0], questions.vectors, questions.words)


def ndcg(
    corpus: Corpus,
    questions: Questions,
    arm: Arm,
    *,
    rows: Iterable[int],
    mode: JudgeMode,
) -> NDArray[np.float64]:
    """nDCG@10 of each question in ``rows`` over all chunks (those of its scope, where it has one).

    "hybrid" fuses the cosine with BM25 among the best 100 of either, as an index does.
    """
    chosen = np.fromiter(rows, np.int64)
    values = np.zeros(len(chosen))
    words = np.zeros(len(corpus.doc))
    everything = np.arange(len(corpus.doc))
    for first in range(0, len(chosen), _BLOCK):
        block = chosen[first : first + _BLOCK]
        for at, (row, all_cosines) in enumerate(zip(block, arm.asked[block] @ arm.vectors.T, strict=True), first):
            scope = questions.scope[row]
            pool = everything if scope < 0 else np.flatnonzero(corpus.doc == scope)
            cosines = all_cosines[pool]
            if mode == "dense":
                best = pool[top_k(cosines, K)]
            else:
                matching, scores, ceiling = arm.words[row]
                words[matching] = scores
                best = pool[_fused(cosines.astype(np.float64), words[pool], corpus.doc[pool], ceiling, arm.fusion)]
                words[matching] = 0.0
            hits = np.isin(best, questions.gold[row])
            values[at] = (hits * _DISCOUNT[: len(best)]).sum() / _DISCOUNT[: min(K, len(questions.gold[row]))].sum()
    return values


def _fused(cosines: NDArray[np.float64], words: NDArray[np.float64], docs: Rows, ceiling: float, fusion: Fusion) -> Rows:
    near, matching = top_k(cosines, DEFAULT_FETCH_K), top_k(words, DEFAULT_FETCH_K)
    matching = matching[words[matching] > 0]
    some = np.union1d(near, matching)
    scored = Scored(cosines[some], _ranks(some, near, cosines), words[some], _ranks(some, matching, words), docs[some], ceiling)
    shares = fusion.fit(scored)(scored)
    return some[top_k(shares.dense + shares.bm25, K)]


def _ranks(some: Rows, returned: Rows, scores: NDArray[np.float64]) -> Rows:
    result = np.zeros(len(some), np.int64)
    members = np.flatnonzero(np.isin(some, returned))
    result[members] = ranks(order(scores[some[members]]))
    return result


def signal(corpus: Corpus, questions: Questions, arm: Arm, *, rows: Rows, mode: JudgeMode) -> NDArray[np.float64]:
    """What training is steered by, per question: nDCG@10, in "hybrid" the mean of dense and hybrid.

    Where BM25 answers most questions alone, hybrid figures hardly move, and choosing by them would be choosing by chance.
    """
    modes: tuple[JudgeMode, ...] = ("dense",) if mode == "dense" else ("dense", "hybrid")
    found = [ndcg(corpus, questions, arm, rows=rows, mode=one) for one in modes]
    mean: NDArray[np.float64] = np.mean(found, axis=0)
    return mean


def choose_fusion(corpus: Corpus, questions: Questions, arm: Arm, *, rows: Rows) -> Convex:
    """How much of the vote the dense arm should have: the best of ``DENSE_SHARES`` on these questions by nDCG@10 in hybrid search.

    It stays the default's unless that is beaten by a standard error. The questions must not have trained the vectors: those
    they were trained on make the dense arm look better than it is.
    """
    values = {
        share: ndcg(corpus, questions, arm._replace(fusion=Convex(dense=share)), rows=rows, mode="hybrid")
        for share in (DEFAULT_FUSION.dense, *DENSE_SHARES)
    }
    best = max(values, key=lambda share: float(values[share].mean()))
    return Convex(dense=best) if surely(values[best], values[DEFAULT_FUSION.dense]) else DEFAULT_FUSION


def surely(found: NDArray[np.float64], before: NDArray[np.float64]) -> bool:
    """Whether ``found`` beats ``before`` by more than one standard error, question by question."""
    difference = found - before
    return len(difference) > 1 and float(difference.mean()) > float(difference.std(ddof=1)) / np.sqrt(len(difference))


class Interval(NamedTuple):
    """A mean over ``n`` questions and the 95 % interval ``[low, high]`` that drawing documents again gives."""

    mean: float
    low: float
    high: float
    n: int


def by_documents(values: NDArray[np.float64], home: Rows) -> Interval:
    """The mean and its bootstrap interval when whole documents are drawn, with all their questions.

    Questions about one document fail and succeed together; drawing them singly would make unseen documents look safer than
    they are. No values: all 0.
    """
    if not len(values):
        return Interval(0.0, 0.0, 0.0, 0)
    _, owner = np.unique(home, return_inverse=True)
    sums, counts = np.bincount(owner, values), np.bincount(owner)
    drawn = np.random.default_rng(0).integers(0, len(counts), (_RESAMPLES, len(counts)))
    means = sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1)
    low, high = np.percentile(means, [2.5, 97.5])
    return Interval(float(values.mean()), float(low), float(high), len(values))
