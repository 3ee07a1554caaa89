"""Small to big: children tile their parents, parents are found by offsets, and nothing else is stored."""

from __future__ import annotations

from itertools import groupby, pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragkit import Document, Index
from ragkit.chunk import FixedChunker, MarkdownChunker, Parents, RecursiveChunker, Situate, parents
from ragkit.errors import InvalidInputError
from ragkit.testing.embedders import HashEmbedder
from ragkit.testing.texts import pathological
from ragkit.text import resolve_tokenizer

TEXTS = pathological(3_000)
PROSE = Document(pathological(30_000)["prose with blank ends"], id="prose")
CHUNKER = RecursiveChunker(32, tokenizer="words")


@pytest.mark.parametrize("name", TEXTS)
@pytest.mark.parametrize("tokenizer", ["words", "cl100k_base", None])
def test_children_tile_their_parents_and_no_parent_is_too_large(name: str, tokenizer: Any) -> None:
    counter = resolve_tokenizer(tokenizer)
    document = Document(TEXTS[name], id="d")
    plain = RecursiveChunker(24, tokenizer=counter, reserve=0)
    chunks = (plain | Parents((256, 80)))(document)
    assert [(c.start, c.end, c.text, c.n_tokens) for c in chunks] == [
        (c.start, c.end, c.text, c.n_tokens) for c in plain(document)
    ]
    for level, size in enumerate((256, 80)):
        held = [(key, list(group)) for key, group in groupby(chunks, lambda c: c.metadata["parents"][level]["id"])]  # noqa: B023
        assert len({key for key, _ in held}) == len(held)
        for _, children in held:
            entry = children[0].metadata["parents"][level]
            assert (entry["start"], entry["end"]) == (children[0].start, children[-1].end)
            assert all(a.end == b.start for a, b in pairwise(children))
            assert counter.count_batch([document.text[entry["start"] : entry["end"]]]) == [entry["n_tokens"]]
            assert entry["n_tokens"] <= size
    nested = {(c.metadata["parents"][1]["id"], c.metadata["parents"][0]["id"]) for c in chunks}
    assert len(nested) == len({inner for inner, _ in nested}), "a parent lies in two larger ones"


def test_parents_as_chunks_rebuild_the_document() -> None:
    chunks = (CHUNKER | Parents((512, 128)))(PROSE)
    for level, size in ((0, 512), (1, 128), (-1, 128)):
        found = parents(chunks, PROSE, level=level)
        assert "".join(chunk.text for chunk in found) == PROSE.text
        assert [chunk.index for chunk in found] == list(range(len(found)))
        assert max(chunk.n_tokens for chunk in found) <= size
        assert len(found) < len(chunks) / 2
    nearest = parents(chunks, PROSE)
    assert parents(nearest, PROSE) == parents(chunks, PROSE, level=0)


def test_parents_end_at_strong_boundaries() -> None:
    text = "".join(f"# Head {n}\n\n" + "Some words of it. " * 6 + "\n\n" + "More words here. " * 7 + "\n\n" for n in range(6))
    chunks = (MarkdownChunker((1, 16), tokenizer="words") | Parents(((40, 70),)))(Document(text))
    assert all(parent.text.startswith("# Head") for parent in parents(chunks, Document(text)))


def test_hits_lead_to_passages_through_an_index(tmp_path: Path) -> None:
    with Index(tmp_path / "kb.lance", chunker=CHUNKER | Parents((256,)), embedder=HashEmbedder()) as index:
        index.add([PROSE, Document("Another short text about bridges.", id="other", metadata={"title": "B"})])
        hits = [hit.chunk for hit in index.search("bridge history question", k=8)]
        found = parents(hits, index.chunks_of)
        assert found == parents(
            hits,
            {"prose": PROSE, "other": Document("Another short text about bridges.", id="other", metadata={"title": "B"})}.get,
        )
        assert len(found) <= len(hits)
        for parent in found:
            assert any(parent.start <= hit.start and hit.end <= parent.end and hit.text in parent.text for hit in hits)
        assert index.add([PROSE]).unchanged == 1
    with Index(tmp_path / "kb.lance", embedder=HashEmbedder()) as again:
        assert again.chunker.recipe == (CHUNKER | Parents((256,))).recipe


def test_with_overlap_parents_cover_their_children() -> None:
    chunks = (FixedChunker(20, overlap=5, tokenizer="words") | Parents((100,)))(PROSE)
    found = {parent.id: parent for parent in parents(chunks, PROSE)}
    assert all(chunk.text in found[chunk.metadata["parents"][0]["id"]].text for chunk in chunks)


def test_parents_stand_beside_context() -> None:
    document = Document("# Top\n\n" + "Words of a text. " * 60, id="d")
    chunks = (MarkdownChunker(40, tokenizer="words") | Parents((120,)) | Situate(max_tokens=8))(document)
    assert all(chunk.context and chunk.metadata["parents"] for chunk in chunks)


@given(text=st.text(max_size=200), sizes=st.sets(st.integers(6, 60), min_size=1, max_size=3), overlap=st.integers(0, 4))
def test_parents_of_anything(text: str, sizes: set[int], overlap: int) -> None:
    document = Document(text, id="d")
    chunks = (FixedChunker(6, overlap=overlap, tokenizer="characters") | Parents(tuple(sizes)))(document)
    for level in range(len(sizes)):
        reach = 0
        for parent in parents(chunks, document, level=level):
            assert parent.start <= reach < parent.end
            reach = parent.end
        assert reach == (len(text) if chunks else 0)


def test_ids_of_parents_are_the_same_every_time() -> None:
    first, again = ((CHUNKER | Parents((512, 128)))(PROSE) for _ in range(2))
    assert [c.metadata for c in first] == [c.metadata for c in again]
    ids = [parent.id for level in (0, 1) for parent in parents(first, PROSE, level=level)]
    assert len(set(ids)) == len(ids)
    other = (CHUNKER | Parents((512, 128)))(Document(PROSE.text, id="other"))
    assert not {c.metadata["parents"][0]["id"] for c in other} & set(ids)


@pytest.mark.parametrize("sizes", [(), 5, (0,), (8, 8), ((3, 8), 8), ("9",), None])
def test_sizes_that_cannot_be(sizes: Any) -> None:
    with pytest.raises(InvalidInputError, match="size"):
        Parents(sizes)


def test_what_is_asked_wrongly() -> None:
    with pytest.raises(InvalidInputError, match="a parent at most 8"):
        (CHUNKER | Parents((8,)))(PROSE)
    with pytest.raises(InvalidInputError, match="has 0 parents"):
        parents(CHUNKER(PROSE), PROSE)
    with pytest.raises(InvalidInputError, match="no slice of the text"):
        parents((CHUNKER | Parents((64,)))(PROSE), Document("other", id="prose"))
