"""The model's own weights: trained where there is something to learn, kept only where unseen documents gain."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from ragkit.chunk import SentenceChunker, Situate, from_recipe
from ragkit.cli.app import app
from ragkit.embed import TransformerEmbedder
from ragkit.errors import CapabilityError, InvalidInputError
from ragkit.lexical import Analyzer
from ragkit.testing.embedders import HashEmbedder
from ragkit.train import Label, TuneSettings, tune_context
from ragkit.train.corpus import read_corpus, read_questions
from ragkit.train.judge import plain_arm
from ragkit.train.tuning_fit import hard_negatives
from ragkit.types import Document

Secret = tuple[list[Document], list[Label]]
CHUNKER = SentenceChunker(16) | Situate(title=True, before=0, max_tokens=4)
QUICK = TuneSettings(method="full", epochs=8, negatives=4, rate=0.01)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def test_unseen_documents_gain_and_the_folder_is_what_was_judged(secret: Secret, tiny_model: Path, tmp_path: Path):
    documents, labels = secret
    base = TransformerEmbedder(str(tiny_model))
    report = tune_context(documents, labels, embedder=base, chunker=CHUNKER, settings=QUICK, mode="dense", most_seconds=None)
    assert report.won
    assert report.difference("trained", "dense").gain.mean > 0.2
    assert report.training["method"] == "full"
    assert "adapter" not in report.to_dict()
    with pytest.raises(InvalidInputError, match="no adapter"):
        _ = report.adapter
    report.save(tmp_path / "tuned")
    tuned = TransformerEmbedder(str(tmp_path / "tuned"))
    assert tuned.card.fingerprint != base.card.fingerprint
    readme = (tmp_path / "tuned" / "README.md").read_text()
    assert report.verdict in readme
    assert base.card.weights in readme
    # Trained on all documents, asked on all of them: far better than what it came from.
    chunker = from_recipe(report.chunker)

    def right(embedder: TransformerEmbedder) -> float:
        vectors = embedder.embed_queries([label.question for label in labels])
        found = []
        for document in documents:
            chunks = chunker(document)
            rows = [place for place, label in enumerate(labels) if label.scope == document.id]
            best = (vectors[rows] @ embedder.embed_chunks(document, chunks).T).argmax(1)
            found += [chunks[at].start <= labels[row].spans[0][1] < chunks[at].end for at, row in zip(best, rows, strict=True)]
        return float(np.mean(found))

    assert right(tuned) > right(base) + 0.3


def test_negatives_answer_nothing_and_stay_in_their_scope(secret: Secret, embedder: HashEmbedder):
    documents, labels = secret
    corpus = read_corpus(documents, CHUNKER.bind(embedder.tokenizer, window=512), embedder)
    questions = read_questions(corpus, labels, embedder, Analyzer())
    docs = np.arange(7)
    rows = np.flatnonzero(questions.home < 7)
    for row, found in hard_negatives(corpus, questions, docs=docs, rows=rows).items():
        assert len(found)
        assert not np.isin(found, questions.gold[row]).any()
        assert (corpus.doc[found] == questions.scope[row]).all()
    assert plain_arm(corpus, questions).words is questions.words


def test_what_would_take_too_long_is_refused(secret: Secret, tiny_model: Path):
    documents, labels = secret
    base = TransformerEmbedder(str(tiny_model))
    with pytest.raises(InvalidInputError, match=r"Training would take about \S+ (minutes|hours) on .*--yes"):
        tune_context(documents, labels, embedder=base, chunker=CHUNKER, settings=QUICK, most_seconds=1e-3)
    with pytest.raises(CapabilityError, match="HashEmbedder has none here"):
        tune_context(documents, labels, embedder=HashEmbedder(dim=8), chunker=CHUNKER)
    with pytest.raises(InvalidInputError, match="batch is 1"):
        TuneSettings(batch=1)


@pytest.mark.usefixtures("files")
def test_the_command_writes_a_folder(tiny_model: Path):
    pytest.importorskip("peft")
    call = [
        "train",
        "context",
        "docs",
        "--questions",
        "q.jsonl",
        "--method",
        "lora",
        "--model",
        str(tiny_model),
        "--epochs",
        "1",
        "--yes",
    ]
    done = CliRunner().invoke(app, [*call, "--out", "tuned", "--max-tokens", "30-40", "--force", "--json"])
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert (found["method"], found["rank"], found["folds"]) == ("lora", 8, 2)
    assert "TransformerEmbedder('tuned')" in done.stderr
    assert TransformerEmbedder("tuned").card.dim == 32
    again = CliRunner().invoke(app, [*call, "--out", "tuned"], env={"COLUMNS": "200"})
    assert again.exit_code == 2
    assert "not an empty folder" in again.stderr
