"""``ragkit index``, ``search`` and ``eval`` on the real model, as a person runs them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from ragkit import Index
from ragkit.cli.app import app
from ragkit.errors import StoreError

ENVIRONMENT = {
    **os.environ,
    "HF_HUB_OFFLINE": "1",
    "COLUMNS": "80",
    "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
}
FILES = {
    "docs/net.md": "# Network\n\nA few words that lead the reader into the matter of networks.\n\n## Timeouts\n\nA request gives up after thirty seconds.\n",
    "docs/auth.html": "<title>Keys</title><p>Send the secret key in a header.</p>",
    "docs/cats.txt": "Cats sleep most of the day.\n",
    "docs/blank.txt": "\n\n",
    "docs/logo.png": "\x89PNG\0",
}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with documents and their database, made by the command itself."""
    folder = tmp_path_factory.mktemp("cli")
    for name, text in FILES.items():
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    done = command("index", "docs", "--db", "kb.lance", "--max-tokens", "24", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    assert "3 documents added" in done.stderr
    assert "1 empty, 1 unsupported" in done.stderr
    return folder


def command(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-m", "ragkit", *arguments]
    return subprocess.run(line, capture_output=True, text=True, cwd=cwd, env=ENVIRONMENT, timeout=200, check=False)


def test_search_says_where_and_why(place: Path) -> None:
    done = command("search", "--db", "kb.lance", "when does a request time out?", "-k", "2", cwd=place)
    assert done.returncode == 0
    lines = done.stdout.splitlines()
    assert lines[0].startswith(" 1. docs/net.md:")
    assert "characters " in lines[1]
    assert "Network > Timeouts" in done.stdout
    assert "dense" in done.stdout
    assert "bm25" in done.stdout
    assert "thirty seconds" in done.stdout
    assert max(map(len, lines)) <= 80
    assert "\x1b" not in done.stdout
    assert "2 hits" in done.stderr


def test_search_json_equals_the_library(place: Path) -> None:
    where = '{"media_type": "text/html"}'
    done = command(
        "search", "--db", "kb.lance", "secret key", "--where", where, "--mode", "bm25", "--fetch-k", "9", "--json", cwd=place
    )
    assert (done.returncode, done.stderr) == (0, "")
    found = json.loads(done.stdout)
    hits = Index(place / "kb.lance").search("secret key", k=5, mode="bm25", where=json.loads(where))
    assert [hit["citation"] for hit in found] == [hit.citation for hit in hits] == ["docs/auth.html:1"]
    assert found[0]["chunk"]["id"] == hits[0].chunk.id
    assert found[0]["parts"]["bm25"]["score"] == pytest.approx(hits[0].parts["bm25"].score)


def test_indexing_again_and_changing(place: Path) -> None:
    (place / "docs/copy.txt").write_text(FILES["docs/cats.txt"])
    (place / "docs/broken.pdf").write_bytes(b"%PDF-1.4 nothing")
    done = command("index", "docs", "--db", "kb.lance", "--max-tokens", "24", "--json", cwd=place)
    assert done.returncode == 3
    report = json.loads(done.stdout)
    assert (report["added"], report["unchanged"], report["replaced"], report["chunks"]) == (1, 3, 0, 1)
    assert (report["embedded"], report["reused"]) == (0, 1)
    assert {entry["path"]: entry["kind"] for entry in report["skipped"]} == {
        "docs/blank.txt": "empty",
        "docs/logo.png": "unsupported",
        "docs/broken.pdf": "failed",
    }
    assert "Could not be read: docs/broken.pdf" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["search", "--db", "nowhere.lance", "x"], "nowhere.lance"),
        (["search", "--db", "kb.lance", "x", "--where", "{"], "--where is not JSON"),
        (["search", "--db", "kb.lance", "x", "--where", "[1]"], "must be a JSON object"),
        (["search", "--db", "docs", "x"], "docs"),
        (["index", "gone", "--db", "other.lance"], "gone does not exist"),
        (["index", "docs", "--db", "other.lance", "--model", "no-such-model"], "no-such-model"),
        (["eval", "docs"], "corpus"),
    ],
)
def test_errors(place: Path, arguments: list[str], says: str) -> None:
    done = command(*arguments, cwd=place)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("ragkit: ")
    assert says in done.stderr
    assert "Traceback" not in done.stderr
    assert not (place / "nowhere.lance").exists()
    assert not (place / "other.lance").exists()


