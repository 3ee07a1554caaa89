"""``--rerank`` on the command line: what it prints, with codes and without."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from ragkit import Document, Index
from ragkit.cli.app import app
from ragkit.embed import TransformerEmbedder
from ragkit.rerank import CompressedReranker

TEXTS = {
    "a.txt": "Rain falls on the town; the river rises, and the bridge is closed until morning.",
    "b.txt": "Dogs bark at night, and nobody knows why they bark so much.",
    "c.txt": "The bridge was painted green in the spring.",
}
QUESTION = "When does the bridge open again?"


@pytest.fixture(scope="module")
def db(tmp_path_factory: pytest.TempPathFactory, minilm: TransformerEmbedder) -> Path:
    path = tmp_path_factory.mktemp("rerank") / "kb.lance"
    with Index(path, embedder=minilm, compressor=None) as index:
        index.add([Document(text, id=name, metadata={"source": name}) for name, text in TEXTS.items()])
    return path


def run(*arguments: str) -> Result:
    done = CliRunner().invoke(app, list(arguments))
    assert done.exit_code == 0, done.output
    return done


def test_without_codes_the_order_stays_and_the_reason_is_said_in_a_line(db: Path) -> None:
    done = run("search", QUESTION, "--db", str(db), "--rerank", "--json")
    plain = run("search", QUESTION, "--db", str(db), "--json")
    assert json.loads(done.stdout) == json.loads(plain.stdout)
    assert "3 of 3 hits have no codes" in done.stderr
    assert "ragkit index --compress" in done.stderr
    assert "RuntimeWarning" not in done.stderr
    assert "codes" not in plain.stderr


def test_with_codes_it_is_what_the_library_says(db: Path, minilm: TransformerEmbedder) -> None:
    with Index(db, embedder=minilm) as index:
        index.codes.fill()
        hits = index.search(QUESTION, k=2, rerank=CompressedReranker())
    done = run("search", QUESTION, "--db", str(db), "--rerank", "--json", "-k", "2")
    given = json.loads(done.stdout)
    assert [one["chunk"]["doc_id"] for one in given] == [hit.chunk.doc_id for hit in hits]
    assert given[0]["parts"]["rerank"]["score"] == pytest.approx(hits[0].parts["rerank"].score, abs=1e-5)
    assert "codes" not in done.stderr
    shown = run("search", QUESTION, "--db", str(db), "--rerank")
    assert "rerank" in shown.stdout
    context = run("search", QUESTION, "--db", str(db), "--rerank", "--context-tokens", "30", "--json")
    assert json.loads(context.stdout)["passages"]


def test_a_collection_is_measured_with_and_without(tmp_path: Path) -> None:
    def lines(name: str, rows: list[dict[str, Any]]) -> None:
        (tmp_path / name).write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")

    lines("corpus.jsonl", [{"_id": name, "title": "", "text": text} for name, text in TEXTS.items()])
    lines("queries.jsonl", [{"_id": "q1", "text": QUESTION}, {"_id": "q2", "text": "why do dogs bark"}])
    (tmp_path / "qrels").mkdir()
    (tmp_path / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\nq1\ta.txt\t1\nq2\tb.txt\t1\n", encoding="utf-8")
    report = json.loads(run("eval", str(tmp_path), "--mode", "hybrid", "--rerank", "--json").stdout)
    assert {one["mode"] for one in report["scores"]} == {"hybrid", "reranked"}
    (gain,) = [one for one in report["comparisons"] if one["metric"] == "nDCG@10"]
    assert (gain["mode"], gain["other"]) == ("reranked", "hybrid")
    assert gain["low"] <= gain["mean"] <= gain["high"]
