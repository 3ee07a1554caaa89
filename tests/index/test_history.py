"""Versions: search at one, go back to one, and what a clean-up keeps."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from ragkit import Document, Index
from ragkit.errors import InvalidInputError, StoreError
from ragkit.store import versions as store_versions
from ragkit.testing.embedders import HashEmbedder

FIRST = [Document(f"harbour {n} is open", id=f"d{n}", metadata={"n": n}) for n in range(6)]


def answers(index: Index) -> list[Any]:
    """Hits of every mode, with every score: equal only when chunks, vectors and the statistics of words are."""
    return [
        (hit.chunk, hit.score, dict(hit.parts))
        for mode in ("dense", "bm25", "hybrid")
        for hit in index.search("harbour 3 closed", k=20, mode=mode)
    ]


def change(index: Index) -> None:
    """Replace, delete and add."""
    index.add([Document("harbour 3 is closed", id="d3"), Document("a lighthouse, closed", id="d9")])
    index.delete(["d0", "d1"])
    index.optimize()


def test_at_a_version_everything_is_of_that_version(index: Index) -> None:
    index.add(FIRST)
    before, then, counts = answers(index), index.history.versions()[-1], index.stats()
    change(index)
    assert answers(index) != before
    with index.at(then.number) as old:
        assert answers(old) == before
        assert old.stats().version == then.number
        assert (old.stats().documents, old.stats().chunks) == (counts.documents, counts.chunks)
        assert old.document_ids() == [one.id for one in FIRST]
        assert "open" in old.chunks_of("d3")[0].text
        assert [hit.chunk.doc_id for hit in old.search("harbour", where={"n": {"$lt": 1}})] == ["d0"]
    assert index.stats().documents == 5


def test_restore_is_one_more_version(index: Index, tmp_path: Path) -> None:
    index.add(FIRST)
    before = answers(index)
    index.history.tag("good")
    change(index)
    after, last = answers(index), index.history.versions()[-1].number
    other = Index(tmp_path / "kb", embedder=HashEmbedder())
    assert answers(other) == after
    number = index.history.restore("good")
    assert number > last
    assert answers(index) == answers(other) == answers(Index(tmp_path / "kb", embedder=HashEmbedder())) == before
    # The way back is open too, and writing goes on.
    other.history.restore(last)
    assert answers(index) == after
    assert index.add(FIRST).added == 2


def test_versions_tell_time_chunks_and_tags(index: Index) -> None:
    begun = datetime.now(UTC)
    index.add(FIRST)
    index.history.tag("six")
    index.delete("d0")
    found = index.history.versions()
    assert [one.number for one in found] == sorted(one.number for one in found)
    assert all(abs(one.time - begun) < timedelta(minutes=5) for one in found)
    (six,) = [one for one in found if one.tags]
    assert (six.tags, six.chunks, found[-1].chunks) == (("six",), 6, 5)
    index.history.untag("six")
    assert not [one for one in index.history.versions() if one.tags]


def test_a_version_is_read_only(index: Index) -> None:
    index.add(FIRST)
    old = index.at(index.stats().version)
    for act in (
        lambda: old.add([Document("new")]), lambda: old.delete("d0"), old.optimize, lambda: old.history.restore(1), lambda: old.history.tag("a"),
    ):  # fmt: skip
        with pytest.raises(StoreError, match="for reading only"):
            act()
    assert index.stats().documents == 6


@pytest.mark.parametrize(
    ("version", "error"), [(999, StoreError), ("nope", StoreError), (None, InvalidInputError), (True, InvalidInputError)]
)
def test_versions_that_are_not_there(index: Index, version: Any, error: type[Exception]) -> None:
    index.add(FIRST)
    with pytest.raises(error, match=r"version|tag"):
        index.at(version)
    with pytest.raises(error, match=r"version|tag"):
        index.history.restore(version)


@pytest.mark.parametrize("name", ["", "a b", "7", "é", "x/y", None])
def test_names_that_are_none(index: Index, name: Any) -> None:
    index.add(FIRST)
    with pytest.raises(InvalidInputError, match="tag"):
        index.history.tag(name)
    index.history.tag("once")
    with pytest.raises(InvalidInputError, match="once"):
        index.history.tag("once")
    with pytest.raises(InvalidInputError, match="twice"):
        index.history.untag("twice")


def test_clean_up_drops_old_versions_and_keeps_tags(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    """The day is a moment here: what it keeps, it keeps for being tagged."""
    monkeypatch.setattr(store_versions, "KEEP", timedelta(0))
    monkeypatch.setattr(store_versions, "_MARGIN", timedelta(0))
    index.add(FIRST[:3])
    index.add(FIRST[3:])
    before = answers(index)
    index.history.tag("kept")
    dropped = index.history.versions()[0].number
    change(index)
    names = [one.tags for one in index.history.versions() if one.tags]
    assert names == [("kept",)]
    assert index.history.versions()[0].number > dropped
    with pytest.raises(StoreError, match="no longer"):
        index.at(dropped)
    assert answers(index.at("kept")) == before
    index.history.untag("kept")
    index.optimize()
    assert len(index.history.versions()) <= 2


def test_restoring_across_a_declared_column(index: Index, tmp_path: Path) -> None:
    """A version from before a column was declared has none, and filters read the metadata again."""
    index.add(FIRST)
    version = index.stats().version
    typed = Index(tmp_path / "kb", embedder=HashEmbedder(), columns={"n": int})
    typed.add([Document("harbour 7", id="d7", metadata={"n": 7})])
    where = {"n": {"$gte": 5}}
    assert {hit.chunk.doc_id for hit in typed.search("harbour", where=where)} == {"d5", "d7"}
    assert {hit.chunk.doc_id for hit in index.at(version).search("harbour", where=where)} == {"d5"}
    typed.history.restore(version)
    for one in (index, typed):
        assert one.columns == ()
        assert {hit.chunk.doc_id for hit in one.search("harbour", where=where)} == {"d5"}
        one.add([Document("harbour 8", id="d8", metadata={"n": "eight"})])


def test_a_value_of_another_type_costs_no_embedding(tmp_path: Path) -> None:
    """And what came before it in the same call is as it was: the error says what is stored."""
    with Index(tmp_path / "typed", embedder=HashEmbedder(), columns={"n": int}) as typed:
        with pytest.raises(InvalidInputError, match=r"'odd' has 'three' \(str\) under 'n'.*declared int") as caught:
            typed.add([FIRST[0], Document("odd one", id="odd", metadata={"n": "three"})])
        assert "0 documents of this call were stored" in str(caught.value.__notes__)
        assert typed.document_ids() == []
        assert [(column.key, column.type) for column in Index(tmp_path / "typed", embedder=HashEmbedder()).columns] == [
            ("n", "int")
        ]
