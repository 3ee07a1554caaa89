"""``ragkit move``: where a database stands, and what may be dropped; the moving itself is tested in tests/index."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from ragkit import Document, Index
from ragkit.cli.app import app
from ragkit.index import move
from ragkit.testing.embedders import HashEmbedder


def run(*arguments: str) -> object:
    return CliRunner().invoke(app, ["move", *arguments])


def test_status_drop_and_give_up(tmp_path: Path) -> None:
    class Stopped(HashEmbedder):
        def embed_batch(self, items, /):  # type: ignore[no-untyped-def]
            raise KeyboardInterrupt

    db = str(tmp_path / "kb")
    with Index(db, embedder=HashEmbedder(name="old")) as index:
        index.add([Document("Cats sleep most of the day."), Document("Trains leave at seven.")])
    move(db, HashEmbedder(name="new"))
    told = json.loads(run("--db", db, "--status", "--json").stdout)  # type: ignore[attr-defined]
    assert told == {"db": db, "model": "new", "target": None, "waiting": 0, "kept": ["old"]}
    assert json.loads(run("--db", db, "--drop-old", "--json").stdout)["dropped"] == 1  # type: ignore[attr-defined]
    with pytest.raises(KeyboardInterrupt):
        move(db, Stopped(name="third"))
    assert "on the way to 'third', 2 chunks wait" in run("--db", db, "--status").output  # type: ignore[attr-defined]
    assert json.loads(run("--db", db, "--give-up", "--json").stdout)["given_up"] is True  # type: ignore[attr-defined]
    for wrong in ([], ["--status", "--give-up"]):
        assert run("--db", db, *wrong).exit_code == 2  # type: ignore[attr-defined]
