"""The search driver: fetch candidates from each arm, score all of them exactly, fuse, rank, explain.

Every arm fetches ``fetch_k`` candidates whatever ``k`` is, so the best k are always the beginning of a larger k. When more
results are wanted than those candidates give, the arms fetch twice as many, again and again; what is new in such a later
tier ranks after everything before it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Hashable, Sequence
from dataclasses import replace
from typing import Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from ragkit.errors import InvalidInputError
from ragkit.lexical import Bm25, bm25_ceiling, bm25_scores, boosts
from ragkit.retrieve.arms import Arms, BatchArms, Candidate, Found, Vector, Where
from ragkit.retrieve.fusion import DEFAULT_FUSION, Fusion, Scored, Shares
from ragkit.text.term_query import TermQuery
from ragkit.types import Chunk, Hit, Part
from ragkit.vec import order, ranks

Mode = Literal["dense", "bm25", "hybrid"]
DEFAULT_FETCH_K = 100
DEFAULT_BM25 = Bm25()

Floats = NDArray[np.float64]


def search(
    arms: Arms,
    *,
    query_vector: Vector | None,
    query_tokens: Sequence[str] | TermQuery,
    k: int,
    mode: Mode = "hybrid",
    fetch_k: int = DEFAULT_FETCH_K,
    fusion: Fusion = DEFAULT_FUSION,
    where: Where | None = None,
    bm25: Bm25 = DEFAULT_BM25,
) -> list[Hit]:
    """The ``k`` best hits, best first; fewer only when fewer rows can match.

    ``query_vector`` is float32 ``(dim,)`` and not needed by "bm25"; ``query_tokens`` come from the analyzer of the
    stored tokens and are not needed by "dense"; a TermQuery sets conditions of its own. Scores are cosines ("dense"), BM25 ("bm25") or the fusion's own
    ("hybrid"); ties break by document id and start. ``hit.parts`` has each arm's exact score, its rank among that arm's
    candidates (None where the arm did not return the chunk) and its share of the final score. A query without tokens
    matches nothing in the BM25 arm: "bm25" is then empty and "hybrid" ranks by the dense arm.

    Raises InvalidInputError for an unknown mode, ``k`` or ``fetch_k`` below 1, or a vector that is missing, not
    one-dimensional, not finite or zero.
    """
    _check(k, mode, fetch_k)
    return _finish(arms, [_Search(arms, query_vector, query_tokens, mode, fusion, where, bm25).run(k, fetch_k)])[0]


def search_many(
    arms: Arms,
    *,
    query_vectors: NDArray[np.float32] | None,
    queries_tokens: Sequence[Sequence[str] | TermQuery],
    k: int,
    mode: Mode = "hybrid",
    fetch_k: int = DEFAULT_FETCH_K,
    fusion: Fusion = DEFAULT_FUSION,
    where: Where | None = None,
    bm25: Bm25 = DEFAULT_BM25,
) -> list[list[Hit]]:
    """``search`` for each query, with the same results; ``query_vectors`` is float32 ``(n, dim)``.

    When the store is a ``BatchArms`` all queries share its scans for candidates. Raises what ``search`` raises.
    """
    _check(k, mode, fetch_k)
    vectors: Sequence[Vector | None] = [None] * len(queries_tokens) if query_vectors is None else list(query_vectors)
    if len(vectors) != len(queries_tokens):
        raise InvalidInputError(
            f"There are {len(vectors)} query vectors and {len(queries_tokens)} token lists; give one each per query."
        )
    runs = [
        _Search(arms, vector, tokens, mode, fusion, where, bm25) for vector, tokens in zip(vectors, queries_tokens, strict=True)
    ]
    nearest: Sequence[Sequence[Candidate] | None] = [None] * len(runs)
    matching = list(nearest)
    if runs and isinstance(arms, BatchArms):
        if mode != "bm25" and query_vectors is not None:
            nearest = arms.nearest_many(query_vectors, limit=fetch_k, where=where)
        asked = [place for place, run in enumerate(runs) if run.query is not None]
        queries = [run.query for run in runs if run.query is not None]
        for place, rows in zip(asked, arms.matching_many(queries, limit=fetch_k, where=where), strict=True):
            matching[place] = rows
    first = zip(nearest, matching, strict=True)
    return _finish(arms, [run.run(k, fetch_k, *found) for run, found in zip(runs, first, strict=True)])


#: A search under way: it yields candidates, is sent their rows, and returns its hits.
_Steps = Generator[Sequence[Candidate], Sequence[Found], list[Hit]]


def _finish(arms: Arms, searches: Sequence[_Steps]) -> list[list[Hit]]:
    """Drive the searches to their ends side by side, reading the rows of all of them together."""
    hits: list[list[Hit]] = [[] for _ in searches]
    rows: dict[int, Sequence[Found]] = {}
    waiting = list(range(len(searches)))
    while waiting:
        wanted: dict[int, Sequence[Candidate]] = {}
        for place in waiting:
            try:
                wanted[place] = searches[place].send(rows[place]) if rows else next(searches[place])
            except StopIteration as end:
                hits[place] = end.value
        known = {one.key: one for some in wanted.values() for one in some}
        found = dict(zip(known, arms.rows(list(known.values())), strict=True))
        rows = {place: [found[one.key] for one in some] for place, some in wanted.items()}
        waiting = list(wanted)
    return hits


class Candidates(NamedTuple):
    """What fusion is given for a question, and the rows that it scores; both in one order."""

    rows: Sequence[Found]
    scored: Scored


def candidates(
    arms: Arms,
    *,
    query_vectors: NDArray[np.float32],
    queries_tokens: Sequence[Sequence[str] | TermQuery],
    fetch_k: int = DEFAULT_FETCH_K,
    where: Where | None = None,
    bm25: Bm25 = DEFAULT_BM25,
) -> list[Candidates]:
    """The first ``fetch_k`` candidates of each arm with their exact scores, for each query: what a hybrid search fuses.

    For trying fusions without searching again. Raises what ``search_many`` raises.
    """
    _check(1, "hybrid", fetch_k)
    found = []
    for vector, tokens in zip(query_vectors, queries_tokens, strict=True):
        tier = _Search(arms, vector, tokens, "hybrid", DEFAULT_FUSION, where, bm25).first(fetch_k)
        found.append(Candidates(arms.rows(tier.rows), tier.scored))
    return found


class _Tier(NamedTuple):
    """The candidates of one fetch: each row once, with exact scores and its rank in each arm (0: not returned by it)."""

    rows: list[Candidate]
    scored: Scored
    exhausted: bool


class _Search:
    """One query on its way through the tiers."""

    def __init__(
        self,
        arms: Arms,
        vector: Vector | None,
        tokens: Sequence[str] | TermQuery,
        mode: Mode,
        fusion: Fusion,
        where: Where | None,
        bm25: Bm25,
    ) -> None:
        self.arms, self.mode, self.fusion, self.where, self.bm25 = arms, mode, fusion, where, bm25
        self.vector = None if mode == "bm25" else _checked(vector)
        query = tokens if isinstance(tokens, TermQuery) else TermQuery.of(tokens)
        self.query = None
        if query.tokens and mode != "dense":
            self.query = replace(query, boosts=boosts(query.tokens, arms.term_stats()))
        # What a prefix or a misspelling may stand for is no list of words that one chunk could cover.
        self.plain = not isinstance(tokens, TermQuery)

    def run(
        self,
        k: int,
        fetch_k: int,
        nearest: Sequence[Candidate] | None = None,
        matching: Sequence[Candidate] | None = None,
    ) -> _Steps:
        hits: list[Hit] = []
        seen: set[Hashable] = set()
        formula: Callable[[Scored], Shares] | None = None
        limit = fetch_k
        while True:
            tier = self._fetch(limit, nearest, matching)
            nearest = matching = None
            formula = formula or self._formula(tier.scored)
            shares = formula(tier.scored)
            best = _best(tier, shares.dense + shares.bm25, seen, k - len(hits))
            rows = (yield [tier.rows[place] for place in best]) if best else []
            self._rank(tier, shares, dict(zip(best, rows, strict=True)), seen, hits, k)
            if len(hits) >= k or tier.exhausted:
                return hits
            limit *= 2

    def first(self, fetch_k: int) -> _Tier:
        return self._fetch(fetch_k, None, None)

    def _fetch(self, limit: int, nearest: Sequence[Candidate] | None, matching: Sequence[Candidate] | None) -> _Tier:
        dense: Sequence[Candidate] = []
        if self.vector is not None:
            dense = self.arms.nearest(self.vector, limit=limit, where=self.where) if nearest is None else nearest
        sparse: Sequence[Candidate] = []
        if self.query is not None:
            sparse = self.arms.matching(self.query, limit=limit, where=self.where) if matching is None else matching
        rows = list({row.key: row for row in (*dense, *sparse)}.values())
        if self.query is not None and self.query.without:
            rows = [row for row in rows if self.query.allows(row.lex)]
        numbers: dict[str, int] = {}
        if self.mode == "hybrid":
            # Fixed before any arithmetic, so that neither the arms' order nor their overlap can move a tie.
            rows.sort(key=lambda row: row.place)
            numbers = {doc_id: number for number, doc_id in enumerate(dict.fromkeys(row.place[0] for row in rows))}
        document = np.array([numbers[row.place[0]] if numbers else 0 for row in rows], dtype=np.int64)
        cosine, bm25 = self._cosines(rows), self._bm25(rows)
        scored = Scored(cosine, _arm_ranks(rows, dense, cosine), bm25, _arm_ranks(rows, sparse, bm25), document, self._ceiling())
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
        if self.query is None or not rows:
            return np.zeros(len(rows))
        stats = self.arms.term_stats()
        return bm25_scores(self.query.tokens, [row.lex for row in rows], stats, k1=self.bm25.k1, b=self.bm25.b)

    def _ceiling(self) -> float:
        if self.mode != "hybrid" or self.query is None or not self.plain:
            return 0.0
        return bm25_ceiling(self.query.tokens, self.arms.term_stats(), k1=self.bm25.k1)

    def _formula(self, first: Scored) -> Callable[[Scored], Shares]:
        if self.mode == "hybrid":
            return self.fusion.fit(first)
        return lambda scored: Shares(scored.dense, scored.bm25)

    def _rank(self, tier: _Tier, shares: Shares, rows: dict[int, Found], seen: set[Hashable], hits: list[Hit], k: int) -> None:
        """Append ``rows``, up to ``k`` in all, each below everything of the tiers before."""
        scores = shares.dense + shares.bm25
        ceiling = math.nextafter(hits[-1].score, -math.inf) if hits else math.inf
        above = math.inf
        for place in sorted(rows, key=lambda place: (-scores[place], _tie(rows[place].chunk))):
            if len(hits) == k:
                return
            row = rows[place]
            seen.add(tier.rows[place].key)
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
                parts["dense"] = _part(tier.scored.dense, tier.scored.dense_rank, shares.dense, place, own)
            if self.mode != "dense":
                parts["bm25"] = _part(tier.scored.bm25, tier.scored.bm25_rank, shares.bm25, place, own)
            hits.append(Hit(chunk=row.chunk, score=ceiling, rank=rank, parts=parts, lines=row.lines, document=row.document))


def _best(tier: _Tier, scores: Floats, seen: set[Hashable], wanted: int) -> list[int]:
    """The places of the ``wanted`` best rows not seen before, and of all that tie with the last of them."""
    fresh = [int(place) for place in order(scores) if tier.rows[place].key not in seen]
    return [place for place in fresh if scores[place] >= scores[fresh[wanted - 1]]] if len(fresh) > wanted else fresh


def _tie(chunk: Chunk) -> tuple[str, int, int, str]:
    return chunk.doc_id, chunk.start, chunk.end, chunk.id


def _arm_ranks(rows: Sequence[Candidate], found: Sequence[Candidate], scores: Floats) -> NDArray[np.int64]:
    """Ranks by exact score of the rows an arm returned, counted from 1; 0 for the others."""
    keys = {row.key for row in found}
    members = np.flatnonzero([row.key in keys for row in rows])
    result = np.zeros(len(rows), dtype=np.int64)
    result[members] = ranks(order(scores[members]))
    return result


def _part(scores: Floats, arm_ranks: NDArray[np.int64], shares: Floats, place: int, rank: int | None) -> Part:
    return Part(score=float(scores[place]), rank=rank or int(arm_ranks[place]) or None, share=float(shares[place]))


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
