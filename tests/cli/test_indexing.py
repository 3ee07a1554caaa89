"""``ragkit index`` a second time: the database's own settings, what would change, what is gone; its versions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from ragkit import Document, Index
from ragkit.chunk import Engine, FixedChunker, Late, Pipeline, SentenceChunker, Situate
from ragkit.cli.app import app
from ragkit.cli.choices import ChunkerName, ContextName
from ragkit.cli.settings import choose_chunker
from ragkit.embed import Adapter, Shares, TransformerEmbedder
from ragkit.errors import InvalidInputError

NOTHING: dict[str, Any] = {"name": None, "max_tokens": None, "overlap": None, "context": None}
BEST = SentenceChunker((60, 90), overlap=5, tokenizer="words", packing="best")
ONE = SentenceChunker(90, tokenizer="words", packing="one")


@pytest.mark.parametrize(
    ("old", "given", "new"),
    [
        (BEST | Situate(before=1), {}, BEST | Situate(before=1)),
        (BEST | Late(), {"overlap": 3}, SentenceChunker((60, 90), overlap=3, tokenizer="words", packing="best") | Late()),
        (BEST | Situate(before=0), {"context": ContextName.none}, BEST),
        (BEST, {"context": ContextName.late}, BEST | Late()),
        (ONE, {"max_tokens": 60, "name": ChunkerName.landmarks}, SentenceChunker(60, tokenizer="words", packing="one")),
        (ONE, {"name": ChunkerName.sentence}, SentenceChunker(90)),
        (BEST | Late(), {"name": ChunkerName.fixed}, FixedChunker((60, 90), overlap=5, tokenizer="words") | Late()),
        (BEST | Late(), {"name": ChunkerName.fixed, "context": ContextName.none}, FixedChunker(256, tokenizer="words")),
    ],
)
def test_what_is_not_given_stays_as_it_was(old: Engine | Pipeline, given: dict[str, Any], new: Engine | Pipeline) -> None:
    def without_tokenizer(recipe: str) -> Any:
        found = json.loads(recipe)
        found.get("first", found).pop("tokenizer")
        return found

    chosen = choose_chunker(old.recipe, **(NOTHING | given))
    assert without_tokenizer(chosen.recipe) == without_tokenizer(new.recipe)


def test_a_chunker_of_somebody_else_is_refused_with_the_remedy() -> None:
    recipe = '{"chunker":"mine"}'
    with pytest.raises(InvalidInputError, match="both --chunker and --context"):
        choose_chunker(recipe, **(NOTHING | {"max_tokens": 30}))
    chosen = choose_chunker(recipe, **(NOTHING | {"name": ChunkerName.fixed, "context": ContextName.none}))
    assert isinstance(chosen, FixedChunker)


def call(*arguments: str) -> Result:
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.output
    return done


def seen(*arguments: str) -> Any:
    return json.loads(call(*arguments, "--json").stdout)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in ("a.txt", "b.txt", "sub/c.txt"):
        (tmp_path / "docs" / name).parent.mkdir(exist_ok=True, parents=True)
        (tmp_path / "docs" / name).write_text(f"Cats sleep in {name}. Dogs do not.\n")
    return tmp_path


def test_a_database_from_its_first_day_to_its_restoration(place: Path) -> None:
    """One story, because loading the model takes most of its time."""
    made = seen("index", "docs", "--db", "kb", "--context", "title", "--max-tokens", "100")
    assert made["added"] == 3
    with Index("kb") as index:
        recipe, version = index.stats().chunker, index.stats().version
        assert index.chunks_of("docs/a.txt")[0].context
        index.add(
            [Document("From an API.", id="docs/api"), Document("Another.", id="docs/gone.txt", metadata={"source": "elsewhere"})]
        )
    before = {path: path.stat().st_mtime_ns for path in place.joinpath("kb").rglob("*")}

    (place / "docs/b.txt").write_text("Birds sing. " * 40)
    (place / "docs/sub/c.txt").unlink()
    (place / "docs/new.txt").write_text("New.")
    would = seen("index", "docs", "--db", "kb", "--prune", "--dry-run")
    assert {what: would[what] for what in ("added", "replaced", "removed", "unchanged")} == {
        "added": ["docs/new.txt"], "replaced": ["docs/b.txt"], "removed": ["docs/sub/c.txt"], "unchanged": ["docs/a.txt"],
    }  # fmt: skip
    lines = call("index", "docs", "--db", "kb", "--dry-run").stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["replaced", "added"]
    assert {path: path.stat().st_mtime_ns for path in place.joinpath("kb").rglob("*")} == before
    # Without --prune nothing goes, and a folder that is not named keeps its documents.
    assert seen("index", "docs/sub", "--db", "kb", "--dry-run")["removed"] == []

    did = seen("index", "docs", "--db", "kb", "--prune")
    assert [did[what] for what in ("added", "replaced", "removed", "unchanged")] == [1, 1, 1, 1]
    assert did["chunks"] == would["chunks"]
    with Index("kb") as index:
        assert index.stats().chunker == recipe
        assert index.document_ids() == ["docs/a.txt", "docs/api", "docs/b.txt", "docs/gone.txt", "docs/new.txt"]

    found = seen("history", "--db", "kb", "--tag", "pruned")
    assert [one["tags"] for one in found][-1] == ["pruned"]
    assert f"{version:>7}  " in call("history", "--db", "kb").stdout
    call("restore", "--db", "kb", "--version", str(version))
    assert len(Index("kb").document_ids()) == 3
    assert seen("restore", "--db", "kb", "--version", "pruned")["restored"] == "pruned"
    assert len(Index("kb").document_ids()) == 5
    failed = CliRunner().invoke(app, ["restore", "--db", "kb", "--version", "nope"])
    assert (failed.exit_code, "no tag 'nope'" in failed.stderr) == (1, True)

    for file in ("a.txt", "b.txt", "new.txt"):
        (place / "docs" / file).unlink()
    refused = CliRunner().invoke(app, ["index", "docs", "--db", "kb", "--prune"])
    assert (refused.exit_code, "would remove all 3" in refused.stderr) == (1, True)


def test_an_adapter_makes_a_database_and_finds_it_again(place: Path) -> None:
    base = TransformerEmbedder()
    identity = np.eye(base.card.dim, dtype=np.float32)
    adapter = Adapter(
        shares=Shares(),
        documents=identity,
        queries=identity,
        base=base.card,
        chunker=FixedChunker(40, tokenizer="words").recipe,
    )
    adapter.save(place / "it.safetensors")
    made = seen("index", "docs", "--db", "kb", "--adapter", "it.safetensors")
    assert made["added"] == 3
    with Index("kb") as index:
        assert index.card.settings["adapter"] == adapter.digest
        assert json.loads(index.stats().chunker)["chunker"] == "fixed"
    assert seen("index", "docs", "--db", "kb")["unchanged"] == 3
    other = CliRunner().invoke(app, ["index", "docs", "--db", "kb", "--model", "all-MiniLM-L6-v2"])
    assert (other.exit_code, "adapter" in other.stderr) == (1, True)
