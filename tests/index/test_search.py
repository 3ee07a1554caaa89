from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from ragkit import Document, Hit, Index
from ragkit.chunk import RecursiveChunker
from ragkit.errors import FilterError, InvalidInputError, StoreError
from ragkit.retrieve import Rrf
from ragkit.testing.embedders import HashEmbedder

TOPICS = ["alpine flowers bloom", "engines burn fuel", "rivers carve valleys", "clocks measure time"]


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Index]:
    with Index(tmp_path_factory.mktemp("search") / "kb", embedder=HashEmbedder()) as index:
        index.add(
            Document(
                f"{TOPICS[n % 4]} in year {n}.\n\nNote {n * 7 % 11} about {n % 5} things.",
                id=f"d{n}",
                metadata={"n": n, "topic": n % 4},
            )
            for n in range(150)
        )
        yield index


@pytest.mark.parametrize("mode", ["dense", "bm25", "hybrid"])
def test_the_best_k_begin_any_longer_list(library: Index, mode: Any) -> None:
    longest = library.search("rivers and valleys in year 42", k=150, mode=mode)
    assert longest[0].chunk.doc_id == "d42" or mode == "dense"
    assert longest[0].lines == (1, 3)
    for k in (1, 2, 7, 30, 99, 101):
        assert library.search("rivers and valleys in year 42", k=k, mode=mode) == longest[:k]
    assert [hit.rank for hit in longest] == list(range(1, len(longest) + 1))
    assert all(one.score >= other.score for one, other in pairwise(longest))


def test_more_than_there_is(library: Index) -> None:
    assert len(library.search("rivers", k=10_000, mode="dense")) == 150
    assert len(library.search("valleys", k=10_000, mode="bm25")) == 37
    assert library.search("zyzzyva", mode="bm25") == []
    assert len(library.search("zyzzyva", mode="hybrid", k=3)) == 3


def test_filters_come_before_the_cut(library: Index) -> None:
    hits = library.search("clocks measure time", k=50, where={"topic": 1, "n": {"$lt": 40}})
    assert sorted(hit.chunk.metadata["n"] for hit in hits) == [n for n in range(40) if n % 4 == 1]
    assert [hit.chunk.doc_id for hit in library.search("x", where={"doc_id": "d5"})] == ["d5"]
    assert library.search("clocks", where={"topic": "1"}) == []
    with pytest.raises(FilterError):
        library.search("clocks", where={"$where": "1=1"})


def test_many_questions_get_the_answers_of_each(library: Index) -> None:
    questions = ["alpine year 3", "fuel", "zyzzyva", "the of", "carve 7 valleys"]
    for mode in ("dense", "bm25", "hybrid"):
        many = library.search_many(questions, k=4, mode=mode, where={"n": {"$gt": 2}})  # type: ignore[arg-type]
        assert many == [library.search(one, k=4, mode=mode, where={"n": {"$gt": 2}}) for one in questions]  # type: ignore[arg-type]
    for few in (["?!", "fuel"], ["fuel", "?!"]):
        assert library.search_many(few, mode="bm25") == [library.search(one, mode="bm25") for one in few]
    assert library.search_many([]) == []


async def test_searches_may_be_awaited_together(library: Index) -> None:
    questions = ["alpine", "fuel", "valleys", "clocks"] * 3
    found = await asyncio.gather(*(library.asearch(one, k=3) for one in questions))
    assert list(found) == [library.search(one, k=3) for one in questions]


@pytest.mark.parametrize(
    ("query", "settings"),
    [
        ("", {}), (" \n", {}), (None, {}), (3, {}), (["a"], {}), ("a", {"k": 0}), ("a", {"k": -1}), ("a", {"k": 2.5}), ("a", {"k": True}),
        ("a", {"fetch_k": 0}), ("a", {"mode": "sparse"}), ("a", {"where": "n = 3"}), ("a", {"k": "3", "rerank": lambda q, hits: hits}),
        ("a", {"nearness": 5}), ("a", {"shape": "mmr"}), ("a", {"min_score": float("nan")}),
    ],
)  # fmt: skip
def test_what_is_no_question(library: Index, query: Any, settings: dict[str, Any]) -> None:
    with pytest.raises(InvalidInputError, match=r"\w{3}"):
        library.search(query, **settings)
    if isinstance(query, str):
        with pytest.raises(InvalidInputError):
            library.search_many([query], **settings)


@pytest.mark.parametrize("vector", ["x", None, [], [[1.0] * 32], [float("nan")] * 32, [0.0] * 32, [1.0] * 31])
def test_what_is_no_vector(library: Index, vector: Any) -> None:
    with pytest.raises(InvalidInputError, match="vector"):
        library.search_vector(vector)


