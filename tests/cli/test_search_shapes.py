"""``ragkit search``: choosing among hits, showing more around them, several wordings, and one text for a model."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from ragkit import Document, Index
from ragkit.chunk import MarkdownChunker, Parents
from ragkit.cli.app import app
from ragkit.cli.searching import saying_warnings
from ragkit.embed import TransformerEmbedder
from ragkit.retrieve import Phrasings, Shape

MANUAL = "# Manual\n\n" + "".join(
    f"## The {name}\n\nRinse the {name} with water in spring.\n\nKeep the {name} away from frost in winter.\n\n"
    for name in ("pump", "hose", "valve")
)
TEXTS = {
    "manual.md": MANUAL,
    "a.txt": "Rinse the old pump with clean water, and let it dry before winter.",
    "b.txt": "Rinse the old pump with clean water and let it dry, before WINTER!",
}


@pytest.fixture(scope="module")
def db(tmp_path_factory: pytest.TempPathFactory, minilm: TransformerEmbedder) -> Path:
    path = tmp_path_factory.mktemp("shapes") / "kb.lance"
    with Index(path, chunker=MarkdownChunker(16) | Parents((48,)), embedder=minilm) as index:
        index.add([Document(text, id=name, metadata={"source": name}) for name, text in TEXTS.items()])
    return path


def search(db: Path, *options: str) -> Result:
    return CliRunner().invoke(app, ["search", "--db", str(db), "--mode", "bm25", *options])


def found(db: Path, *options: str) -> Any:
    done = search(db, *options, "--json")
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def test_json_equals_the_library(db: Path) -> None:
    query = Phrasings(["rinse the pump", "pump in winter"])
    shape = Shape(fold=0.8, per_document=2, mmr=0.8, expand="section")
    options = ["--fold", "--per-document", "2", "--mmr", "0.8", "--expand", "section", "--also", "pump in winter", "-k", "4"]
    given = found(db, "rinse the pump", *options)
    hits = Index(db).search(query, k=4, mode="bm25", shape=shape)
    assert [hit["chunk"]["text"] for hit in given] == [hit.chunk.text for hit in hits]
    assert [hit["folded"] for hit in given] == [[one.citation for one in hit.folded] for hit in hits]
    assert {name for hit in given for name in hit["parts"]} == {"q1", "q2"}


@pytest.mark.parametrize(("expand", "begins"), [("section", "## The hose"), ("parent", "# Manual"), ("1", "Keep the pump")])
def test_more_around_a_hit(db: Path, expand: str, begins: str) -> None:
    [hit] = found(db, "rinse the hose", "-k", "1", "--expand", expand)
    assert hit["chunk"]["text"].startswith(begins)
    assert "Keep the hose away from frost" in hit["chunk"]["text"]


def test_people_see_what_stands_behind_a_hit(db: Path) -> None:
    done = search(db, "rinse the old pump", "--fold", "-k", "1")
    assert "stands also for b.txt:1" in done.stdout
    assert "1 hit in" in done.stderr


def test_one_text_for_a_model(db: Path) -> None:
    context = found(db, "rinse the hose in spring", "--context-tokens", "50")
    assert 0 < context["n_tokens"] <= 50
    for passage in context["passages"]:
        assert TEXTS[passage["doc_id"]][passage["start"] : passage["end"]] == passage["text"]
    done = search(db, "rinse the hose in spring", "--context-tokens", "50")
    assert done.stdout.startswith("[1] manual.md:")
    assert " tokens" in done.stderr


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (["--expand", "chapter"], 2, "--expand is 'chapter'"),
        (["--mmr", "2"], 2, "--mmr"),
        (["--per-document", "0"], 2, "--per-document"),
        (["--expand", "0"], 1, "expand is 0"),
        (["--mmr", "0.5", "-k", "9", "--fetch-k", "3"], 1, "k is 9 and mmr chooses from the fetch_k = 3 best"),
        (["--also", " "], 1, "texts holds ' '"),
        (["--context-tokens", "0"], 2, "--context-tokens"),
        (["--runs", "0"], 2, "--runs"),
        (["--runs", "40", "--fold"], 1, "--runs chooses and expands hits by a rule of its own"),
        (["--runs", "40", "--rerank"], 1, "--runs chooses and expands hits by a rule of its own"),
    ],
)
def test_what_cannot_be(db: Path, options: list[str], code: int, message: str) -> None:
    done = search(db, "pump", *options)
    assert done.exit_code == code
    assert message in " ".join(done.stderr.replace("│", " ").split())


def test_sentences_found_together_are_one_hit(tmp_path: Path) -> None:
    text = "Old news of a tulip. " + "Red tulips bloom. Red tulips grow. " + "Other news is red. " * 3
    (tmp_path / "tulips.txt").write_text(text)
    kb, place = tmp_path / "kb", str(tmp_path / "tulips.txt")
    done = CliRunner().invoke(app, ["index", place, "--root", str(tmp_path), "--db", str(kb), "--chunker", "landmarks"])
    assert done.exit_code == 0, done.output
    assert {hit["chunk"]["text"].strip() for hit in found(kb, "red tulips", "-k", "2")} == {
        "Red tulips bloom.",
        "Red tulips grow.",
    }
    hits = found(kb, "red tulips", "-k", "3", "--runs", "40")
    assert hits[0]["chunk"]["text"].strip() == "Red tulips bloom. Red tulips grow."
    with Index(kb) as index:
        runs = index.search_runs("red tulips", k=3, max_tokens=40, mode="bm25")
    assert [hit["chunk"]["text"] for hit in hits] == [run.chunk.text for run in runs]
    context = found(kb, "red tulips", "-k", "1", "--runs", "40", "--context-tokens", "200")
    assert [passage["text"].strip() for passage in context["passages"]] == [runs[0].chunk.text.strip()]


def test_warnings_for_people_are_lines_and_those_for_developers_stay(capsys: pytest.CaptureFixture[str]) -> None:
    def search() -> None:
        with saying_warnings():
            warnings.warn("two passages have no codes", RuntimeWarning, stacklevel=1)
            warnings.warn("two passages have no codes", RuntimeWarning, stacklevel=1)
            warnings.warn("an old call", DeprecationWarning, stacklevel=1)

    with pytest.warns(DeprecationWarning, match="an old call") as met:
        search()
    assert len(met) == 1
    assert capsys.readouterr().err.count("two passages have no codes") == 1
