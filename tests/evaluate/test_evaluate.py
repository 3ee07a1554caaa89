"""Whole evaluations through a real index."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from ragkit import Document, Index
from ragkit.chunk import FixedChunker
from ragkit.errors import InvalidInputError
from ragkit.evaluate import Collection, Passage, Query, evaluate, limited, load_collection
from ragkit.retrieve import Rrf
from ragkit.testing.embedders import HashEmbedder

TOPICS = [f"topic{place}" for place in range(40)]


@pytest.fixture(scope="module")
def generated() -> Collection:
    """Questions whose rare word only BM25 weighs rightly, in documents full of shared words."""
    random = np.random.default_rng(7)
    filler = [f"word{place}" for place in range(60)]
    documents = [
        Document(" ".join([*random.choice(filler, 30), topic, *random.choice(filler, 30)]) + ".", id=topic) for topic in TOPICS
    ]
    queries = [Query(id=f"q-{topic}", text=f"{topic} {' '.join(random.choice(filler, 3))}") for topic in TOPICS]
    return Collection(name="generated", documents=documents, queries=queries, qrels={f"q-{t}": {t: 1} for t in TOPICS})


def test_hybrid_keeps_up_with_its_better_arm_and_equal_votes_do_not(generated):
    report = evaluate(generated, embedder=HashEmbedder(), fusions={"rrf": Rrf()})
    dense, bm25, hybrid, rrf = (report.score(mode, "nDCG@10").mean for mode in ("dense", "bm25", "hybrid", "rrf"))
    assert hybrid >= max(dense, bm25) - 0.005
    assert rrf < bm25
    assert (report.documents, report.queries, report.unit) == (40, 40, "document")
    verdict = {(one.other, one.metric): one.verdict for one in report.comparisons}
    assert verdict["dense", "nDCG@10"] == "better"


def test_a_report_is_json_and_a_table(generated):
    report = evaluate(generated, embedder=HashEmbedder(), modes=("bm25",), k=5)
    assert json.loads(json.dumps(report.to_dict()))["scores"][0]["metric"] == "nDCG@5"
    header, rows = report.table()
    assert header == ["metric", "bm25"]
    assert [row[0] for row in rows] == ["nDCG@5", "recall@5", "MRR@5"]
    with pytest.raises(KeyError, match="measured are bm25 MRR@5"):
        report.score("dense", "nDCG@5")


@pytest.fixture(scope="module")
def spanned() -> Collection:
    """Two long documents with the same facts in other places; each question is about one of them."""
    words = [f"fact{place}" for place in range(200)]
    texts = {"one": " ".join(words), "two": " ".join(reversed(words))}
    asked = [(doc, words[place]) for doc in texts for place in (3, 90, 150)]
    starts = {(doc, word): texts[doc].split(" ").index(word) for doc, word in asked}
    offset = {key: len(" ".join(texts[key[0]].split(" ")[:place])) + (place > 0) for key, place in starts.items()}
    passages, passage_qrels = [], {}
    for doc, text in texts.items():
        middle = text.index(" ", len(text) // 2)
        passages += [
            Passage(id=f"{doc}-0", doc_id=doc, start=0, end=middle),
            Passage(id=f"{doc}-1", doc_id=doc, start=middle + 1, end=len(text)),
        ]
        for word in {word for one, word in asked if one == doc}:
            passage_qrels[f"{doc}:{word}"] = {f"{doc}-{int(offset[doc, word] > middle)}": 1}
    return Collection(
        name="spanned",
        documents=[Document(text, id=doc) for doc, text in texts.items()],
        queries=[Query(id=f"{doc}:{word}", text=word, doc_id=doc) for doc, word in asked],
        passages=passages,
        passage_qrels=passage_qrels,
        spans={f"{doc}:{word}": [(doc, offset[doc, word], offset[doc, word] + len(word))] for doc, word in asked},
    )


def test_questions_about_one_document_search_there_and_spans_keep_their_offsets(spanned):
    chunker = FixedChunker(max_tokens=16, tokenizer="words")
    report = evaluate(spanned, embedder=HashEmbedder(), chunker=chunker, modes=("bm25", "dense"), budgets=(16, 64))
    assert report.unit == "passage"
    assert report.score("bm25", "recall@10").mean == 1
    assert report.score("bm25", "recall@16 tokens").mean == 1, "the first chunk is the one, and in the right document"
    assert report.score("dense", "precision@64 tokens").mean < report.score("dense", "precision@16 tokens").mean
    whole = evaluate(spanned, embedder=HashEmbedder(), chunker=chunker, modes=("bm25",), budgets=(16,), unit="document")
    assert whole.score("bm25", "recall@16 tokens").mean == 1
    assert whole.metrics == ["recall@16 tokens", "precision@16 tokens", "IoU@16 tokens"]


def test_small_budgets_are_filled_even_when_chunks_are_many_and_tiny(spanned):
    chunker = FixedChunker(max_tokens=1, tokenizer="words")
    report = evaluate(spanned, embedder=HashEmbedder(), chunker=chunker, modes=("dense",), budgets=(180,), unit="document", k=1)
    # 180 of a document's 200 one-word chunks: more than one search fetches at first.
    assert report.score("dense", "precision@180 tokens").mean == pytest.approx(1 / 180, rel=0.2)


def test_a_given_index_must_hold_the_collection(generated, tmp_path: Path):
    with Index(tmp_path / "kb", embedder=HashEmbedder()) as index:
        with pytest.raises(InvalidInputError, match="40 of them missing"):
            evaluate(generated, index=index)
        index.add(generated.units("document")[0])
        report = evaluate(generated, index=index, modes=("bm25",))
        assert report.score("bm25", "recall@10").mean == 1
        with pytest.raises(InvalidInputError, match="an index has its own"):
            evaluate(generated, index=index, embedder=HashEmbedder())
        index.add(Document("a stranger", id="stranger"))
        with pytest.raises(InvalidInputError, match="nothing else"):
            evaluate(generated, index=index)


def test_settings_that_make_no_sense(generated):
    with pytest.raises(InvalidInputError, match="modes is empty"):
        evaluate(generated, modes=())
    with pytest.raises(InvalidInputError, match="no judged question"):
        evaluate(generated, unit="passage", embedder=HashEmbedder())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "documents", "metric", "lexical"),
    [("limit_small", None, "recall@10", 0.98), ("squad_articles", 3, "nDCG@10", 0.89)],
)
def test_hybrid_on_real_collections(name, documents, metric, lexical, data_folder, minilm):
    """Thresholds leave room for other machines' rounding, and none for a fusion that lets one arm drown the other."""
    some = limited(load_collection(data_folder / name), documents=documents, questions=100)
    report = evaluate(some, embedder=minilm, fusions={"rrf": Rrf()}, budgets=())
    found = {mode: report.score(mode, metric).mean for mode in ("dense", "bm25", "hybrid", "rrf")}
    assert found["hybrid"] >= max(found["dense"], found["bm25"]) - 0.005
    assert found["hybrid"] > found["rrf"] + 0.01
    assert found["bm25"] >= lexical
