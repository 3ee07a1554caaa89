"""RagkitCachedRetriever: the same documents as without a cache, whatever is written, filtered or asked in between."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from langchain_core.callbacks import BaseCallbackHandler

from ragkit import Document, Index, SemanticCache
from ragkit.cache import Static
from ragkit.errors import InvalidInputError
from ragkit.langchain import RagkitCachedRetriever, RagkitRetriever
from ragkit.retrieve import Shape
from ragkit.testing.embedders import HashEmbedder

TEXTS = {"dog": "the dog barks at night", "cat": "the cat purrs by day", "car": "the car honks at noon"}
QUESTION, REWORDED = "when does the dog bark at night", "when does the dog bark at night please"


class Searches(BaseCallbackHandler):
    """Counts retriever runs, those of the wrapper among them."""

    def __init__(self) -> None:
        self.many = 0

    def on_retriever_start(self, *given: Any, **more: Any) -> None:
        self.many += 1


@pytest.fixture
def door(tmp_path: Path) -> Iterator[RagkitCachedRetriever]:
    index = Index(tmp_path / "kb.lance", embedder=HashEmbedder())
    index.add([Document(text, id=name, metadata={"kind": name}) for name, text in TEXTS.items()])
    with SemanticCache(tmp_path / "cache.lance", embedder=HashEmbedder(), policy=Static(0.8)) as cache:
        yield RagkitCachedRetriever(retriever=RagkitRetriever(index=index, k=2), cache=cache, tenant="t")


def searched(door: RagkitCachedRetriever, question: str, **changes: Any) -> bool:
    """Whether the index was asked; what came back is what the index gives, except for a paraphrase's own ranks."""
    seen = Searches()
    door.invoke(question, config={"callbacks": [seen]}, **changes)
    return seen.many == 2


def test_paraphrases_are_found_without_a_search(door: RagkitCachedRetriever) -> None:
    plain = door.retriever.invoke(QUESTION)
    assert door.invoke(QUESTION) == plain
    assert door.invoke(QUESTION) == plain
    assert not searched(door, QUESTION)
    assert not searched(door, REWORDED)
    assert door.invoke(REWORDED) == plain


async def test_awaited(door: RagkitCachedRetriever) -> None:
    first = await door.ainvoke(QUESTION)
    assert await door.ainvoke(REWORDED) == first == door.retriever.invoke(QUESTION)
    assert door.cache.stats().verdicts["hit"] == 1


def test_filters_settings_access_and_tenants_are_exact(door: RagkitCachedRetriever) -> None:
    door.invoke(QUESTION, where={"kind": "dog"})
    assert not searched(door, QUESTION, where={"kind": "dog"})
    for changes in (
        {},
        {"where": {"kind": "cat"}},
        {"where": {"kind": "dog"}, "k": 1},
        {"mode": "bm25"},
        {"shape": Shape(mmr=0.5)},
    ):
        assert searched(door, QUESTION, **changes), changes
        assert door.invoke(QUESTION, **changes) == door.retriever.invoke(QUESTION, **changes)
    for others in ({"tenant": "u"}, {"access": ["staff"]}):
        assert searched(door.model_copy(update=others), QUESTION)


def test_functions_need_a_name(door: RagkitCachedRetriever) -> None:
    def backwards(question: str, hits: Any) -> Any:
        return [replace(hit) for hit in hits]

    with pytest.raises(InvalidInputError, match="version is empty"):
        door.invoke(QUESTION, rerank=backwards)
    named = door.model_copy(update={"version": "backwards"})
    assert searched(named, QUESTION, rerank=backwards)
    assert not searched(named, QUESTION, rerank=backwards)
    assert searched(named.model_copy(update={"version": "forwards"}), QUESTION, rerank=backwards)


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.sampled_from(["ask", "add dog", "change dog", "change cat", "delete dog", "delete cat"]), max_size=6))
def test_nothing_stale_is_given(door: RagkitCachedRetriever, steps: list[str]) -> None:
    index = door.retriever.index
    for number, step in enumerate([*steps, "ask", "ask"]):
        what, _, name = step.partition(" ")
        if what == "ask":
            assert door.invoke(QUESTION) == door.retriever.invoke(QUESTION)
        elif what == "delete":
            index.delete([name])
        else:
            text = TEXTS[name] if what == "add" else f"{TEXTS[name]} and {number} times more"
            index.add([Document(text, id=name, metadata={"kind": name})])


def test_a_certified_policy_learns_from_searches(tmp_path: Path, door: RagkitCachedRetriever) -> None:
    with SemanticCache(tmp_path / "learns.lance", embedder=HashEmbedder()) as cache:
        learning = door.model_copy(update={"cache": cache})
        before = cache.policy.to_dict()
        learning.invoke(QUESTION)
        learning.invoke(REWORDED)
        assert cache.stats().verdicts["near"] == 1
        assert cache.policy.to_dict() != before


def test_a_closed_cache_is_passed_by(door: RagkitCachedRetriever, caplog: pytest.LogCaptureFixture) -> None:
    door.cache.close()
    assert door.invoke(QUESTION) == door.retriever.invoke(QUESTION)
    assert "the index is searched" in caplog.text
