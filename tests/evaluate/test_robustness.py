"""Questions in other words: changes by rule, and what they cost."""

from __future__ import annotations

import json
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragkit import Document
from ragkit.errors import InvalidInputError
from ragkit.evaluate import Collection, Query, robustness
from ragkit.evaluate.robustness import CHANGES
from ragkit.testing.embedders import HashEmbedder

TEXT = "Which country did the people of Normandy find most important, and why?"


def test_each_change_does_what_it_says() -> None:
    made = {name: change(TEXT, Random(1)) for name, change in CHANGES.items()}
    assert made["lower case"] == TEXT.lower()
    assert made["upper case"] == TEXT.upper()
    assert made["no punctuation"] == TEXT.replace(",", "").replace("?", "")
    assert sorted(made["word order"].split()) == sorted(TEXT.split())
    assert made["synonyms"] == "Which nation did the persons of Normandy locate most significant, and why?"
    assert TEXT in made["polite"]
    assert made["typos"] != TEXT
    assert abs(len(made["typos"]) - len(TEXT)) <= 6
    assert sum(a != b for a, b in zip(made["typos"].split(), TEXT.split(), strict=False)) <= 10


@given(st.text(max_size=60), st.sampled_from(sorted(CHANGES)), st.integers(0, 5))
def test_any_text_can_be_changed_and_equal_seeds_change_it_alike(text: str, name: str, seed: int) -> None:
    assert CHANGES[name](text, Random(seed)) == CHANGES[name](text, Random(seed))


@pytest.fixture(scope="module")
def collection() -> Collection:
    documents = [Document(f"Topicword{at} stands here among other words of text. " * 3, id=f"d{at}") for at in range(40)]
    queries = [Query(id=f"q{at}", text=f"Where does Topicword{at} stand?") for at in range(40)]
    return Collection(name="topics", documents=documents, queries=queries, qrels={f"q{at}": {f"d{at}": 1} for at in range(40)})


def test_what_no_arm_reads_costs_nothing_and_typos_do(collection: Collection) -> None:
    report = robustness(collection, embedder=HashEmbedder(), size=64, changes=["lower case", "no punctuation", "typos"], seed=3)
    drops = {(one.change, one.mode): one for one in report.drops if one.metric == "nDCG@10"}
    for name in ("lower case", "no punctuation"):
        for mode in ("dense", "bm25", "hybrid"):
            assert drops[name, mode].drop[:3] == (0, 0, 0)
            assert drops[name, mode].verdict == "no winner"
    assert drops["typos", "bm25"].verdict == "worse"
    assert drops["typos", "bm25"].drop.high < 0
    assert drops["lower case", "dense"].cosine == pytest.approx(1)
    assert drops["typos", "dense"].cosine < 0.999
    assert drops["typos", "bm25"].changed == 40
    json.dumps(report.to_dict())
    header, rows = report.table("nDCG@10")
    assert [row[0] for row in rows] == ["as asked", "lower case", "no punctuation", "typos"]
    assert all(len(row) == len(header) for row in rows)


def test_a_paraphraser_of_your_own(collection: Collection) -> None:
    lost = robustness(collection, embedder=HashEmbedder(), changes=(), paraphrase=lambda text: "Something else entirely")
    assert {one.change for one in lost.drops} == {"paraphrase"}
    assert all(one.verdict == "worse" for one in lost.drops if one.metric == "nDCG@10")
    with pytest.raises(InvalidInputError, match="must return a question"):
        robustness(collection, embedder=HashEmbedder(), paraphrase=lambda text: "")
    with pytest.raises(InvalidInputError, match="known are typos"):
        robustness(collection, embedder=HashEmbedder(), changes=["magic"])
