"""Sentence landmarks through an index."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ragkit import Document, Index
from ragkit.chunk import Late, RecursiveChunker, SentenceChunker, Situate
from ragkit.errors import InvalidInputError
from ragkit.evaluate import load_collection, span_metrics
from ragkit.evaluate.metrics import Returned
from ragkit.testing.embedders import HashEmbedder

PUMP = "The pump has a seal.\nThe seal of the pump wears out.\n\nChange the seal of the pump in spring. It is cheap."
TEXT = f"Gardens are green. Grass grows.\r\n\r\n{PUMP}\n\nCats sleep all day. Dogs bark."


@pytest.fixture
def index(tmp_path: Path) -> Iterator[Index]:
    chunker = SentenceChunker(60, packing="one") | Situate(before=1, max_tokens=20)
    with Index(tmp_path / "kb", chunker=chunker, embedder=HashEmbedder()) as opened:
        opened.add(
            [Document(TEXT, id="garden", metadata={"lang": "en"}), Document("Trains run on rails. Rails rust.", id="trains")]
        )
        yield opened


@pytest.mark.parametrize("mode", ["hybrid", "dense", "bm25"])
def test_runs_are_slices_with_their_lines(index: Index, mode: str) -> None:
    texts = {"garden": TEXT, "trains": "Trains run on rails. Rails rust."}
    hits = index.search_runs("seal of the pump", k=10, mode=mode, gap=1)  # type: ignore[arg-type]
    assert [hit.rank for hit in hits] == list(range(1, len(hits) + 1))
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)
    for hit in hits:
        text = texts[hit.chunk.doc_id]
        assert hit.chunk.text == text[hit.chunk.start : hit.chunk.end]
        assert hit.parts
        visible = hit.chunk.start + len(hit.chunk.text) - len(hit.chunk.text.lstrip())
        lines = text[: hit.chunk.end].rstrip().replace("\r\n", "\n").count("\n") + 1
        assert hit.lines == (text[:visible].replace("\r\n", "\n").count("\n") + 1, lines)
    assert hits[0].chunk.doc_id == "garden"
    assert "seal" in hits[0].chunk.text
    assert hits[0].chunk.metadata == {"lang": "en"}
    assert hits[0].lines[0] >= 3
    assert index.search_runs("seal of the pump", k=1, mode=mode) == hits[:1]  # type: ignore[arg-type]


def test_sentences_that_answer_together_are_one_run(index: Index) -> None:
    text = "Old news. " * 5 + "Red tulips bloom. Red tulips grow. " + "Other news. " * 5
    index.add(Document(text, id="tulips"))
    hit = index.search_runs("red tulips", k=1)[0]
    assert hit.chunk.text.strip() == "Red tulips bloom. Red tulips grow."
    assert hit.chunk.text == text[hit.chunk.start : hit.chunk.end]


def test_budget_filter_and_settings(index: Index) -> None:
    counts = HashEmbedder().tokenizer.count_batch
    for most in (5, 12, 20):
        for hit in index.search_runs("seal of the pump", k=5, max_tokens=most):
            assert hit.chunk.n_tokens == counts([hit.chunk.text])[0]
            assert hit.chunk.n_tokens <= max(most, 9)
    assert {hit.chunk.doc_id for hit in index.search_runs("rails", k=9, where={"lang": "en"})} == {"garden"}
    for wrong in ({"k": 0}, {"max_tokens": 0}, {"gap": -1}):
        with pytest.raises(InvalidInputError, match=rf"^{next(iter(wrong))} is"):
            index.search_runs("rails", **wrong)  # type: ignore[arg-type]


def test_late_sentences(tmp_path: Path) -> None:
    """Sentences read in their whole document are landmarks like any other."""
    with Index(tmp_path / "late", chunker=SentenceChunker(60, packing="one") | Late(blend=0.5), embedder=HashEmbedder()) as index:
        index.add(Document(TEXT, id="garden"))
        hit = index.search_runs("the pump's seal", k=1)[0]
        assert hit.chunk.text == TEXT[hit.chunk.start : hit.chunk.end]
        assert "seal" in hit.chunk.text


def test_more_of_the_answer_in_fewer_tokens(tmp_path: Path, data_folder: Path) -> None:
    """On articles and their questions, by words alone, runs hold more of the answers at 64 and 128 tokens than chunks of 128."""
    collection = load_collection(data_folder / "squad_articles")
    documents = list(collection.documents)[:5]
    gold = {query: spans for query, spans in collection.spans.items() if spans[0][0] in {document.id for document in documents}}
    questions = [query for query in collection.queries if query.id in gold][:100]
    assert len(questions) == 100
    recall: dict[tuple[str, int], float] = {}
    for name, chunker in (("runs", SentenceChunker(128, packing="one")), ("chunks", RecursiveChunker(128))):
        with Index(tmp_path / name, chunker=chunker, embedder=HashEmbedder()) as index:
            index.add(documents)
            for query in questions:
                search = index.search_runs if name == "runs" else index.search
                hits = search(query.text, k=6, mode="bm25")
                pieces = [Returned(hit.chunk.doc_id, hit.chunk.start, hit.chunk.end, hit.chunk.n_tokens) for hit in hits]
                for budget in (64, 128):
                    found = span_metrics(pieces, gold[query.id], budget=budget)["recall"]
                    recall[name, budget] = recall.get((name, budget), 0.0) + found / len(questions)
    assert recall["runs", 64] > recall["chunks", 64] + 0.1, recall
    assert recall["runs", 128] > recall["chunks", 128] + 0.02, recall
