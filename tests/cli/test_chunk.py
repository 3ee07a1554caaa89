"""``ragkit chunk``, and what all commands share: help, errors, streams, exit codes."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from ragkit import __version__

Run = Callable[..., subprocess.CompletedProcess[str]]
TEXT = "# Top\n\nFirst words here.\n\n## Inner\n\n" + "More words to read here. " * 30


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "guide.md"
    path.write_text(TEXT)
    return path


def test_json_is_exact_and_alone_on_stdout(run: Run, file: Path) -> None:
    done = run("chunk", file.name, "--max-tokens", "40", "--tokenizer", "words", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    chunks = json.loads(done.stdout)
    assert len(chunks) > 2
    lines = TEXT.split("\n")
    for chunk in chunks:
        assert TEXT[chunk["start"] : chunk["end"]] == chunk["text"]
        assert chunk["n_tokens"] <= 40
        first, last = chunk["lines"]
        assert chunk["text"].strip("\n") in "\n".join(lines[first - 1 : last])
        assert chunk["doc_id"] == "guide.md"
    assert chunks[-1]["metadata"]["headings"] == ["Top", "Inner"]


def test_text_for_people(run: Run, file: Path) -> None:
    done = run("chunk", file, "--max-tokens", "40", "--tokenizer", "words")
    assert done.returncode == 0
    assert "[1] lines 1-" in done.stdout
    assert "Top > Inner" in done.stdout
    assert "chunks of guide.md" in done.stderr
    assert "\x1b" not in done.stdout + done.stderr


def test_overlap_and_chunker_are_used(run: Run, file: Path) -> None:
    fixed = run("chunk", file, "--chunker", "fixed", "--max-tokens", "20", "--overlap", "5", "--tokenizer", "words", "--json")
    chunks = json.loads(fixed.stdout)
    assert all(after["start"] < before["end"] for before, after in itertools.pairwise(chunks))


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["chunk", "gone.md"], "gone.md does not exist"),
        (["chunk", "."], "is a folder"),
        (["chunk", "guide.md", "--tokenizer", "no-such"], "no-such"),
        (["chunk", "guide.md", "--max-tokens", "5", "--overlap", "5", "--tokenizer", "words"], "overlap is 5"),
    ],
)
def test_errors_are_one_line_without_a_traceback(run: Run, file: Path, arguments: list[str], says: str) -> None:
    done = run(*arguments)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("ragkit: ")
    assert says in done.stderr
    assert done.stderr.count("\n") == 1


def test_an_error_is_json_too(run: Run, file: Path) -> None:
    done = run("chunk", "gone.md", "--json")
    error = json.loads(done.stdout)["error"]
    assert (done.returncode, error["type"]) == (1, "LoadError")
    assert error["message"] in done.stderr


def test_debug_shows_the_traceback(run: Run) -> None:
    done = run("chunk", "gone.md", "--debug")
    assert done.returncode == 1
    assert "Traceback" in done.stderr
    assert "LoadError" in done.stderr


@pytest.mark.parametrize(
    "arguments", [["chunk"], ["nonsense"], ["chunk", "guide.md", "--max-tokens", "0"], ["chunk", "x", "--chunker", "y"]]
)
def test_wrong_usage_is_2(run: Run, arguments: list[str]) -> None:
    done = run(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert "Usage: " in done.stderr


def test_version(run: Run) -> None:
    assert run("--version").stdout == f"ragkit {__version__}\n"


@pytest.mark.parametrize("command", [None, "index", "search", "chunk", "eval"])
def test_help_stands_alone(run: Run, command: str | None) -> None:
    done = run(*filter(None, [command]), "--help")
    assert done.returncode == 0
    words = " ".join(done.stdout.replace("│", " ").split())
    if command is None:
        assert all(name in words for name in ("index", "search", "chunk", "eval", "Exit codes: 0"))
    else:
        assert f"Example: ragkit {command} " in words
        assert "--json" in words
    assert max(map(len, done.stdout.splitlines())) <= 80


def test_help_imports_nothing_heavy() -> None:
    script = (
        "import sys; sys.argv = ['ragkit', '--help']\n"
        "from ragkit.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'transformers', 'lancedb', 'pyarrow', 'langchain_core', 'numpy', 'tiktoken', 'tokenizers'}\n"
        "sys.exit(str(heavy & set(sys.modules)) if heavy & set(sys.modules) else 0)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_reader_that_stops_is_no_error(file: Path) -> None:
    file.write_text(TEXT * 200)
    command = f"'{sys.executable}' -m ragkit chunk '{file}' --tokenizer words --max-tokens 10 | head -n 1"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, env=os.environ, check=False)
    assert "[1] lines" in done.stdout
    assert "Traceback" not in done.stderr
    assert "BrokenPipe" not in done.stderr


def test_any_text_can_be_printed(run: Run, tmp_path: Path) -> None:
    (tmp_path / "odd.txt").write_bytes(b"bell \x07 and \x1b[31mred\x1b[0m")
    done = run("chunk", "odd.txt", "--tokenizer", "words")
    assert done.returncode == 0
    assert "\x1b" not in done.stdout
    assert (
        json.loads(run("chunk", "odd.txt", "--tokenizer", "words", "--json").stdout)[0]["text"]
        == "bell \x07 and \x1b[31mred\x1b[0m"
    )
