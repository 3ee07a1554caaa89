"""The search driver: fetch candidates from each arm, score all of them exactly, fuse, rank, explain.

Every arm fetches ``fetch_k`` candidates whatever ``k`` is, so the best k are always the beginning of a larger k. When more
results are wanted than those candidates give, the arms fetch twice as many, again and again; what is new in such a later
tier ranks after everything before it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from ragkit.errors import InvalidInputError
from ragkit.lexical import Bm25
from ragkit.retrieve.arms import Arms, Found, Vector, Where
from ragkit.retrieve.fusion import DEFAULT_FUSION, Fusion, Scored
from ragkit.retrieve.tiers import Mode, OneSearch
from ragkit.text.term_query import TermQuery
from ragkit.types import Hit

DEFAULT_FETCH_K = 100
DEFAULT_BM25 = Bm25()
#: Questions whose candidates are in memory together.
_BLOCK = 128


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
    return _finish(arms, [OneSearch(arms, query_vector, query_tokens, mode, fusion, bm25)], k, fetch_k, where)[0]


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

    Queries share their reads of the store. Raises what ``search`` raises.
    """
    _check(k, mode, fetch_k)
    vectors: Sequence[Vector | None] = [None] * len(queries_tokens) if query_vectors is None else list(query_vectors)
    if len(vectors) != len(queries_tokens):
        raise InvalidInputError(
            f"There are {len(vectors)} query vectors and {len(queries_tokens)} token lists; give one each per query."
        )
    searches = [
        OneSearch(arms, vector, tokens, mode, fusion, bm25) for vector, tokens in zip(vectors, queries_tokens, strict=True)
    ]
    hits: list[list[Hit]] = []
    while searches:
        # What is done lets go of its candidates; all questions are checked before the first is asked.
        hits += _finish(arms, searches[:_BLOCK], k, fetch_k, where)
        del searches[:_BLOCK]
    return hits


def _finish(arms: Arms, searches: Sequence[OneSearch], k: int, fetch_k: int, where: Where | None) -> list[list[Hit]]:
    """Take the searches through their tiers side by side, reading the rows of all of them together."""
    waiting, limit = list(searches), fetch_k
    if len(waiting) == 1 and _from_head(arms, waiting[0], k, fetch_k, where):
        return [waiting[0].hits]
    while waiting:
        pools = arms.pools([search.ask for search in waiting], limit=limit, where=where)
        wanted = [search.choose(pool, limit, k) for search, pool in zip(waiting, pools, strict=True)]
        keys = list(dict.fromkeys(key for some in wanted for key in some))
        rows = dict(zip(keys, arms.rows(keys), strict=True))
        for search, some in zip(waiting, wanted, strict=True):
            search.rank([rows[key] for key in some], k)
        waiting = [search for search in waiting if len(search.hits) < k and not search.tier.exhausted]
        limit *= 2
    return [search.hits for search in searches]


def _from_head(arms: Arms, search: OneSearch, k: int, fetch_k: int, where: Where | None) -> bool:
    """Answer a dense search from the rows that the arm puts first, where their exact scores show that no other row belongs among the hits."""
    if search.mode != "dense" or search.ask.vector is None or k >= fetch_k:
        return False
    head = arms.head(search.ask.vector, wanted=k, limit=fetch_k, where=where)
    if head is None:
        return False
    chosen = search.choose(head.pool, fetch_k, k)
    if head.rest != -math.inf and (len(chosen) < k or not search.least > head.rest):
        return False
    search.rank(arms.rows(chosen), k)
    return True


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
        one = OneSearch(arms, vector, tokens, "hybrid", DEFAULT_FUSION, bm25)
        tier = one.tier_of(arms.pools([one.ask], limit=fetch_k, where=where)[0], fetch_k)
        found.append(Candidates(arms.rows(tier.keys), tier.scored))
    return found


def _check(k: int, mode: str, fetch_k: int) -> None:
    if mode not in get_args(Mode):
        raise InvalidInputError(f"mode is {mode!r}; allowed are {', '.join(get_args(Mode))}.")
    for name, value in (("k", k), ("fetch_k", fetch_k)):
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise InvalidInputError(f"{name} is {value!r}; it must be a whole number, at least 1.")
