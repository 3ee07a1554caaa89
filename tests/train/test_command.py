"""``ragkit train context`` on files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from ragkit.cli.app import app
from ragkit.embed import load_adapter
from ragkit.train import Label
from ragkit.types import Document

Secret = tuple[list[Document], list[Label]]


@pytest.mark.usefixtures("files")
def test_train_then_read_what_was_written(tiny_model: Path):
    call = [
        "train",
        "context",
        "docs",
        "--questions",
        "q.jsonl",
        "--max-tokens",
        "30-40",
        "--model",
        str(tiny_model),
        "--folds",
        "2",
    ]
    done = CliRunner().invoke(app, [*call, "--out", "a.safetensors", "--json", "--force", "--cache", "v.sqlite"])
    assert done.exit_code == 0, done.output
    report = json.loads(done.stdout)
    assert report["questions"] == 48
    assert report["adapter"] == load_adapter("a.safetensors").digest
    assert report["won"] == ("wins" in report["verdict"])
    assert "from_recipe(adapter.chunker)" in done.stderr
    held = load_adapter("a.safetensors")
    assert held.about["differences"] == report["differences"]
    assert held.chunker == report["chunker"]
    # Asked for more than there is, it keeps plain and says so.
    kept = CliRunner().invoke(app, [*call, "--out", "no.safetensors", "--cache", "v.sqlite", "--min-gain", "1.5"])
    assert kept.exit_code == 1
    assert "Keep the plain model" in kept.stderr
    assert "gain in points" in kept.stdout
    assert not Path("no.safetensors").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--out", "a.safetensors"], "give --questions FILE"),
        (["--out", "a.safetensors", "--questions", "q.jsonl", "--by-rule"], "one of them"),
        (["--out", "a.bin", "--by-rule"], "does not end in .safetensors"),
        (["--out", "none/a.safetensors", "--by-rule"], "does not exist"),
    ],
)
def test_wrong_usage(files: Path, options: list[str], message: str):
    done = CliRunner().invoke(app, ["train", "context", "docs", *options], env={"COLUMNS": "200"})
    assert done.exit_code == 2
    assert message in " ".join(done.stderr.replace("│", " ").split())
