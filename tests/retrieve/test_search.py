"""Laws of the search driver over a store in memory that answers by brute force."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragkit.errors import InvalidInputError
from ragkit.lexical import bm25_scores, term_stats
from ragkit.retrieve import DEFAULT_FUSION, Ask, Convex, Rrf, search, search_many
from ragkit.retrieve.fusion import Scored
from ragkit.text.term_query import Every, OneOf, TermQuery
from ragkit.types import Chunk, Span, TermStats


@dataclass(frozen=True)
class Row:
    chunk: Chunk
    lines: tuple[int, int]
    vector: np.ndarray
    lex: list[str]
    document: str = ""


class MemoryPool:
    """Rows that both arms found, as columns."""

    def __init__(self, near: Sequence[Row], matched: Sequence[Row]) -> None:
        self.rows = list({row.chunk.id: row for row in (*near, *matched)}.values())
        self.keys = [row.chunk.id for row in self.rows]
        self.near = np.isin(self.keys, [row.chunk.id for row in near])
        self.matched = np.isin(self.keys, [row.chunk.id for row in matched])
        self.starts = np.array([row.chunk.start for row in self.rows], dtype=np.int64)
        self.documents = np.unique([row.chunk.doc_id for row in self.rows], return_inverse=True)[1]

    @property
    def vectors(self) -> np.ndarray:
        return np.array([row.vector for row in self.rows], dtype=np.float32).reshape(len(self.rows), -1)

    def counts(self, tokens: Sequence[str], /) -> tuple[np.ndarray, np.ndarray]:
        counts = [[row.lex.count(token) for token in tokens] for row in self.rows]
        return np.array(counts, np.int64).reshape(-1, len(tokens)), np.array([len(row.lex) for row in self.rows], np.int64)

    def lex(self, place: int, /) -> list[str]:
        return self.rows[place].lex


def row(doc_id: str, vector: Sequence[float], lex: str, *, start: int = 0) -> Row:
    span = Span(start, start + 1)
    chunk = Chunk(id=f"{doc_id}/{start}", doc_id=doc_id, start=start, end=start + 1, text="x", window=span, index=0, n_tokens=1)
    return Row(chunk, (start + 1, start + 2), np.asarray(vector, dtype=np.float32), lex.split())


class MemoryArms:
    """Both arms over a list of rows; ``where`` is ``{"ids": [...]}``."""

    def __init__(self, rows: Sequence[Row]) -> None:
        self.all = list(rows)
        self.read = self.scans = 0
        self.stats = term_stats([row.lex for row in rows])
        self.limits: list[int] = []

    def _allowed(self, where: Mapping[str, Any] | None) -> list[Row]:
        return [row for row in self.all if where is None or row.chunk.doc_id in where["ids"]]

    def nearest(self, vector: np.ndarray, /, *, limit: int, where: Mapping[str, Any] | None) -> list[Row]:
        self.limits.append(limit)
        return sorted(self._allowed(where), key=lambda row: (-float(row.vector @ vector), row.chunk.id))[:limit]

    def matching(self, query: TermQuery, /, *, limit: int, where: Mapping[str, Any] | None) -> list[Row]:
        self.limits.append(limit)
        rows = [row for row in self._allowed(where) if query.condition.matches(row.lex)]
        scores = bm25_scores(query.tokens, [row.lex for row in rows], self.stats)
        ordered = sorted(range(len(rows)), key=lambda place: (-scores[place], rows[place].chunk.id))
        return [rows[place] for place in ordered][:limit]

    def pools(self, asks: Sequence[Ask], /, *, limit: int, where: Mapping[str, Any] | None = None) -> list[MemoryPool]:
        self.scans += 1
        return [
            MemoryPool(
                [] if one.vector is None else self.nearest(one.vector, limit=limit, where=where),
                [] if one.query is None else self.matching(one.query, limit=limit, where=where),
            )
            for one in asks
        ]

    def head(self, vector: np.ndarray, /, *, wanted: int, limit: int, where: Mapping[str, Any] | None = None) -> Any:
        size = wanted + 2
        if size >= limit:
            return None
        found = self.nearest(vector, limit=size, where=where)
        rest = float(found[-1].vector @ vector) + 1e-6 if len(found) == size else -np.inf
        return SimpleNamespace(pool=MemoryPool(found, []), rest=rest)

    def rows(self, keys: Sequence[str], /) -> list[Row]:
        self.read += len(keys)
        known = {row.chunk.id: row for row in self.all}
        return [known[key] for key in keys]

    def term_stats(self) -> TermStats:
        return self.stats


# Few directions and few words, so that ties and exact repeats are common.
VECTORS = st.sampled_from([(1.0, 0.0), (0.0, 1.0), (0.6, 0.8), (0.8, 0.6), (-1.0, 0.0), (0.96, 0.28)])
ROWS = st.lists(
    st.tuples(st.sampled_from("pqrstuvw"), VECTORS, st.lists(st.sampled_from("abcde"), max_size=5).map(" ".join)), max_size=30
).map(lambda facts: [row(doc, vector, lex, start=place) for place, (doc, vector, lex) in enumerate(facts)])
FUSIONS = st.sampled_from(
    [DEFAULT_FUSION, Rrf(), Rrf(c=0, dense=0.3), *(Convex(normalize=name) for name in ("minmax", "tmm", "zscore"))]
)
MODES = st.sampled_from(["dense", "bm25", "hybrid"])
TOKENS = st.lists(st.sampled_from("abcdez"), max_size=4)
ALL = 100


def ask(arms, vector, tokens, **settings):
    return search(arms, query_vector=np.asarray(vector, np.float32), query_tokens=tokens, **settings)


@given(ROWS, VECTORS, TOKENS, MODES, FUSIONS, st.integers(1, 40), st.integers(1, 12))
def test_a_smaller_k_is_the_beginning_of_a_larger(rows, vector, tokens, mode, fusion, k, fetch_k):
    arms = MemoryArms(rows)
    everything = ask(arms, vector, tokens, k=ALL, mode=mode, fusion=fusion, fetch_k=fetch_k)
    assert ask(arms, vector, tokens, k=k, mode=mode, fusion=fusion, fetch_k=fetch_k) == everything[:k]


@given(ROWS, VECTORS, TOKENS, MODES, FUSIONS, st.integers(1, 12))
def test_everything_that_can_match_comes_once_in_order_and_explained(rows, vector, tokens, mode, fusion, fetch_k):
    hits = ask(MemoryArms(rows), vector, tokens, k=ALL, mode=mode, fusion=fusion, fetch_k=fetch_k)
    matching = [one for one in rows if mode != "bm25" or set(one.lex) & set(tokens)]
    assert sorted(hit.chunk.id for hit in hits) == sorted(one.chunk.id for one in matching)
    assert [hit.rank for hit in hits] == list(range(1, len(hits) + 1))
    assert all(np.isfinite(hit.score) for hit in hits)
    assert hits == sorted(hits, key=lambda hit: (-hit.score, hit.chunk.doc_id, hit.chunk.start))
    names = {"dense": {"dense"}, "bm25": {"bm25"}, "hybrid": {"dense", "bm25"}}[mode]
    assert all(set(hit.parts) == names for hit in hits)


@given(ROWS, VECTORS, TOKENS, MODES, FUSIONS, st.randoms())
def test_the_order_of_rows_in_the_store_means_nothing(rows, vector, tokens, mode, fusion, random):
    shuffled = list(rows)
    random.shuffle(shuffled)
    left, right = (ask(MemoryArms(some), vector, tokens, k=ALL, mode=mode, fusion=fusion) for some in (rows, shuffled))
    assert left == right


@given(ROWS, VECTORS, TOKENS, FUSIONS)
def test_parts_hold_exact_scores_of_both_arms_and_shares_add_up(rows, vector, tokens, fusion):
    arms = MemoryArms(rows)
    by_id = {one.chunk.id: one for one in rows}
    hits = ask(arms, vector, tokens, k=ALL, fusion=fusion)
    for hit in hits:
        one = by_id[hit.chunk.id]
        dense, bm25 = hit.parts["dense"], hit.parts["bm25"]
        assert dense.score == pytest.approx(float(one.vector @ np.asarray(vector)), abs=1e-6)
        assert bm25.score == pytest.approx(float(bm25_scores(tokens, [one.lex], arms.stats)[0]) if tokens else 0.0)
        assert (bm25.rank is None) == (not set(one.lex) & set(tokens))
        assert hit.score == pytest.approx(dense.share + bm25.share)
        assert hit.lines == one.lines


@given(ROWS, VECTORS, TOKENS, FUSIONS)
def test_fusion_is_monotone_in_both_arms(rows, vector, tokens, fusion):
    hits = ask(MemoryArms(rows), vector, tokens, k=ALL, fusion=fusion)
    for better in hits:
        for worse in hits:
            if all(better.parts[arm].score > worse.parts[arm].score for arm in ("dense", "bm25")):
                assert better.score >= worse.score


@given(ROWS, VECTORS, TOKENS, MODES, st.sets(st.sampled_from("pqrstuvw")))
def test_filters_apply_before_the_cut(rows, vector, tokens, mode, ids):
    hits = ask(MemoryArms(rows), vector, tokens, k=ALL, mode=mode, fetch_k=2, where={"ids": ids})
    allowed = [one for one in rows if one.chunk.doc_id in ids and (mode != "bm25" or set(one.lex) & set(tokens))]
    assert len(hits) == len(allowed)


@given(ROWS, st.lists(st.tuples(VECTORS, TOKENS), max_size=4), MODES, st.integers(1, 12))
def test_many_questions_at_once_are_answered_as_one_by_one(rows, questions, mode, k):
    vectors = np.asarray([vector for vector, _ in questions], np.float32).reshape(-1, 2)
    tokens = [some for _, some in questions]
    arms = MemoryArms(rows)
    many = search_many(arms, query_vectors=vectors, queries_tokens=tokens, k=k, mode=mode, fetch_k=3)
    assert many == [ask(arms, vector, some, k=k, mode=mode, fetch_k=3) for vector, some in questions]


def test_questions_beyond_one_block_come_in_order():
    arms = MemoryArms([row("a", (1.0, 0.0), "cat", start=0), row("b", (0.0, 1.0), "dog", start=0)])
    tokens = [["cat"] if number % 3 else ["dog"] for number in range(300)]
    found = search_many(arms, query_vectors=None, queries_tokens=tokens, k=1, mode="bm25")
    assert [hits[0].chunk.doc_id for hits in found] == ["a" if number % 3 else "b" for number in range(300)]


def test_many_questions_share_one_scan_and_bm25_needs_no_vectors():
    arms = MemoryArms([row("a", (1, 0), "cat"), row("b", (0, 1), "dog")])
    search_many(arms, query_vectors=np.eye(2, dtype=np.float32), queries_tokens=[["cat"], ["dog"]], k=1)
    assert arms.scans == 1
    found = search_many(arms, query_vectors=None, queries_tokens=[["cat"], ["dog"]], k=1, mode="bm25")
    assert [hits[0].chunk.doc_id for hits in found] == ["a", "b"]
    assert arms.scans == 2


def test_arms_fetch_fetch_k_whatever_k_is_and_twice_as_many_only_when_needed():
    rows = [row(f"d{place:03}", (1, place / 100), "cat") for place in range(50)]
    for k, limits in ((1, [10, 10]), (10, [10, 10]), (25, [10, 10, 20, 20, 40, 40])):
        arms = MemoryArms(rows)
        assert len(ask(arms, (1.0, 0.0), ["cat"], k=k, fetch_k=10)) == k
        assert arms.limits == limits


def test_a_question_without_words_is_answered_by_the_dense_arm_and_says_so():
    arms = MemoryArms([row("far", (0, 1), "cat"), row("near", (1, 0), "dog")])
    hits = ask(arms, (1.0, 0.0), [], k=5)
    assert [hit.chunk.doc_id for hit in hits] == ["near", "far"]
    assert all(hit.parts["bm25"].rank is None and hit.parts["bm25"].share == 0 for hit in hits)
    assert ask(arms, (1.0, 0.0), [], k=5, mode="bm25") == []
    assert ask(MemoryArms([]), (1.0, 0.0), ["cat"], k=5) == []


def test_a_perfect_arm_is_not_outvoted_by_a_vague_one():
    # The dense arm sees everything alike and prefers others by a hair; the words single out two documents.
    rows = [row(f"d{place:02}", (1, place / 1000), "likes tea") for place in range(60)]
    rows += [row(f"gold{place}", (1, 0.2), "likes quince") for place in range(2)]
    arms = MemoryArms(rows)
    assert {hit.chunk.doc_id for hit in ask(arms, (1.0, 0.0), ["likes", "quince"], k=2)} == {"gold0", "gold1"}
    assert {hit.chunk.doc_id for hit in ask(arms, (1.0, 0.0), ["likes", "quince"], k=2, fusion=Rrf())} != {"gold0", "gold1"}


def test_a_confident_dense_arm_is_not_outvoted_by_common_words():
    rows = [row(f"d{place:02}", (0.1, 1), "tea " + "milk " * (place % 3)) for place in range(60)]
    rows.append(row("gold", (1, 0), "camellia"))
    assert ask(MemoryArms(rows), (1.0, 0.0), ["tea", "milk"], k=1)[0].chunk.doc_id == "gold"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"k": 0}, "k is 0"),
        ({"k": True}, "k is True"),
        ({"k": 1, "fetch_k": 0}, "fetch_k is 0"),
        ({"k": 1, "mode": "fuzzy"}, "dense, bm25, hybrid"),
    ],
)
def test_settings_out_of_range_are_refused(settings, message):
    with pytest.raises(InvalidInputError, match=message):
        ask(MemoryArms([]), (1.0, 0.0), [], **settings)


@pytest.mark.parametrize("vector", [None, [0.0, 0.0], [float("nan"), 1.0], [[1.0, 0.0]], []])
def test_vectors_that_point_nowhere_are_refused(vector):
    with pytest.raises(InvalidInputError, match="query_vector"):
        search(MemoryArms([]), query_vector=None if vector is None else np.asarray(vector, np.float32), query_tokens=[], k=1)


def test_as_many_vectors_as_questions():
    with pytest.raises(InvalidInputError, match="1 query vectors and 2 token lists"):
        search_many(MemoryArms([]), query_vectors=np.ones((1, 2), np.float32), queries_tokens=[[], []], k=1)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Convex(dense=1.5),
        lambda: Convex(normalize="max"),
        lambda: Convex(document=-1),
        lambda: Rrf(c=-1),
        lambda: Rrf(dense=-0.1),
    ],
)
def test_fusions_refuse_settings_out_of_range(make):
    with pytest.raises(InvalidInputError):
        make()


@given(weight=st.floats(0, 2), seed=st.integers(0, 99))
def test_a_document_lends_its_best_candidates_score_to_the_others(weight: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 9))
    scored = Scored(
        rng.uniform(-1, 1, n),
        np.arange(1, n + 1),
        np.round(rng.uniform(0, 9, n), 3),
        np.arange(1, n + 1),
        rng.integers(0, 4, n),
    )
    alone = Convex(document=0.0).fit(scored)(scored)
    found = Convex(document=weight).fit(scored)(scored)
    own = alone.dense + alone.bm25
    best = np.array([own[scored.document == number].max() for number in scored.document])
    np.testing.assert_allclose(found.dense + found.bm25, own + weight * best, atol=1e-9)


def test_documents_of_one_chunk_keep_their_order_whatever_the_weight() -> None:
    arms = MemoryArms([row(f"d{n}", [1.0, n / 7, (n * n) % 5], " ".join(["cat"] * (n % 4) + ["dog"] * n)) for n in range(12)])
    query = {"query_vector": np.array([1, 0.5, 0.2], np.float32), "query_tokens": ["cat", "dog"], "k": 12}
    plain = search(arms, **query, fusion=Convex(document=0.0))  # type: ignore[arg-type]
    lent = search(arms, **query, fusion=Convex(document=0.5))  # type: ignore[arg-type]
    assert [hit.chunk.id for hit in plain] == [hit.chunk.id for hit in lent]


@given(ROWS, VECTORS, MODES, st.integers(1, 12))
def test_only_rows_that_become_hits_are_read_whole(rows, vector, mode, k):
    arms = MemoryArms(rows)
    hits = ask(arms, vector, ["a", "b"], k=k, mode=mode)
    tied = sum(hit.score == hits[-1].score for hit in ask(MemoryArms(rows), vector, ["a", "b"], k=ALL, mode=mode)) if hits else 0
    assert arms.read <= len(hits) + tied


@given(ROWS, VECTORS, st.sampled_from(["bm25", "hybrid"]), st.integers(1, 5))
def test_no_arm_returns_what_a_query_excludes(rows, vector, mode, fetch_k):
    without = OneOf(("b",))
    query = TermQuery(Every((OneOf(("a",)),), (without,)), ("a",), (without,))
    hits = ask(MemoryArms(rows), vector, query, k=ALL, mode=mode, fetch_k=fetch_k)
    allowed = [one for one in rows if "b" not in one.lex and (mode == "hybrid" or "a" in one.lex)]
    assert sorted(hit.chunk.id for hit in hits) == sorted(one.chunk.id for one in allowed)