def test_dry_run_touches_nothing(place: Path) -> None:
    done = command("index", "docs", "--db", "dry.lance", "--include", "*.md", "--exclude", "x*", "--dry-run", cwd=place)
    assert done.returncode == 0
    assert done.stdout.split() == ["added", "1", "chunk", "docs/net.md"]
    assert "would have 1 added" in done.stderr
    assert not (place / "dry.lance").exists()


def test_the_database_is_not_indexed_itself(place: Path) -> None:
    done = command("index", ".", "--db", "kb.lance", "--dry-run", "--json", cwd=place)
    seen = json.loads(done.stdout)
    files = [*seen["added"], *seen["replaced"], *seen["unchanged"]]
    assert "docs/net.md" in files
    assert not [file for file in files if "kb.lance" in file]


@pytest.fixture
def collection(tmp_path: Path) -> Path:
    """Three documents and two questions in BEIR's layout."""
    texts = {"d1": "Cats sleep all day.", "d2": "Granite is an igneous rock.", "d3": "The harbour is open."}
    (tmp_path / "corpus.jsonl").write_text("".join(json.dumps({"_id": one, "text": text}) + "\n" for one, text in texts.items()))
    questions = {"q1": "which rock is igneous?", "q2": "do cats sleep?"}
    (tmp_path / "queries.jsonl").write_text(
        "".join(json.dumps({"_id": one, "text": text}) + "\n" for one, text in questions.items())
    )
    (tmp_path / "qrels").mkdir()
    (tmp_path / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\nq1\td2\t1\nq2\td1\t1\n")
    return tmp_path


def test_eval_for_people(collection: Path) -> None:
    done = command("eval", str(collection), "--mode", "bm25", "--mode", "hybrid", cwd=collection)
    assert done.returncode == 0, done.stderr
    assert "nDCG@10" in done.stdout
    assert "1.000 [1.000, 1.000]" in done.stdout
    assert "hybrid - bm25, nDCG@10: +0.000" in done.stdout
    assert "2 questions, 3 documents" in done.stderr
    assert max(map(len, done.stdout.splitlines())) <= 80


def test_eval_json(collection: Path) -> None:
    """In this process, which may have loaded torch already."""
    done = CliRunner().invoke(app, ["eval", str(collection), "--mode", "dense", "-k", "2", "--json"])
    assert done.exit_code == 0, done.stderr
    report = json.loads(done.stdout)
    assert (report["queries"], report["documents"], report["k"]) == (2, 3, 2)
    assert {score["mode"] for score in report["scores"]} == {"dense"}
    assert {score["mean"] for score in report["scores"] if score["metric"] == "nDCG@2"} == {1.0}


def stored(path: Path) -> list[str]:
    """The documents that are committed; none while the database is being made."""
    try:
        with Index(path, create=False) as index:
            return index.document_ids()
    except StoreError:
        return []


def test_ctrl_c_keeps_what_is_done(tmp_path: Path) -> None:
    for n in range(6000):
        (tmp_path / f"{n:04}.txt").write_text(" ".join(f"word{n}x{m}" for m in range(6)))
    # A shell that starts jobs in the background makes them ignore SIGINT; the command runs as it would on a terminal.
    script = "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
    script += "sys.argv = ['ragkit', 'index', '.', '--db', 'kb.lance', '--include', '*.txt']\nfrom ragkit.cli import main; main()"
    process = subprocess.Popen([sys.executable, "-c", script], cwd=tmp_path, env=ENVIRONMENT, stderr=subprocess.PIPE, text=True)
    while not stored(tmp_path / "kb.lance"):
        assert process.poll() is None, process.stderr.read() if process.stderr else ""
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert "stopped. Documents that were finished are kept" in errors
    assert "Traceback" not in errors
    with Index(tmp_path / "kb.lance") as index:
        kept = index.document_ids()
        assert 0 < len(kept) < 6000
        for name in kept[:20]:
            assert "".join(chunk.text for chunk in index.chunks_of(name)) == (tmp_path / name).read_text()
    again = command("index", *kept[:20], "--db", "kb.lance", "--json", cwd=tmp_path)
    assert json.loads(again.stdout)["unchanged"] == 20
