"""More ways to ask an index: shapes, phrasings, contexts, and what cannot be asked."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ragkit import Document, Index
from ragkit.chunk import MarkdownChunker, Parents, RecursiveChunker
from ragkit.errors import InvalidInputError
from ragkit.lexical import Analyzer
from ragkit.rerank import CompressedReranker
from ragkit.retrieve import Phrasings, Shape
from ragkit.testing.embedders import HashEmbedder
from ragkit.types import Hit

TOPICS = ["pump", "valve", "filter", "hose", "gauge", "seal"]
MANUAL = "# Manual\n\nKeep it dry.\n\n" + "".join(
    f"## The {name}\n\nThe {name} is cleaned in spring. "
    f"Turn the {name} off first.\n\nThen rinse the {name} with water.\n\n### Storing\n\nKeep the {name} away from frost.\n\n"
    for name in TOPICS
)
TEXTS = {
    "manual": MANUAL,
    "copy": "A seal wears out when a pump runs dry.",
    "again": "A seal wears out, when a pump runs DRY!",
    "cats": "Cats sleep all day. Dogs bark at cats.",
}
MODES = ["hybrid", "dense", "bm25"]


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Index]:
    folder = tmp_path_factory.mktemp("asking")
    chunker = MarkdownChunker(14, tokenizer="words") | Parents((40,))
    with Index(folder / "kb", chunker=chunker, embedder=HashEmbedder()) as opened:
        opened.add([Document(text, id=name, metadata={"source": f"{name}.md"}) for name, text in TEXTS.items()])
        yield opened


def ids(hits: list[Hit]) -> list[str]:
    return [hit.chunk.id for hit in hits]


SHAPES = st.builds(
    Shape,
    fold=st.sampled_from([None, 0.5, 1.0]),
    per_document=st.sampled_from([None, 1, 3]),
    mmr=st.sampled_from([None, 0.0, 0.6, 1.0]),
    expand=st.sampled_from([None, 1, 3, "section", "parent"]),
)
QUERIES = st.sampled_from(["pump seal", "clean the valve in spring", "cats", Phrasings(["hose frost", "store the hose"])])


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(query=QUERIES, mode=st.sampled_from(MODES), shape=SHAPES, fetch_k=st.sampled_from([5, 40]), k=st.integers(1, 40))
def test_laws_of_every_shape(index: Index, query: str | Phrasings, mode: str, shape: Shape, fetch_k: int, k: int) -> None:
    if shape.mmr is not None and k + 1 > fetch_k:
        k = fetch_k - 1
    found = index.search(query, k=k, mode=mode, shape=shape, fetch_k=fetch_k)  # type: ignore[arg-type]
    longer = index.search(query, k=k + 1, mode=mode, shape=shape, fetch_k=fetch_k)  # type: ignore[arg-type]
    assert ids(longer)[: len(found)] == ids(found)
    assert len(found) == min(k, len(longer))
    assert [hit.rank for hit in found] == list(range(1, len(found) + 1))
    for hit in found:
        assert hit.chunk.text == TEXTS[hit.chunk.doc_id][hit.chunk.start : hit.chunk.end]
        visible = TEXTS[hit.chunk.doc_id][: hit.chunk.end].rstrip().count("\n") + 1
        assert hit.lines[1] == visible
    if shape.per_document is not None:
        assert all(sum(one.chunk.doc_id == hit.chunk.doc_id for one in found) <= shape.per_document for hit in found)
    places = sorted((hit.chunk.doc_id, hit.chunk.start, hit.chunk.end) for hit in found)
    assert all(a[0] != b[0] or a[2] <= b[1] for a, b in pairwise(places))
    if shape == Shape():
        assert found == index.search(query, k=k, mode=mode, fetch_k=fetch_k)  # type: ignore[arg-type]


@pytest.mark.parametrize("mode", MODES)
def test_near_copies_stand_behind_the_better_one(index: Index, mode: str) -> None:
    plain = index.search("seal wears out dry", k=9, mode=mode)  # type: ignore[arg-type]
    both = [hit for hit in plain if hit.chunk.doc_id in ("copy", "again")]
    assert len(both) == 2
    folded = index.search("seal wears out dry", k=9, mode=mode, shape=Shape(fold=0.8))  # type: ignore[arg-type]
    [kept] = [hit for hit in folded if hit.chunk.doc_id in ("copy", "again")]
    assert ids([kept, *kept.folded]) == ids(both)


def test_a_cap_is_made_up_for_from_deeper_candidates(index: Index) -> None:
    """Four documents: a cap of one gives all four, although far fewer candidates are fetched than the manual has chunks."""
    found = index.search("the pump of the manual", k=4, mode="dense", fetch_k=2, shape=Shape(per_document=1))
    assert sorted(hit.chunk.doc_id for hit in found) == sorted(TEXTS)


def test_difference_wins_over_likeness(index: Index) -> None:
    """With relevance alone the copies come together; with some difference they do not."""
    query = "seal wears out when a pump runs dry"
    near = index.search(query, k=2, mode="dense", fetch_k=40, shape=Shape(mmr=1.0))
    far = index.search(query, k=2, mode="dense", fetch_k=40, shape=Shape(mmr=0.3))
    assert {hit.chunk.doc_id for hit in near} == {"copy", "again"}
    assert near[0].chunk.id == far[0].chunk.id
    vectors = {name: index.vectors(ids(hits)) for name, hits in (("near", near), ("far", far))}
    assert float(vectors["far"][0] @ vectors["far"][1]) < float(vectors["near"][0] @ vectors["near"][1])


def test_a_section_is_all_under_its_headings(index: Index) -> None:
    [hit] = index.search("rinse the gauge with water", k=1, mode="bm25", shape=Shape(expand="section"))
    assert hit.chunk.text.startswith("## The gauge")
    assert hit.chunk.text.rstrip().endswith("Keep the gauge away from frost.")
    [low] = index.search("keep the gauge away from frost", k=1, mode="bm25", shape=Shape(expand="section"))
    assert low.chunk.text.startswith("### Storing")
    assert low.chunk.metadata["headings"] == ["Manual", "The gauge", "Storing"]
    [alone] = index.search("dogs bark", k=1, mode="bm25", shape=Shape(expand="section"))
    assert ids([alone]) == ids(index.search("dogs bark", k=1, mode="bm25"))


def test_hits_in_one_passage_are_one_hit(index: Index) -> None:
    plain = index.search("the gauge in spring, off first, water, frost", k=30, mode="bm25", fetch_k=30)
    found = index.search(
        "the gauge in spring, off first, water, frost", k=1, mode="bm25", fetch_k=30, shape=Shape(expand="section")
    )
    inside = [hit for hit in plain if hit.chunk.start < found[0].chunk.end and hit.chunk.end > found[0].chunk.start]
    inside = [hit for hit in inside if hit.chunk.doc_id == "manual"]
    assert len(inside) > 1
    assert found[0].score == inside[0].score
    assert ids(list(found[0].folded)) == ids(inside)[1:]


def test_neighbours_and_their_limit(index: Index) -> None:
    chunks = index.chunks_of("manual")
    [hit] = index.search("rinse the hose with water", k=1, mode="bm25")
    at = hit.chunk.index
    [wide] = index.search("rinse the hose with water", k=1, mode="bm25", shape=Shape(expand=2))
    assert (wide.chunk.start, wide.chunk.end) == (chunks[at - 2].start, chunks[at + 2].end)
    most = hit.chunk.n_tokens + chunks[at + 1].n_tokens
    [narrow] = index.search("rinse the hose with water", k=1, mode="bm25", shape=Shape(expand=2, max_tokens=most))
    assert narrow.chunk.start == hit.chunk.start
    assert narrow.chunk.end == chunks[at + 1].end


def test_parents(index: Index, tmp_path: Path) -> None:
    [hit] = index.search("rinse the hose with water", k=1, mode="bm25")
    [big] = index.search("rinse the hose with water", k=1, mode="bm25", shape=Shape(expand="parent"))
    parent = hit.chunk.metadata["parents"][-1]
    assert (big.chunk.start, big.chunk.end) == (parent["start"], parent["end"])
    with Index(tmp_path / "plain", chunker=RecursiveChunker(30), embedder=HashEmbedder()) as plain:
        plain.add(Document(MANUAL, id="manual"))
        with pytest.raises(InvalidInputError, match=r"expand is 'parent', and chunk .* has none\. Chunk with chunker \| Parents"):
            plain.search("hose", shape=Shape(expand="parent"))


def test_a_document_replaced_meanwhile_is_not_misread(tmp_path: Path) -> None:
    """Between search and expansion the document became another one: the hit stays as it was found."""
    with Index(tmp_path / "kb", chunker=RecursiveChunker(12, tokenizer="words"), embedder=HashEmbedder()) as kb:
        kb.add(Document("one two three. " * 20, id="d"))

        def meanwhile(query: str, hits: list[Hit]) -> list[Hit]:
            kb.add(Document("four five six. " * 3, id="d"))
            return hits

        found = kb.search("three", k=2, rerank=meanwhile, shape=Shape(mmr=0.5, expand=2))  # type: ignore[arg-type]
        assert len(found) == 2
        assert all("three" in hit.chunk.text and "four" not in hit.chunk.text for hit in found)


# Phrasings


def test_phrasings_are_fused_and_say_who_found_what(index: Index) -> None:
    asked = Phrasings(["store a hose in winter", "hose frost"], passages=["Keep the hose away from frost."])
    found = index.search(asked, k=5)
    assert "hose" in found[0].chunk.text
    lists = {
        "q1": index.search("store a hose in winter", k=100),
        "q2": index.search("hose frost", k=100),
        "p1": index.search("Keep the hose away from frost.", k=100),
    }
    for hit in found:
        for name, part in hit.parts.items():
            assert part.rank is not None
            assert lists[name][part.rank - 1].chunk.id == hit.chunk.id
        assert hit.score == pytest.approx(sum(part.share for part in hit.parts.values()))
    assert [hit.score for hit in found] == sorted((hit.score for hit in found), reverse=True)


def test_one_phrasing_is_a_plain_search(index: Index) -> None:
    assert index.search(Phrasings(["hose frost", "hose frost"]), k=3) == index.search("hose frost", k=3)


def test_many_at_once_are_as_one_by_one_and_one_search(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    queries = ["pump seal", Phrasings(["hose frost", "store the hose"]), "cats"]
    shape = Shape(fold=0.8, expand="section")
    one_by_one = [index.search(query, k=3, shape=shape) for query in queries]
    searches = []
    searched = index._store.searched
    monkeypatch.setattr(index._store, "searched", lambda *given, **named: searches.append(1) or searched(*given, **named))
    assert index.search_many(queries, k=3, shape=shape) == one_by_one
    assert len(searches) == 1


def test_rerank_comes_before_the_shape_and_gets_the_first_phrasing(index: Index) -> None:
    seen: list[str] = []

    def backwards(query: str, hits: list[Hit]) -> list[Hit]:
        seen.append(query)
        return hits[::-1]

    query = Phrasings(["hose frost", "store the hose"])
    plain = index.search(query, k=30, fetch_k=30)
    found = index.search(query, k=2, fetch_k=30, rerank=backwards, shape=Shape(expand=1))  # type: ignore[arg-type]
    assert seen == ["hose frost"]
    assert plain[-1].chunk.text in found[0].chunk.text


@pytest.mark.parametrize(
    ("texts", "passages", "message"),
    [
        ("hose", (), "texts is 'hose'; give a list"),
        (["hose", " "], (), "texts holds ' '"),
        (["hose", 3], (), "texts holds 3"),
        ([], (), "Phrasings is empty"),
        (["hose"], [""], "passages holds ''"),
    ],
)
def test_phrasings_that_cannot_be(texts: list[str], passages: list[str], message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        Phrasings(texts, passages=passages)


# Contexts


def test_a_context_within_its_budget_traces_back(index: Index) -> None:
    context = index.context("how is the pump cleaned?", max_tokens=120, shape=Shape(expand="section"))
    assert 0 < context.n_tokens <= 120
    counter = index.embedder.tokenizer
    assert counter is not None
    assert counter.count_batch([context.text]) == [context.n_tokens]
    for passage in context.passages:
        assert TEXTS[passage.doc_id][passage.start : passage.end] == passage.text
        assert f"[{passage.number}]" in context.text
    assert context.left_out
    assert context.cited("See [1] and [99].") == [context.passages[0]]
    fewer = index.context("how is the pump cleaned?", max_tokens=120, tokenizer="cl100k_base")
    assert fewer.n_tokens <= 120


# What cannot be asked, and what can


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"fold": 0}, "fold is 0"),
        ({"fold": 1.5}, r"fold is 1\.5"),
        ({"mmr": -0.1}, r"mmr is -0\.1"),
        ({"mmr": True}, "mmr is True"),
        ({"mmr": float("nan")}, "mmr is nan"),
        ({"per_document": 0}, "per_document is 0"),
        ({"expand": 0}, "expand is 0"),
        ({"expand": "chapter"}, "expand is 'chapter'; it is 'section', 'parent' or a number"),
        ({"expand": 1, "max_tokens": 0}, "max_tokens is 0"),
        ({"max_tokens": 50}, "max_tokens limits what expand adds, and expand is not set"),
    ],
)
def test_shapes_that_cannot_be(settings: dict[str, object], message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        Shape(**settings)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("query", "options", "message"),
    [
        ("", {}, "is blank"),
        (" \n\t", {"mode": "bm25"}, "is blank"),
        (None, {}, "query is None"),
        (["a", "b"], {}, "a query is text"),
        ("pump", {"k": 0}, "k is 0"),
        ("pump", {"k": True}, "k is True"),
        ("pump", {"fetch_k": 0}, "fetch_k is 0"),
        ("pump", {"mode": "sparse"}, "mode is 'sparse'"),
        ("pump", {"shape": {"mmr": 0.5}}, "shape is a dict; give a Shape"),
        ("pump", {"k": 20, "fetch_k": 10, "shape": Shape(mmr=0.5)}, "k is 20 and mmr chooses from the fetch_k = 10 best"),
    ],
)
async def test_what_cannot_be_asked(index: Index, query: object, options: dict[str, object], message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        index.search(query, **options)  # type: ignore[arg-type]
    with pytest.raises(InvalidInputError, match=message):
        await index.asearch(query, **options)  # type: ignore[arg-type]
    with pytest.raises(InvalidInputError, match=message):
        index.search_many([query], **options)  # type: ignore[arg-type, list-item]


@pytest.mark.parametrize("mode", MODES)
async def test_a_query_of_100_000_characters(index: Index, mode: str) -> None:
    query = " ".join(f"word{at}" for at in range(11_500)) + " rinse the hose with water"
    assert len(query) > 100_000
    shape = Shape(per_document=1, mmr=0.9, expand="section")
    found, same = await asyncio.gather(
        index.asearch(query, k=3, mode=mode, shape=shape),  # type: ignore[arg-type]
        index.asearch(query, k=3, mode=mode, shape=shape),  # type: ignore[arg-type]
    )
    assert found == same
    if mode == "bm25":
        assert "hose" in found[0].chunk.text


async def test_k_beyond_the_table(index: Index) -> None:
    chunks = index.stats().chunks
    assert len(index.search("pump", k=10 * chunks, mode="dense")) == chunks
    assert len(await index.asearch(Phrasings(["pump", "hose"]), k=10 * chunks, mode="dense", fetch_k=2)) == chunks
    capped = index.search("pump", k=10 * chunks, mode="dense", shape=Shape(per_document=2))
    assert len(capped) == sum(min(2, len(index.chunks_of(doc_id))) for doc_id in TEXTS)


def test_an_empty_index(tmp_path: Path) -> None:
    with Index(tmp_path / "kb", embedder=HashEmbedder()) as kb:
        assert kb.search("pump", shape=Shape(fold=0.8, per_document=1, mmr=0.5, expand="parent")) == []
        assert kb.search(Phrasings(["pump", "hose"])) == []
        assert kb.context("pump", max_tokens=10).text == ""
        assert np.array_equal(kb.vectors([]), np.empty((0, 32), np.float32))


def test_what_is_no_reranker_and_what_returns_no_hits_is_named(index: Index) -> None:
    with pytest.raises(InvalidInputError, match="rerank is 'cross-encoder'"):
        index.search("three", rerank="cross-encoder")  # type: ignore[arg-type]
    with pytest.raises(InvalidInputError, match="rerank is <class"):
        index.search("three", rerank=CompressedReranker)  # type: ignore[arg-type]
    with pytest.raises(InvalidInputError, match="fusion is 'rrf'"):
        Index(index.path, fusion="rrf")  # type: ignore[arg-type]
    with pytest.raises(InvalidInputError, match="rerank returned None"):
        index.search("three", rerank=lambda _, hits: None)  # type: ignore[arg-type, return-value]


def test_more_candidates_than_can_be_counted(index: Index) -> None:
    with pytest.raises(InvalidInputError, match="fetch_k is 1099511627776; it may be at most 2147483647"):
        index.search("three", fetch_k=2**40)
    assert index.search("hose", fetch_k=2**31 - 1, k=2**70)


def test_words_that_ask_for_nothing_reach_no_arm_and_the_rerankers_callable_does(tmp_path: Path) -> None:
    """A question inside courtesies finds, with the same scores, what it finds alone; an analyzer without them reads every word."""
    asked, polite = "who cleans the pump?", "Hello, could you please tell me who cleans the pump? Thank you very much!"
    seen: list[str] = []

    def look(query: str, hits: list[Hit]) -> list[Hit]:
        seen.append(query)
        return hits

    for courtesies in (True, False):
        path = tmp_path / str(courtesies)
        with Index(path, embedder=HashEmbedder(), chunker=RecursiveChunker(30), analyzer=Analyzer(courtesies=courtesies)) as made:
            made.add([Document(text, id=name) for name, text in TEXTS.items()])
            for mode in MODES:
                same = made.search(polite, k=3, mode=mode) == made.search(asked, k=3, mode=mode)
                assert same is courtesies or mode == "bm25"
            scored = [one.scored.dense.tolist() for one in made.candidates([asked, polite])]
            assert (scored[0] == scored[1]) is courtesies
            made.search(polite, rerank=look)
    assert seen == [polite, polite]
