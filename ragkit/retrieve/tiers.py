"""One question on its way through the tiers of candidates: exact scores, ranks in each arm, hits with their parts."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Sequence
from dataclasses import replace
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ragkit.errors import InvalidInputError
from ragkit.lexical import Bm25, bm25_ceiling, bm25_counted, boosts
from ragkit.retrieve.arms import Arms, Ask, Found, Pool, Vector
from ragkit.retrieve.fusion import Fusion, Scored, Shares
from ragkit.text.term_query import TermQuery
from ragkit.types import Chunk, Hit, Part
from ragkit.vec import order, ranks

Mode = Literal["dense", "bm25", "hybrid"]
Floats = NDArray[np.float64]


class Tier(NamedTuple):
    """The candidates of one fetch: each row once, with exact scores and its rank in each arm (0: not returned by it)."""

    keys: list[Hashable]
    scored: Scored
    exhausted: bool


class OneSearch:
    """One query on its way through the tiers."""

    def __init__(
        self, arms: Arms, vector: Vector | None, tokens: Sequence[str] | TermQuery, mode: Mode, fusion: Fusion, bm25: Bm25
    ) -> None:
        self.arms, self.mode, self.fusion, self.bm25 = arms, mode, fusion, bm25
        query = tokens if isinstance(tokens, TermQuery) else TermQuery.of(tokens)
        asked = None
        if query.tokens and mode != "dense":
            asked = replace(query, boosts=boosts(query.tokens, arms.term_stats()))
        self.ask = Ask(None if mode == "bm25" else _checked(vector), asked)
        # What a prefix or a misspelling may stand for is no list of words that one chunk could cover.
        self.plain = not isinstance(tokens, TermQuery)
        self.hits: list[Hit] = []
        self.tier: Tier
        self._seen: set[Hashable] = set()
        self._formula: Callable[[Scored], Shares] | None = None

    def choose(self, pool: Pool, limit: int, k: int) -> list[Hashable]:
        """Score the rows of the next tier; returns the keys of those that may become hits."""
        self.tier = self.tier_of(pool, limit)
        if self._formula is None:
            self._formula = self.fusion.fit(self.tier.scored) if self.mode == "hybrid" else _alone
        self._shares = self._formula(self.tier.scored)
        self._best = _best(self.tier.keys, self._shares.dense + self._shares.bm25, self._seen, k - len(self.hits))
        return [self.tier.keys[place] for place in self._best]

    @property
    def least(self) -> float:
        """The lowest score of those that may become hits."""
        return float((self._shares.dense + self._shares.bm25)[self._best[-1]])

    def tier_of(self, pool: Pool, limit: int) -> Tier:
        """The exact scores of the rows that the arms found."""
        vector, query = self.ask
        if not pool.keys:
            nothing, none = np.zeros(0), np.zeros(0, dtype=np.int64)
            return Tier([], Scored(nothing, none, nothing, none, none, self._ceiling()), exhausted=True)
        places = np.arange(len(pool.keys))
        if query is not None and query.without:
            places = np.array([place for place in places.tolist() if query.allows(pool.lex(place))], dtype=np.int64)
        documents = np.zeros(len(places), dtype=np.int64)
        if self.mode == "hybrid":
            # Fixed before any arithmetic, so that neither the arms' order nor their overlap can move a tie.
            places = places[np.lexsort((pool.starts[places], pool.documents[places]))]
            documents = pool.documents[places]
        cosine = np.zeros(len(places)) if vector is None else _cosines(vector, pool.vectors[places])
        bm25 = np.zeros(len(places)) if query is None else self._bm25(query, pool, places)
        near, matched = pool.near[places], pool.matched[places]
        scored = Scored(cosine, _arm_ranks(near, cosine), bm25, _arm_ranks(matched, bm25), documents, self._ceiling())
        exhausted = int(pool.near.sum()) < limit and int(pool.matched.sum()) < limit
        return Tier([pool.keys[place] for place in places.tolist()], scored, exhausted)

    def _bm25(self, query: TermQuery, pool: Pool, places: NDArray[np.int64]) -> Floats:
        counts, lengths = pool.counts(query.tokens)
        settings = {"k1": self.bm25.k1, "b": self.bm25.b}
        return bm25_counted(query.tokens, counts[places], lengths[places], self.arms.term_stats(), **settings)

    def _ceiling(self) -> float:
        if self.mode != "hybrid" or self.ask.query is None or not self.plain:
            return 0.0
        return bm25_ceiling(self.ask.query.tokens, self.arms.term_stats(), k1=self.bm25.k1)

    def rank(self, found: Sequence[Found], k: int) -> None:
        """Append the rows that were chosen, up to ``k`` hits in all, each below everything of the tiers before."""
        hits, shares, scored = self.hits, self._shares, self.tier.scored
        rows = dict(zip(self._best, found, strict=True))
        scores = shares.dense + shares.bm25
        ceiling = math.nextafter(hits[-1].score, -math.inf) if hits else math.inf
        above = math.inf
        for place in sorted(rows, key=lambda place: (-scores[place], _tie(rows[place].chunk))):
            if len(hits) == k:
                return
            row = rows[place]
            self._seen.add(self.tier.keys[place])
            if scores[place] < above < math.inf:
                # Equal scores promise an order by document id, so a lower one stays lower even under the ceiling.
                ceiling = math.nextafter(ceiling, -math.inf)
            above = float(scores[place])
            ceiling = min(ceiling, above)
            rank = len(hits) + 1
            # An arm alone is the search: its ranks are the hits'.
            own = None if self.mode == "hybrid" else rank
            parts = {}
            if self.mode != "bm25":
                parts["dense"] = _part(scored.dense, scored.dense_rank, shares.dense, place, own)
            if self.mode != "dense":
                parts["bm25"] = _part(scored.bm25, scored.bm25_rank, shares.bm25, place, own)
            hits.append(Hit(chunk=row.chunk, score=ceiling, rank=rank, parts=parts, lines=row.lines, document=row.document))


def _alone(scored: Scored) -> Shares:
    return Shares(scored.dense, scored.bm25)


def _cosines(vector: Vector, stored: NDArray[np.float32]) -> Floats:
    rows, query = stored.astype(np.float64), vector.astype(np.float64)
    # einsum sums every row in the same order, and 12 digits hide what is left of rounding: equal vectors tie.
    dots = np.einsum("ij,j->i", rows, query)
    norms = np.sqrt(np.einsum("ij,ij->i", rows, rows)) * math.sqrt(float(query @ query))
    cosines: Floats = np.clip(np.round(dots / np.where(norms > 0, norms, 1.0), 12), -1.0, 1.0)
    return cosines


def _best(keys: Sequence[Hashable], scores: Floats, seen: set[Hashable], wanted: int) -> list[int]:
    """The places of the ``wanted`` best rows not seen before, and of all that tie with the last of them."""
    fresh = [place for place in order(scores).tolist() if keys[place] not in seen]
    return [place for place in fresh if scores[place] >= scores[fresh[wanted - 1]]] if len(fresh) > wanted else fresh


def _tie(chunk: Chunk) -> tuple[str, int, int, str]:
    return chunk.doc_id, chunk.start, chunk.end, chunk.id


def _arm_ranks(found: NDArray[np.bool_], scores: Floats) -> NDArray[np.int64]:
    """Ranks by exact score of the rows an arm returned, counted from 1; 0 for the others."""
    members = np.flatnonzero(found)
    result = np.zeros(len(found), dtype=np.int64)
    result[members] = ranks(order(scores[members]))
    return result


def _part(scores: Floats, arm_ranks: NDArray[np.int64], shares: Floats, place: int, rank: int | None) -> Part:
    return Part(score=float(scores[place]), rank=rank or int(arm_ranks[place]) or None, share=float(shares[place]))


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
