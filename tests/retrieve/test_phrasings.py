"""Lists of several phrasings, fused: laws under hypothesis."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragkit.retrieve import Cost, Phrasings, fuse, fuse_deep, rewritten
from ragkit.types import Chunk, Hit, Span


def hit(name: str, score: float, rank: int) -> Hit:
    chunk = Chunk(id=name, doc_id=name, start=0, end=1, text=name, window=Span(0, 1), index=0, n_tokens=1)
    return Hit(chunk=chunk, score=score, rank=rank)


@st.composite
def searches(draw: st.DrawFn) -> list[list[Hit]]:
    """Complete rankings of a small table, one per phrasing."""
    table = "abcdefgh"[: draw(st.integers(1, 8))]
    lists = []
    for _ in range(draw(st.integers(1, 3))):
        scores = {name: draw(st.sampled_from([0.1, 0.2, 0.5, 0.9])) for name in table}
        ordered = sorted(table, key=lambda name: (-scores[name], name))
        lists.append([hit(name, scores[name], rank) for rank, name in enumerate(ordered, 1)])
    return lists


@given(searches(), st.integers(1, 9), st.integers(1, 9))
def test_laws(lists: list[list[Hit]], k: int, depth: int) -> None:
    names = [f"q{at}" for at in range(1, len(lists) + 1)]

    def find(to: int) -> list[list[Hit]]:
        return [hits[:to] for hits in lists]

    found = fuse_deep(find, names, k=k, depth=depth)
    assert found == fuse_deep(find, names, k=k + 1, depth=depth)[:k]
    assert len(found) == min(k, len(lists[0]))
    assert [one.rank for one in found] == list(range(1, len(found) + 1))
    assert [one.score for one in found] == sorted((one.score for one in found), reverse=True)
    assert len({one.chunk.id for one in found}) == len(found)


@given(searches())
def test_a_list_of_all_there_is_loses_nothing_by_its_floor(lists: list[list[Hit]]) -> None:
    """Every chunk is in every list: the order is that of the mean score."""
    names = [f"q{at}" for at in range(1, len(lists) + 1)]
    means = {one.chunk.id: sum(h.score for hits in lists for h in hits if h.chunk.id == one.chunk.id) for one in lists[0]}
    found = fuse(lists, names, depth=100)
    assert [round(means[one.chunk.id], 9) for one in found] == sorted((round(mean, 9) for mean in means.values()), reverse=True)


def test_a_hit_that_one_phrasing_missed_counts_as_its_last() -> None:
    first = [hit("a", 0.9, 1), hit("b", 0.8, 2)]
    second = [hit("c", 0.5, 1), hit("a", 0.4, 2)]
    found = fuse([first, second], ["q1", "q2"], depth=2)
    assert {one.chunk.id: round(one.score, 6) for one in found} == {"a": 0.05, "c": 0.05, "b": 0.0}
    parts = {one.chunk.id: one.parts for one in found}
    assert parts["a"]["q1"].rank == 1
    assert "q1" not in parts["c"]


def test_the_only_match_of_a_phrasing_counts() -> None:
    found = fuse([[hit("a", 3.0, 1)], []], ["q1", "q2"], depth=10)
    assert [(one.chunk.id, one.score) for one in found] == [("a", 1.5)]


def test_rewriters_may_give_plain_lists() -> None:
    asked = rewritten(lambda question: [question, question.upper()], "why")
    assert asked == Phrasings(["why", "WHY"])
    assert Cost(calls=1, tokens_in=5) + Cost(calls=2, seconds=0.5) == Cost(calls=3, tokens_in=5, seconds=0.5)
    with pytest.raises(ValueError, match="Phrasings is empty"):
        rewritten(lambda question: [], "why")
