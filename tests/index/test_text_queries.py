"""Questions about words through the index: phrases, conditions, settings of BM25, and texts full of signs."""

from __future__ import annotations

from pathlib import Path

import pytest

from ragkit import Document, Index
from ragkit.errors import InvalidInputError
from ragkit.lexical import AllOf, AnyOf, Bm25, Fuzzy, Not, Phrase, Prefix
from ragkit.store import Nearness
from ragkit.testing.embedders import HashEmbedder

TEXTS = ["Olive oil is pressed.", "The price of crude oil.", "Oil of olive, price unknown.", "Nothing of the kind."]


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory):
    with Index(Path(tmp_path_factory.mktemp("words")) / "kb", embedder=HashEmbedder()) as made:
        made.add([Document(text, id=str(place)) for place, text in enumerate(TEXTS)])
        yield made


@pytest.mark.parametrize(
    ("query", "places"),
    [
        (Phrase("olive oil"), {"0"}),
        (AllOf("oil", "price"), {"1", "2"}),
        (AllOf("oil", Not("olive")), {"1"}),
        (AnyOf(Phrase("crude oil"), Prefix("noth")), {"1", "3"}),
        (Fuzzy("olvie"), {"0", "2"}),
    ],
)
def test_the_bm25_arm_answers_exactly_and_hybrid_keeps_what_is_excluded_out(index: Index, query, places: set[str]) -> None:
    assert {hit.chunk.doc_id for hit in index.search(query, mode="bm25")} == places
    hybrid = index.search(query, k=9)
    assert places <= {hit.chunk.doc_id for hit in hybrid}
    if isinstance(query, AllOf) and len(places) == 1:
        assert not any("live" in hit.chunk.text for hit in hybrid)
    assert index.search_many([query, "oil"], mode="bm25")[0] == index.search(query, mode="bm25")


@pytest.mark.parametrize("text", ["c++ (oil", 'oil "price', "oil: AND (", "title:oil^2~ -[x TO", "oil \\ * ? '"])
def test_signs_in_a_question_are_never_syntax(index: Index, text: str) -> None:
    for query in (text, Phrase(text), AllOf(text), Prefix(text), Fuzzy(text)):
        index.search(query, mode="bm25")
    assert "1" in {hit.chunk.doc_id for hit in index.search(text, mode="bm25")}


def test_blank_questions_are_refused_and_none_is_found_by_exclusion_alone(index: Index) -> None:
    for query in (Phrase(" "), AnyOf("")):
        with pytest.raises(InvalidInputError, match="blank"):
            index.search(query)
    with pytest.raises(InvalidInputError, match=r"AllOf|blank"):
        index.search(AllOf(Not("oil")), mode="bm25")


def test_settings_of_bm25_and_of_the_vector_index_reach_the_search(index: Index) -> None:
    with Index(index.path, embedder=HashEmbedder(), bm25=Bm25(k1=0.0, b=0.0)) as flat:
        ours, theirs = (one.search("olive oil price", mode="bm25") for one in (flat, index))
    assert [hit.score for hit in ours] != [hit.score for hit in theirs]
    assert index.search("oil", mode="dense", nearness=Nearness(exact=True)) == index.search("oil", mode="dense")
    assert len(index.search("oil", k=99)) == len(TEXTS)
    assert index.tune().index is None