@pytest.mark.parametrize("length", [2.0**-90, 2.0**-60, 2.0**60, 2.0**120])
def test_the_length_of_a_vector_changes_nothing(library: Index, length: float) -> None:
    (vector,) = library.vectors([library.chunks_of("d7")[0].id])
    assert library.search_vector(vector * length, k=5) == library.search_vector(vector, k=5)


def test_one_string_is_not_many_questions(library: Index) -> None:
    with pytest.raises(InvalidInputError, match="list"):
        library.search_many("alpine")
    with pytest.raises(InvalidInputError, match="list"):
        library.candidates("alpine")
    with pytest.raises(InvalidInputError, match="list"):
        library.chunks_of(["d1", "d2"])  # type: ignore[arg-type]


def test_reranking_sees_all_candidates_and_ranks_anew(library: Index) -> None:
    seen: list[int] = []

    def newest_first(query: str, hits: Sequence[Hit]) -> list[Hit]:
        assert query == "rivers"
        seen.append(len(hits))
        return sorted(hits, key=lambda hit: -hit.chunk.metadata["n"])

    hits = library.search("rivers", k=3, fetch_k=20, rerank=newest_first)
    assert seen == [20]
    assert [hit.rank for hit in hits] == [1, 2, 3]
    assert hits == library.search("rivers", k=9, fetch_k=20, rerank=newest_first)[:3]
    assert library.search_many(["rivers"], k=3, fetch_k=20, rerank=newest_first) == [hits]
    assert library.search("rivers", rerank=lambda query, hits: list(hits)[:1])[0].rank == 1
    for wrong in (
        lambda q, hits: [hits[0], hits[0]],
        lambda q, hits: ["x"],
        lambda q, hits: library.search("fuel", k=1, where={"topic": 1}),
    ):
        with pytest.raises(InvalidInputError, match="rerank"):
            library.search("rivers", k=3, fetch_k=5, where={"topic": 2}, rerank=wrong)


def test_the_fusion_is_the_readers_choice(library: Index) -> None:
    other = Index(library.path, embedder=HashEmbedder(), fusion=Rrf())
    ours, theirs = library.search("rivers year 42"), other.search("rivers year 42")
    assert ours[0].chunk == theirs[0].chunk
    assert ours[0].score != theirs[0].score
    assert set(ours[0].parts) == {"dense", "bm25"}


def test_an_empty_index_answers(tmp_path: Path) -> None:
    index = Index(tmp_path / "kb", embedder=HashEmbedder())
    for mode in ("dense", "bm25", "hybrid"):
        assert index.search("anything", mode=mode) == []  # type: ignore[arg-type]
    assert index.get_chunks(["x"]) == index.chunks_of("x") == index.document_ids() == []
    stats = index.stats()
    assert (stats.documents, stats.chunks, stats.tokens, stats.model.name) == (0, 0, 0, "hash")
    index.optimize()


def test_reading_needs_no_model(library: Index) -> None:
    """The card names no model on this machine; words and statistics do not need one."""
    index = Index(library.path)
    assert index.search("rivers year 42", mode="bm25") == library.search("rivers year 42", mode="bm25")
    assert index.stats().documents == 150


def test_a_closed_index_says_so(tmp_path: Path) -> None:
    with Index(tmp_path / "kb", embedder=HashEmbedder()) as index:
        index.add(Document("words", id="a"))
    with pytest.raises(StoreError, match="closed"):
        index.search("words")


def test_the_real_model_is_rebuilt_from_its_card(tmp_path: Path, minilm: Any) -> None:
    with Index(tmp_path / "kb", embedder=minilm) as index:
        index.add([Document("A cat sleeps on the sofa.", id="cat"), Document("Stocks fell on Friday.", id="market")])
        expected = index.search("pets at home")
    reopened = Index(tmp_path / "kb")
    assert reopened.search("pets at home") == expected
    assert expected[0].chunk.doc_id == "cat"
    assert reopened.add(Document("Stocks fell on Friday.", id="market")).unchanged == 1


def test_a_question_beyond_the_window_is_read_in_several(tmp_path: Path) -> None:
    embedder = HashEmbedder(dim=256, window=16)
    index = Index(tmp_path / "kb", chunker=RecursiveChunker(max_tokens=16), embedder=embedder)
    index.add([Document("apples and pears", id="fruit"), Document("hammers and nails", id="tools")])
    filler = "zzz yyy xxx www. " * 8
    assert index.search(filler + "Where are hammers and nails? " * 4, k=1, mode="dense")[0].chunk.doc_id == "tools"
    assert index.search_many(["apples", filler + "hammers nails. " * 4], k=1, mode="dense")[1][0].chunk.doc_id == "tools"
    short = index.search("apples", k=2, mode="dense")
    assert [hit.score for hit in short] == [hit.score for hit in index.search_many(["apples", filler], k=2, mode="dense")[0]]
