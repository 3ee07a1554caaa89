"""Fitting a fusion to an index, end to end, and thresholds in its searches."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from ragkit import Document, Index
from ragkit.chunk import SentenceChunker
from ragkit.cli.app import app
from ragkit.errors import InvalidInputError
from ragkit.retrieve import Adaptive, Convex, Threshold
from ragkit.testing.embedders import HashEmbedder
from ragkit.train import Label, load_fusion, save_fusion, train_fusion

NAMES = [
    f"{one}{two}"
    for one in ("quin", "med", "bass", "tor", "vel")
    for two in ("ce", "lar", "oon", "tuga", "lum", "dric", "pash", "mint")
]


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    documents = [
        Document(
            "".join(f"Sentence {number} of it tells of {name} and item{place}x{number}. " for number in range(3)),
            id=f"{name}.txt",
        )
        for place, name in enumerate(NAMES)
    ]
    index = Index(tmp_path_factory.mktemp("fusion") / "db", chunker=SentenceChunker(16), embedder=HashEmbedder())
    index.add(documents)
    return index, documents


def labels(documents: list[Document]) -> list[Label]:
    made = []
    for place, document in enumerate(documents):
        start = document.text.index("Sentence 1")
        made.append(Label(question=f"item{place}x1", spans=((document.id, start, document.text.index("Sentence 2") - 1),)))
    return made


def test_a_fusion_is_fitted_saved_and_belongs_to_its_scores(library, tmp_path):
    index, documents = library
    report = train_fusion(index, labels(documents), choices=[Convex(dense=0.0), Adaptive()])
    assert report.questions == len(NAMES)
    assert report.held_out == len(NAMES) // 2
    save_fusion(report, tmp_path / "fusion.json")
    assert load_fusion(tmp_path / "fusion.json", index=index) == report.fusion
    assert list(tmp_path.iterdir()) == [tmp_path / "fusion.json"]
    other = Index(tmp_path / "other", embedder=HashEmbedder(dim=8))
    with pytest.raises(InvalidInputError, match="fitted to"):
        load_fusion(tmp_path / "fusion.json", index=other)
    with pytest.raises(InvalidInputError, match="cannot be read"):
        load_fusion(tmp_path / "none.json")


def test_labels_that_the_index_cannot_answer(library):
    index, documents = library
    with pytest.raises(InvalidInputError, match="No chunk"):
        train_fusion(index, [*labels(documents), Label(question="lost", spans=(("unknown", 0, 5),))])
    with pytest.raises(InvalidInputError, match="scope"):
        train_fusion(index, [Label(question="here", spans=((documents[0].id, 0, 5),), scope=documents[0].id)])


def test_candidates_are_what_a_search_fuses(library):
    index, _ = library
    (found,) = index.candidates(["item3x1"])
    hits = index.search("item3x1", k=len(found.rows))
    shares = Convex().fit(found.scored)(found.scored)
    by_id = {row.chunk.id: score for row, score in zip(found.rows, shares.dense + shares.bm25, strict=True)}
    assert {hit.chunk.id: pytest.approx(hit.score) for hit in hits} == by_id
    assert index.candidates([]) == []


def test_searches_leave_out_what_scores_too_little(library):
    index, _ = library
    everything = index.search("item3x1", mode="bm25")
    some = index.search("item3x1", mode="bm25", min_score=everything[0].score)
    assert some == [hit for hit in everything if hit.score >= everything[0].score]
    assert index.search("item3x1", min_score=Threshold(least=1.0)) == []
    assert index.search_many(["item3x1"], min_score=Threshold(least=0.0)) == [index.search("item3x1")]
    with pytest.raises(InvalidInputError, match="min_score"):
        index.search("item3x1", min_score=float("nan"))


def test_the_command_says_what_it_did(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(app, ["train", "fusion", "docs", "--db", "none", "--questions", "q.jsonl", "--out", "f.txt"])
    assert result.exit_code == 2
    (tmp_path / "q.jsonl").write_text(json.dumps({"question": "q", "doc_id": "d", "start": 0, "end": 1}))
    (tmp_path / "docs").mkdir()
    result = CliRunner().invoke(app, ["train", "fusion", "docs", "--db", "none", "--questions", "q.jsonl", "--out", "f.json"])
    assert result.exit_code == 1
    assert not (tmp_path / "f.json").exists()
