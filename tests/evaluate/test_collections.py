"""Collections in both layouts, and every way a file can be wrong."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from ragkit.errors import LoadError
from ragkit.evaluate import load_collection

CORPUS = [{"_id": "d1", "title": "Cats", "text": "Cats purr."}, {"_id": "d2", "title": "Dogs", "text": "Dogs bark\u2028loudly."}]
QUERIES = [{"_id": "q1", "text": "who purrs"}, {"_id": "q2", "text": "who barks"}]


def lines(rows) -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


@pytest.fixture
def beir(tmp_path: Path) -> Path:
    (tmp_path / "qrels").mkdir()
    (tmp_path / "corpus.jsonl").write_text(lines(CORPUS), encoding="utf-8")
    (tmp_path / "queries.jsonl").write_text(lines(QUERIES), encoding="utf-8")
    (tmp_path / "qrels" / "test.tsv").write_text(
        "query-id\tcorpus-id\tscore\nq1\td1\t1\nq2\td2\t2\nq2\td9\t1\n", encoding="utf-8"
    )
    (tmp_path / "qrels" / "dev.tsv").write_text("query-id\tcorpus-id\tscore\nq1\td2\t1\n", encoding="utf-8")
    return tmp_path


@pytest.fixture
def spans(tmp_path: Path) -> Path:
    corpus = [{"id": "d1", "title": "T", "text": "One two.\n\nThree four."}]
    files = {
        "corpus": corpus,
        "queries": [{"id": "q1", "text": "three?", "doc_id": "d1"}],
        "passages": [{"id": "p1", "doc_id": "d1", "start": 0, "end": 8}, {"id": "p2", "doc_id": "d1", "start": 10, "end": 21}],
        "spans": [{"query_id": "q1", "doc_id": "d1", "start": 10, "end": 15, "text": "Three"}],
    }
    for name, rows in files.items():
        with gzip.open(tmp_path / f"{name}.jsonl.gz", "wt", encoding="utf-8") as file:
            file.write(lines(rows))
    (tmp_path / "passage_qrels.tsv").write_text("query_id\tcorpus_id\trelevance\nq1\tp2\t1\n", encoding="utf-8")
    return tmp_path


def test_beir_layout(beir):
    collection = load_collection(beir)
    assert [document.text for document in collection.documents] == ["Cats purr.", "Dogs bark\u2028loudly."]
    assert collection.qrels == {"q1": {"d1": 1}, "q2": {"d2": 2, "d9": 1}}
    assert collection.unjudgeable == 1
    assert collection.unit == "document"
    units, _ = collection.units("document")
    assert [unit.text for unit in units] == ["Cats purr.", "Dogs\nDogs bark\u2028loudly."] or units[1].text.startswith("Dogs")
    assert load_collection(beir, split="dev").qrels == {"q1": {"d2": 1}}


def test_layout_with_passages_and_spans(spans):
    collection = load_collection(spans)
    assert collection.unit == "passage"
    units, places = collection.units("passage")
    assert [unit.text for unit in units] == ["One two.", "Three four."]
    assert (places["p2"].doc_id, places["p2"].start) == ("d1", 10)
    whole, _ = collection.units("document")
    assert whole[0].text == "One two.\n\nThree four.", "a title would move the offsets of spans"
    assert collection.queries[0].doc_id == "d1"
    assert collection.spans == {"q1": (("d1", 10, 15),)}


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("corpus.jsonl", '{"_id": "d1", "text": "a"}\n{"_id": ', r"corpus\.jsonl:2: not JSON"),
        ("corpus.jsonl", '{"_id": "d1", "text": "a"}\n\n[1]\n', r"corpus\.jsonl:3: a list"),
        ("corpus.jsonl", '{"text": "a"}\n', r"corpus\.jsonl:1: the id"),
        ("corpus.jsonl", '{"_id": "d1", "text": 3}\n', r"corpus\.jsonl:1: 'text' is 3"),
        (
            "corpus.jsonl",
            '{"_id": "d1", "text": "a"}\n{"_id": "d1", "text": "b"}\n',
            r"corpus\.jsonl:2: the id 'd1' occurs a second time",
        ),
        ("corpus.jsonl", '{"_id": "d1", "text": "a", "metadata": 5}\n', r"corpus\.jsonl:1: metadata"),
        ("queries.jsonl", '{"_id": "q1", "text": "a", "doc_id": "nope"}\n', r"queries\.jsonl:1: doc_id is 'nope'"),
        ("qrels/test.tsv", "query-id\tcorpus-id\tscore\nq1\td1\n", r"test\.tsv:2: 2 fields"),
        ("qrels/test.tsv", "query-id\tcorpus-id\tscore\nq1\td1\tmuch\n", r"test\.tsv:2: the relevance is 'much'"),
        (
            "spans.jsonl",
            '{"query_id": "q1", "doc_id": "d1", "start": 0, "end": 99}\n',
            r"spans\.jsonl:1: the offsets are 0 to 99",
        ),
        (
            "spans.jsonl",
            '{"query_id": "q1", "doc_id": "d1", "start": 0, "end": 4, "text": "Dogs"}\n',
            r"spans\.jsonl:1: .*'Cats', not 'Dogs'",
        ),
        ("spans.jsonl", '{"query_id": "q7", "doc_id": "d1", "start": 0, "end": 4}\n', r"spans\.jsonl:1: query_id"),
        ("passages.jsonl", '{"id": "p", "doc_id": "d7", "start": 0, "end": 4}\n', r"passages\.jsonl:1: doc_id"),
    ],
)
def test_a_wrong_line_is_named_with_its_file_and_number(beir, file, content, message):
    (beir / file).write_text(content, encoding="utf-8")
    with pytest.raises(LoadError, match=message):
        load_collection(beir)


def test_bytes_that_are_no_text_and_broken_archives(beir):
    (beir / "queries.jsonl").write_bytes(b'{"_id": "q1", "text": "\xff\xfe"}\n')
    with pytest.raises(LoadError, match=r"queries\.jsonl:1: cannot be read"):
        load_collection(beir)
    (beir / "queries.jsonl").unlink()
    (beir / "queries.jsonl.gz").write_bytes(gzip.compress(lines(QUERIES).encode())[:-12])
    with pytest.raises(LoadError, match=r"queries\.jsonl\.gz"):
        load_collection(beir)
    (beir / "queries.jsonl.gz").write_bytes(b"plain text")
    with pytest.raises(LoadError, match=r"queries\.jsonl\.gz:1"):
        load_collection(beir)


def test_missing_parts(beir, tmp_path):
    with pytest.raises(LoadError, match="not a folder"):
        load_collection(tmp_path / "nothing")
    with pytest.raises(LoadError, match="no judgements"):
        load_collection(beir, split="train")
    (beir / "corpus.jsonl").unlink()
    with pytest.raises(LoadError, match=r"neither corpus\.jsonl nor corpus\.jsonl\.gz"):
        load_collection(beir)
