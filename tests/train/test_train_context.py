"""Training wins where there is something to learn, and says so where there is not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ragkit import Index
from ragkit.chunk import SentenceChunker, Situate, from_recipe
from ragkit.embed import AdaptedEmbedder, CachedEmbedder, load_adapter
from ragkit.errors import InvalidInputError, StoreMismatchError
from ragkit.testing.embedders import HashEmbedder
from ragkit.train import ContextReport, Label, labels_by_rule, train_context
from ragkit.train.corpus import read_corpus
from ragkit.types import Document

CHUNKER = SentenceChunker(40) | Situate(title=True, before=0, max_tokens=8, document=0.1)
Secret = tuple[list[Document], list[Label]]


@pytest.fixture(scope="module")
def report(secret: Secret) -> ContextReport:
    documents, labels = secret
    return train_context(
        documents, labels, embedder=HashEmbedder(dim=64), chunker=SentenceChunker(24) | CHUNKER.steps[0], folds=2
    )


def test_unseen_documents_gain(report: ContextReport):
    dense = report.difference("trained", "dense")
    assert report.won
    assert dense.gain.mean > 0.2
    assert dense.gain.low > 0.1
    assert dense.gain.n == report.questions
    assert report.difference("trained", "dense").gain.mean > report.difference("mixed", "dense").gain.mean + 0.1
    assert report.training["steps"] > 0


def test_the_same_seed_gives_the_same_adapter(secret: Secret, report: ContextReport, tmp_path: Path):
    documents, labels = secret
    base = CachedEmbedder(HashEmbedder(dim=64), path=tmp_path / "vectors.sqlite")
    again = train_context(documents, labels, embedder=base, chunker=from_recipe(report.chunker), folds=2)
    assert again.adapter.digest == report.adapter.digest
    assert again.differences == report.differences
    report.save(tmp_path / "a.safetensors")
    again.save(tmp_path / "b.safetensors")
    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()
    calls = base.embedder.calls
    read_corpus(documents, from_recipe(report.chunker).bind(base.tokenizer, window=base.card.window), base)
    assert base.embedder.calls == calls, "a second run reads nothing again"


def test_nothing_to_learn_keeps_plain(secret: Secret, tmp_path: Path):
    documents, labels = secret
    rng = np.random.default_rng(3)
    words = [f"asked{a} wanted{b}" for a, b in rng.integers(10_000, size=(len(labels), 2))]
    noise = [replace(label, question=text) for label, text in zip(labels, words, strict=True)]
    found = train_context(documents, noise, embedder=HashEmbedder(dim=64), chunker=CHUNKER, folds=2)
    assert not found.won
    assert "Keep the plain model" in found.verdict
    with pytest.raises(InvalidInputError, match="Keep the plain model"):
        found.save(tmp_path / "no.safetensors")
    assert not (tmp_path / "no.safetensors").exists()
    found.save(tmp_path / "forced.safetensors", force=True)
    assert load_adapter(tmp_path / "forced.safetensors").digest == found.adapter.digest


def test_a_gain_below_what_was_asked_for_is_no_win(report: ContextReport):
    gain = report.difference("trained", "hybrid").gain.mean
    assert not replace(report, min_gain=gain + 0.01).won
    assert f"{100 * (gain + 0.01):.1f} points were asked for" in replace(report, min_gain=gain + 0.01).verdict


def test_an_index_uses_it_and_refuses_other_vectors(secret: Secret, report: ContextReport, tmp_path: Path):
    documents, labels = secret
    base = HashEmbedder(dim=64)
    adapted = AdaptedEmbedder(base, path=report.adapter)
    chunker = from_recipe(report.chunker)

    def found(index: Index) -> int:
        right = 0
        for label in labels[:60]:
            hit = index.search(label.question, k=1, mode="dense", where={"title": f"Paper {label.scope[1:]}"})[0]
            right += hit.chunk.start <= label.spans[0][1] < hit.chunk.end
        return right

    with (
        Index(tmp_path / "plain", chunker=chunker, embedder=base) as plain,
        Index(tmp_path / "kb", chunker=chunker, embedder=adapted) as index,
    ):
        plain.add(documents)
        index.add(documents)
        assert found(index) > found(plain) + 12
        again = index.add(documents)
        assert again.unchanged == len(documents)
    with pytest.raises(StoreMismatchError, match="adapter"):
        Index(tmp_path / "kb", embedder=base)


def test_what_is_measured_is_what_an_index_stores(secret: Secret, report: ContextReport):
    """The vectors judged in training are those the embedder gives."""
    from ragkit.embed.adapted import mix, turn

    documents, _ = secret
    base = HashEmbedder(dim=64)
    chunker = from_recipe(report.chunker)
    corpus = read_corpus(documents, chunker, base)
    adapted = AdaptedEmbedder(base, path=report.adapter)
    stored = adapted.embed_batch([(document, chunker(document)) for document in documents])
    judged = turn(mix(corpus.read, report.adapter.shares), report.adapter.documents)
    np.testing.assert_allclose(stored, judged, atol=1e-6)


def test_by_rule(embedder: HashEmbedder):
    """Sentences that repeat a document's words: what is taken out is asked where its neighbours are."""
    rng = np.random.default_rng(1)
    documents = []
    for number in range(16):
        words = [f"word{rng.integers(50)}" for _ in range(6)]
        sentences = [" ".join(rng.permutation(words)).capitalize() + " again and again." for _ in range(20)]
        documents.append(Document("# Part one\n\n" + " ".join(sentences), id=f"d{number}", metadata={"title": f"Book {number}"}))
    found = train_context(documents, None, embedder=embedder, chunker=CHUNKER, folds=2)
    assert found.labels == "by rule"
    assert found.questions >= 32
    kept, labels = labels_by_rule(documents)
    assert labels_by_rule(documents) == (kept, labels)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"labels": 10}, "10 labels are too few"),
        ({"folds": 1}, "folds is 1"),
        ({"mode": "bm25"}, "allowed are dense, hybrid"),
        ({"folds": 20}, "lie in 14 documents"),
    ],
)
def test_refused(secret: Secret, embedder: HashEmbedder, change: dict, message: str):
    documents, labels = secret
    settings = {"folds": 2, "mode": "hybrid"} | {name: value for name, value in change.items() if name != "labels"}
    with pytest.raises(InvalidInputError, match=message):
        train_context(documents, labels[: change.get("labels", len(labels))], embedder=embedder, chunker=CHUNKER, **settings)
    with pytest.raises(InvalidInputError, match="No chunk answers label 0"):
        train_context(documents[1:], labels, embedder=embedder, chunker=CHUNKER)
