"""Contexts: exact slices, nothing twice, within the budget, everything accounted for."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragkit.errors import InvalidInputError
from ragkit.retrieve import assemble, cap_documents, fold_copies, mmr
from ragkit.text import resolve_tokenizer
from ragkit.types import Chunk, Hit, Span

TEXTS = {name: " ".join(f"{name}{n}." for n in range(60)) for name in ("a", "b")}
WORDS = resolve_tokenizer("words")


def hit(rank: int, doc_id: str, start: int, end: int, *, text: str | None = None, score: float | None = None) -> Hit:
    body = TEXTS[doc_id][start:end] if text is None else text
    chunk = Chunk(
        id=f"{doc_id}:{start}:{end}",
        doc_id=doc_id,
        start=start,
        end=end,
        text=body,
        window=Span(start, end),
        index=0,
        n_tokens=1,
        metadata={"title": doc_id.upper(), "source": f"{doc_id}.md"},
    )
    return Hit(chunk=chunk, score=1 / rank if score is None else score, rank=rank, lines=(start, end))


@st.composite
def some_hits(draw: st.DrawFn) -> list[Hit]:
    spans = draw(
        st.lists(
            st.tuples(st.sampled_from("ab"), st.integers(0, 180), st.integers(1, 60)), max_size=12, unique_by=lambda s: s[:2]
        )
    )
    return [hit(rank, doc, start, start + size) for rank, (doc, start, size) in enumerate(spans, 1)]


@given(hits=some_hits(), budget=st.integers(1, 200), order=st.sampled_from(["rank", "document", "ends"]))
def test_exact_disjoint_and_within_the_budget(hits: list[Hit], budget: int, order: Any) -> None:
    context = assemble(hits, max_tokens=budget, tokenizer="words", order=order)
    assert context.n_tokens == WORDS.count_batch([context.text])[0] <= budget
    taken = [one for passage in context.passages for one in passage.chunk_ids]
    assert sorted([*taken, *context.left_out]) == sorted({h.chunk.id for h in hits})
    by_id = {h.chunk.id: h for h in hits}
    for passage in context.passages:
        assert passage.text == TEXTS[passage.doc_id][passage.start : passage.end]
        assert passage.heading in context.text
        assert passage.text.strip() in context.text
        covered = {at for one in passage.chunk_ids for at in range(by_id[one].chunk.start, by_id[one].chunk.end)}
        assert covered == set(range(passage.start, passage.end))
        assert passage.score == max(by_id[one].score for one in passage.chunk_ids)
    for one in context.passages:
        for other in context.passages:
            if one.number < other.number and one.doc_id == other.doc_id:
                assert one.end < other.start or other.end < one.start
    assert [passage.number for passage in context.passages] == list(range(1, len(context.passages) + 1))


def test_order_of_passages() -> None:
    hits = [hit(1, "b", 50, 60), hit(2, "a", 100, 110), hit(3, "b", 0, 10), hit(4, "a", 0, 10)]

    def spans(order: Any) -> list[tuple[str, int]]:
        return [(p.doc_id, p.start) for p in assemble(hits, max_tokens=500, tokenizer="words", order=order).passages]

    assert spans("rank") == [("b", 50), ("a", 100), ("b", 0), ("a", 0)]
    assert spans("document") == [("b", 0), ("b", 50), ("a", 0), ("a", 100)]
    assert spans("ends") == [("b", 50), ("b", 0), ("a", 0), ("a", 100)]


def test_citations_lead_back() -> None:
    context = assemble([hit(1, "a", 0, 20), hit(2, "b", 0, 20)], max_tokens=100, tokenizer="words")
    assert [p.doc_id for p in context.cited("It is so [2], and [1]; not [7]. [2]")] == ["b", "a"]
    assert context.text.startswith("[1] A (a.md:0-20)\n")


def test_nothing_fits_and_nothing_given() -> None:
    context = assemble([hit(1, "a", 0, 60)], max_tokens=2, tokenizer="words")
    assert (context.text, context.passages, context.left_out) == ("", (), ("a:0:60",))
    assert assemble([], max_tokens=2, tokenizer="words").text == ""


@pytest.mark.parametrize("bad", [{"max_tokens": 0}, {"max_tokens": 1.5}, {"max_tokens": 9, "order": "random"}])
def test_bad_budgets_and_orders(bad: dict[str, Any]) -> None:
    with pytest.raises(InvalidInputError):
        assemble([], tokenizer="words", **bad)


@given(n=st.integers(0, 12), k=st.integers(1, 15), balance=st.floats(0, 1), seed=st.integers(0, 99))
def test_mmr_is_the_greedy_choice(n: int, k: int, balance: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    vectors = rng.standard_normal((n, 4)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    scores = np.sort(rng.random(n))[::-1]
    hits = [hit(at + 1, "a", at, at + 1, score=float(scores[at])) for at in range(n)]
    found = mmr(hits, vectors, k=k, balance=balance)
    assert len(found) == min(n, k)
    assert len({h.chunk.id for h in found}) == len(found)
    if balance == 1.0:
        assert found == hits[:k]
    width = np.ptp(scores) if n else 0
    relevance = (scores - scores.min()) / width if width > 0 else np.ones(n)
    places = [h.chunk.start for h in found]
    for step, at in enumerate(places):

        def gain(j: int, step: int = step) -> float:
            like = max((float(vectors[j] @ vectors[i]) for i in places[:step]), default=0.0)
            return balance * float(relevance[j]) - (1 - balance) * like

        rest = [j for j in range(n) if j not in places[:step]]
        assert gain(at) >= max(gain(j) for j in rest) - 1e-6


def test_a_copy_is_not_taken_beside_its_original() -> None:
    vectors = np.array([[1, 0], [1, 0], [0, 1]], np.float32)
    hits = [hit(1, "a", 0, 1, score=1.0), hit(2, "a", 1, 2, score=0.9), hit(3, "a", 2, 3, score=0.5)]
    assert [h.rank for h in mmr(hits, vectors, k=2, balance=0.5)] == [1, 3]


def test_documents_are_capped_and_copies_folded() -> None:
    hits = [hit(1, "a", 0, 9), hit(2, "a", 9, 18), hit(3, "b", 0, 9), hit(4, "a", 18, 27)]
    assert [h.rank for h in cap_documents(hits, per_document=1)] == [1, 3]
    texts = [
        "The cat sat on the mat today.",
        "the cat sat on the mat TODAY",
        "A dog barked at the moon.",
        "The cat sat on the mat",
    ]
    copies = [hit(at + 1, "a", at * 50, at * 50 + len(text), text=text) for at, text in enumerate(texts)]
    folded = fold_copies(copies, likeness=0.75)
    assert [(h.rank, [c.rank for c in found]) for h, found in folded] == [(1, [2, 4]), (3, [])]
    with pytest.raises(InvalidInputError):
        fold_copies([], likeness=0)
    with pytest.raises(InvalidInputError):
        cap_documents([], per_document=0)
