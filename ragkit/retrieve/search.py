"""The search driver: fetch candidates from each arm, score all of them exactly, fuse, rank, explain.

Every arm fetches ``fetch_k`` candidates whatever ``k`` is, so the best k are always the beginning of a larger k. When more
results are wanted than those candidates give, the arms fetch twice as many, again and again; what is new in such a later
tier ranks after everything before it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from ragkit.errors import InvalidInputError
from ragkit.lexical import bm25_scores
from ragkit.retrieve.arms import Arms, BatchArms, Candidate, Vector, Where
from ragkit.retrieve.fusion import DEFAULT_FUSION, Fusion, Scored, Shares
from ragkit.types import Hit, Part
from ragkit.vec import order, ranks

Mode = Literal["dense", "bm25", "hybrid"]
DEFAULT_FETCH_K = 100

Floats = NDArray[np.float64]


def search(
    arms: Arms,
    *,
    query_vector: Vector | None,
    query_tokens: Sequence[str],
    k: int,
    mode: Mode = "hybrid",
    fetch_k: int = DEFAULT_FETCH_K,
    fusion: Fusion = DEFAULT_FUSION,
    where: Where | None = None,
) -> list[Hit]:
    """The ``k`` best hits, best first; fewer only when fewer rows can match.

    ``query_vector`` is float32 ``(dim,)`` and not needed by "bm25"; ``query_tokens`` come from the analyzer of the
    stored tokens and are not needed by "dense". Scores are cosines ("dense"), BM25 ("bm25") or the fusion's own
    ("hybrid"); ties break by document id and start. ``hit.parts`` has each arm's exact score, its rank among that arm's
    candidates (None where the arm did not return the chunk) and its share of the final score. A query without tokens
    matches nothing in the BM25 arm: "bm25" is then empty and "hybrid" ranks by the dense arm.

    Raises InvalidInputError for an unknown mode, ``k`` or ``fetch_k`` below 1, or a vector that is missing, not
    one-dimensional, not finite or zero.
    """
    _check(k, mode, fetch_k)
    return _Search(arms, query_vector, query_tokens, mode, fusion, where).run(k, fetch_k)


def search_many(
    arms: Arms,
    *,
    query_vectors: NDArray[np.float32] | None,
    queries_tokens: Sequence[Sequence[str]],
    k: int,
    mode: Mode = "hybrid",
    fetch_k: int = DEFAULT_FETCH_K,
    fusion: Fusion = DEFAULT_FUSION,
    where: Where | None = None,
) -> list[list[Hit]]:
    """``search`` for each query, with the same results; ``query_vectors`` is float32 ``(n, dim)``.

    When the store is a ``BatchArms`` all queries share its scan for the nearest vectors. Raises what ``search`` raises.
    """
    _check(k, mode, fetch_k)
    vectors: Sequence[Vector | None] = [None] * len(queries_tokens) if query_vectors is None else list(query_vectors)
    if len(vectors) != len(queries_tokens):
        raise InvalidInputError(
            f"There are {len(vectors)} query vectors and {len(queries_tokens)} token lists; give one each per query."
        )
    runs = [_Search(arms, vector, tokens, mode, fusion, where) for vector, tokens in zip(vectors, queries_tokens, strict=True)]
    if mode == "bm25" or query_vectors is None or not runs or not isinstance(arms, BatchArms):
        return [run.run(k, fetch_k) for run in runs]
    nearest = arms.nearest_many(query_vectors, limit=fetch_k, where=where)
    return [run.run(k, fetch_k, nearest=rows) for run, rows in zip(runs, nearest, strict=True)]


class _Tier(NamedTuple):
    """The candidates of one fetch: each row once, with exact scores and its rank in each arm (0: not returned by it)."""

    rows: list[Candidate]
    scored: Scored
    exhausted: bool


class _Search:
    """One query on its way through the tiers."""

    def __init__(
        self, arms: Arms, vector: Vector | None, tokens: Sequence[str], mode: Mode, fusion: Fusion, where: Where | None
    ) -> None:
        self.arms, self.mode, self.fusion, self.where = arms, mode, fusion, where
        self.vector = None if mode == "bm25" else _checked(vector)
        self.tokens = [] if mode == "dense" else list(tokens)

    def run(self, k: int, fetch_k: int, *, nearest: Sequence[Candidate] | None = None) -> list[Hit]:
        hits: list[Hit] = []
        seen: set[str] = set()
        formula: Callable[[Scored], Shares] | None = None
        limit = fetch_k
        while True:
            tier = self._fetch(limit, nearest)
            nearest = None
            formula = formula or self._formula(tier.scored)
            self._rank(tier, formula(tier.scored), seen, hits, k)
            if len(hits) >= k or tier.exhausted:
                return hits
            limit *= 2

    def _fetch(self, limit: int, nearest: Sequence[Candidate] | None) -> _Tier:
        dense: Sequence[Candidate] = []
        if self.vector is not None:
            dense = self.arms.nearest(self.vector, limit=limit, where=self.where) if nearest is None else nearest
        sparse = self.arms.matching(self.tokens, limit=limit, where=self.where) if self.tokens else []
        rows = list({row.chunk.id: row for row in (*dense, *sparse)}.values())
        # Fixed before any arithmetic, so that neither the arms' order nor their overlap can move a tie.
        rows.sort(key=lambda row: (row.chunk.doc_id, row.chunk.start, row.chunk.end, row.chunk.id))
        cosine, bm25 = self._cosines(rows), self._bm25(rows)
        numbers = {doc_id: number for number, doc_id in enumerate(dict.fromkeys(row.chunk.doc_id for row in rows))}
        document = np.array([numbers[row.chunk.doc_id] for row in rows], dtype=np.int64)
        scored = Scored(cosine, _arm_ranks(rows, dense, cosine), bm25, _arm_ranks(rows, sparse, bm25), document)
        return _Tier(rows, scored, len(dense) < limit and len(sparse) < limit)

    def _cosines(self, rows: Sequence[Candidate]) -> Floats:
        if self.vector is None or not rows:
            return np.zeros(len(rows))
        stored = np.stack([row.vector for row in rows]).astype(np.float64)
        query = self.vector.astype(np.float64)
        # einsum sums every row in the same order, and 12 digits hide what is left of rounding: equal vectors tie.
        dots = np.einsum("ij,j->i", stored, query)
        norms = np.sqrt(np.einsum("ij,ij->i", stored, stored)) * math.sqrt(float(query @ query))
        cosines: Floats = np.clip(np.round(dots / np.where(norms > 0, norms, 1.0), 12), -1.0, 1.0)
        return cosines

    def _bm25(self, rows: Sequence[Candidate]) -> Floats:
        if not self.tokens or not rows:
            return np.zeros(len(rows))
        return bm25_scores(self.tokens, [row.lex for row in rows], self.arms.term_stats())

    def _formula(self, first: Scored) -> Callable[[Scored], Shares]:
        if self.mode == "hybrid":
            return self.fusion.fit(first)
        return lambda scored: Shares(scored.dense, scored.bm25)

    def _rank(self, tier: _Tier, shares: Shares, seen: set[str], hits: list[Hit], k: int) -> None:
        """Append the rows not seen before, up to ``k`` in all, each below everything of the tiers before."""
        scores = shares.dense + shares.bm25
        ceiling = math.nextafter(hits[-1].score, -math.inf) if hits else math.inf
        above = math.inf
        for place in order(scores):
            if len(hits) == k:
                return
            row = tier.rows[place]
            if row.chunk.id in seen:
                continue
            seen.add(row.chunk.id)
            if scores[place] < above < math.inf:
                # Equal scores promise an order by document id, so a lower one stays lower even under the ceiling.
                ceiling = math.nextafter(ceiling, -math.inf)
            above = float(scores[place])
            ceiling = min(ceiling, above)
            parts = {}
            if self.mode != "bm25":
                parts["dense"] = _part(tier.scored.dense, tier.scored.dense_rank, shares.dense, place)
            if self.mode != "dense":
                parts["bm25"] = _part(tier.scored.bm25, tier.scored.bm25_rank, shares.bm25, place)
            hits.append(
                Hit(chunk=row.chunk, score=ceiling, rank=len(hits) + 1, parts=parts, lines=row.lines, document=row.document)
            )


def _arm_ranks(rows: Sequence[Candidate], found: Sequence[Candidate], scores: Floats) -> NDArray[np.int64]:
    """Ranks by exact score of the rows an arm returned, counted from 1; 0 for the others."""
    ids = {row.chunk.id for row in found}
    members = np.flatnonzero([row.chunk.id in ids for row in rows])
    result = np.zeros(len(rows), dtype=np.int64)
    result[members] = ranks(order(scores[members]))
    return result


def _part(scores: Floats, arm_ranks: NDArray[np.int64], shares: Floats, place: int) -> Part:
    return Part(score=float(scores[place]), rank=int(arm_ranks[place]) or None, share=float(shares[place]))


def _check(k: int, mode: str, fetch_k: int) -> None:
    if mode not in get_args(Mode):
        raise InvalidInputError(f"mode is {mode!r}; allowed are {', '.join(get_args(Mode))}.")
    for name, value in (("k", k), ("fetch_k", fetch_k)):
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise InvalidInputError(f"{name} is {value!r}; it must be a whole number, at least 1.")


def _checked(vector: Vector | None) -> Vector:
    if vector is None:
        raise InvalidInputError("query_vector is None; only mode='bm25' can search without a vector.")
    array = np.asarray(vector, dtype=np.float32)
    if array.ndim != 1 or not np.isfinite(array).all() or not array.any():
        raise InvalidInputError(
            f"query_vector has shape {array.shape} and values from {array.min(initial=np.inf)} to {array.max(initial=-np.inf)}; "
            "it must be one-dimensional, finite and not zero."
        )
    return array
