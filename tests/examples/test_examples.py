"""The examples run as they are, offline, and print what they promise."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

EXAMPLES = Path(__file__).parents[2] / "examples"


def run(name: str, *arguments: str, cwd: Path) -> str:
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    command = [sys.executable, str(EXAMPLES / name), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, cwd=cwd, env=environment, timeout=200, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_quickstart(tmp_path: Path) -> None:
    docs = tmp_path / "docs"
    docs.mkdir()
    (docs / "net.md").write_text("# Network\n\nA request gives up after thirty seconds.\n")
    (docs / "cats.txt").write_text("Cats sleep most of the day.\n")
    printed = run("quickstart.py", "docs", "When does a request time out?", cwd=tmp_path)
    assert "2 added, 0 replaced, 0 unchanged" in printed
    assert "1. docs/net.md:" in printed
    assert "bm25: rank 1" in printed


def test_langchain_rag(tmp_path: Path) -> None:
    printed = run("langchain_rag.py", cwd=tmp_path)
    assert printed.startswith("[net.md:1]\nRequests time out after 30 seconds.")
    assert "Answer: After 30 seconds [net.md:1]." in printed


def test_late_chunking(tmp_path: Path) -> None:
    printed = run("late_chunking.py", cwd=tmp_path)
    alone, late = printed.split("half late:")
    assert "Its population is about 3.9 million." in alone or "capital of Spain" in alone
    assert "[madrid] Its population is about 3.3 million." in late


def test_landmarks(tmp_path: Path) -> None:
    printed = run("landmarks.py", cwd=tmp_path)
    run_of_sentences, _, langchain = printed.partition("LangChain: ")
    assert "Change the seal in spring" in run_of_sentences
    assert "The pump stands in the shed" not in printed
    assert langchain.strip() in run_of_sentences


def test_situated_context(tmp_path: Path) -> None:
    printed = run("situated_context.py", cwd=tmp_path)
    assert printed.startswith("3 calls, about ")
    assert "1. They fell in the north.\n   read with: ACME annual report | From the regional part" in printed
    assert "No words for characters 77 to 111 of report: refusal" in printed


def test_ways_to_ask(tmp_path: Path) -> None:
    printed = run("ways_to_ask.py", cwd=tmp_path)
    assert "note.txt:1 (and copy.txt)" in printed
    assert "## Winter Rinse the pump with water before winter. Then check its seal, and note the date." in printed
    assert "asked: What must be checked on the pump before winter? (1 call)" in printed
    assert "cited: manual.md, characters " in printed


def test_serve(tmp_path: Path) -> None:
    assert [line.split()[0] for line in run("serve.py", cwd=tmp_path).splitlines()] == ["MISS", "HIT", "MISS"]


def test_every_example_is_run() -> None:
    here = Path(__file__).read_text(encoding="utf-8")
    assert all(f'run("{example.name}"' in here for example in EXAMPLES.glob("*.py"))


def test_semantic_cache(tmp_path: Path) -> None:
    printed = run("semantic_cache.py", cwd=tmp_path)
    assert "20 requests, 1 call: According to refunds:1: A refund takes 14 days." in printed
    assert "number: 500 against nothing" in printed
    assert "miss in another tenant's scope" in printed
    assert "miss after the document was replaced" in printed
    assert printed.rstrip().endswith("A refund takes 30 days.")
