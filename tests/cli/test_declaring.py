"""``ragkit index --column``: from the command line to a typed column."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from ragkit import Index
from ragkit.cli.app import app
from ragkit.cli.declaring import parse_columns
from ragkit.errors import InvalidInputError
from ragkit.store import Column


def test_texts_become_columns() -> None:
    assert parse_columns(None) == ()
    assert parse_columns(["year:int", "tags:list[str]", "dc:date:time?"]) == (
        Column("year", int),
        Column("tags", "list[str]"),
        Column("dc:date", "time", wrong="null"),
    )
    assert parse_columns(["published:datetime?"]) == parse_columns(["published:time?"])


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (["year"], r"'year'; give a metadata key and its type"),
        ([":int"], "give a metadata key"),
        (["year:integer"], "declared as 'integer'; allowed are bool, int"),
        (["year:"], "declared as ''"),
        (["doc_id:str"], "ragkit's own"),
        (["year:int", "year:str"], "declare a key twice"),
    ],
)
def test_what_is_no_column(given: list[str], told: str) -> None:
    with pytest.raises(InvalidInputError, match=told):
        parse_columns(given)


def test_files_are_filtered_by_a_declared_column(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs/a.txt").write_text("Cats sleep.\n")
    (tmp_path / "docs/b.md").write_text("# Cats\n\nThey sleep.\n")

    def run(*columns: str) -> tuple[int, str]:
        done = CliRunner().invoke(app, ["index", "docs", "--db", "kb", *(word for one in columns for word in ("--column", one))])
        return done.exit_code, done.stderr

    assert run("media_type:str", "pages:int?")[0] == 0
    with Index("kb") as index:
        assert index.columns == (Column("media_type", str), Column("pages", int, wrong="null"))
        assert [hit.chunk.doc_id for hit in index.search("cats", mode="bm25", where={"media_type": "text/plain"})] == [
            "docs/a.txt"
        ]
    code, told = run("media_type:int")
    assert code == 1
    assert "has 'media_type' declared str, and int was given" in told
    code, told = run("title:int")
    assert code == 1
    assert "declared int" in told
    assert run()[0] == 0
