"""A text that arrives in pieces: the chunks of the whole text, in memory that does not grow with it."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragkit import Document
from ragkit.chunk import (
    AutoChunker,
    CodeChunker,
    Engine,
    FixedChunker,
    HtmlChunker,
    JsonChunker,
    MarkdownChunker,
    RecursiveChunker,
    SemanticChunker,
    SentenceChunker,
    TableChunker,
    engine,
)
from ragkit.errors import CapabilityError, ChunkLimitError, InvalidInputError
from ragkit.testing.embedders import HashEmbedder
from ragkit.testing.laws import check_chunks
from ragkit.testing.texts import pathological
from ragkit.text import resolve_tokenizer

LOCAL: list[Callable[..., Engine]] = [
    FixedChunker,
    SentenceChunker,
    partial(SentenceChunker, packing="best"),
    RecursiveChunker,
    partial(RecursiveChunker, separators=["paragraph", ". ", "e"]),
    TableChunker,
]
TOKENIZERS = {name: resolve_tokenizer(name) for name in ("words", "characters", "cl100k_base")} | {
    "minilm": resolve_tokenizer(None),
    "function": resolve_tokenizer(lambda text: len(text) // 3 + (len(text) // 50) ** 2 // 40 + text.count("e") % 2),
}
#: Windows so small that a short text has many of them.
SMALL = partial(patch.multiple, engine, _WINDOW=200, _AHEAD=12, _WIDE=1)

parts = st.lists(
    st.one_of(
        st.sampled_from(["word ", "Words. ", "\n", "\n\n", "\r", "\n", "。", "👩🏾‍🚀", "e\u0301", "a,b\n", '"x\ny",', "\ud800", "\ude00", " " * 40, "z" * 90]),
        st.text(st.characters(exclude_categories=()), max_size=12),
    ),
    max_size=150,
)  # fmt: skip


@given(
    pieces=parts,
    kind=st.sampled_from(LOCAL),
    tokenizer=st.sampled_from(sorted(TOKENIZERS)),
    limit=st.integers(4, 24),
    overlap=st.integers(0, 3),
    small=st.booleans(),
)
def test_every_cutting_gives_the_chunks_of_the_whole(
    pieces: list[str], kind: Callable[..., Engine], tokenizer: str, limit: int, overlap: int, small: bool
) -> None:
    text, counter = "".join(pieces), TOKENIZERS[tokenizer]
    with SMALL() if small else patch.multiple(engine, _WINDOW=512_000):
        chunker = kind(limit, overlap=overlap, tokenizer=counter, reserve=0)
        document = Document(text, id="d", metadata={"n": [1]})
        try:
            whole = chunker(document)
        except ChunkLimitError:
            with pytest.raises(ChunkLimitError):
                list(chunker.stream_text(pieces, id="d"))
            return
        assert list(chunker.stream_text(pieces, id="d", metadata={"n": [1]})) == whole
        assert list(chunker.stream_text(iter(text), id="d", metadata={"n": [1]})) == whole
        assert check_chunks(document, whole, counter.count_batch, limit=limit, overlap=overlap) == []


@pytest.mark.parametrize("name", pathological(100))
@pytest.mark.parametrize("kind", LOCAL)
def test_laws_across_windows(name: str, kind: Callable[..., Engine]) -> None:
    text = pathological(1_500)[name]
    with SMALL():
        for tokenizer, overlap in (("cl100k_base", 0), ("minilm", 6)):
            counter = TOKENIZERS[tokenizer]
            chunker = kind(24, overlap=overlap, tokenizer=counter, reserve=0)
            document = Document(text, id="d")
            chunks = chunker(document)
            assert check_chunks(document, chunks, counter.count_batch, limit=24, overlap=overlap) == []
            assert list(chunker.stream_text([text[at : at + 7] for at in range(0, len(text), 7)], id="d")) == chunks


@pytest.mark.parametrize("kind", [FixedChunker, SentenceChunker, RecursiveChunker])
def test_windows_hardly_show(kind: type[Engine]) -> None:
    """Where a window ends nothing is forced: the chunks are those of one large window."""
    text = pathological(60_000)["prose with blank ends"]
    whole = [chunk.text for chunk in kind(40, tokenizer="words")(Document(text))]
    with patch.multiple(engine, _WINDOW=6_000, _AHEAD=1_000, _WIDE=1):
        assert [chunk.text for chunk in kind(40, tokenizer="words")(Document(text))] == whole


def test_the_header_reaches_every_window() -> None:
    text = "name;price\n" + "".join(f"part {at};{at},50\n" for at in range(900))
    with SMALL():
        chunks = list(TableChunker(20, tokenizer="words", reserve=0).stream_text([text], id="t"))
    assert {chunk.context for chunk in chunks[1:]} == {"name;price"}
    assert all(chunk.text.endswith("\n") for chunk in chunks)


def test_chunks_come_while_text_arrives() -> None:
    read = 0

    def pieces() -> Iterator[str]:
        nonlocal read
        for _ in range(400):
            read += 1
            yield "A sentence of a few words. " * 400

    stream = RecursiveChunker(100, tokenizer="words").stream_text(pieces(), id="d")
    next(stream)
    assert read < 100


def peak(megabytes: int, kind: Callable[..., Engine]) -> float:
    """The most memory that chunking so long a stream takes, in bytes."""
    block = "A sentence of a few plain words, and another one.\n" * 200
    chunker = kind(400, tokenizer="words")
    tracemalloc.start()
    try:
        count = sum(1 for _ in chunker.stream_text((block for _ in range(megabytes * 100)), id="d"))
        assert count > 400 * megabytes
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_memory_does_not_grow_with_the_text() -> None:
    with patch.multiple(engine, _WINDOW=100_000, _AHEAD=10_000):
        small, large = peak(1, FixedChunker), peak(3, FixedChunker)
    assert large < 1.2 * small
    assert large < 8e6


@pytest.mark.parametrize(
    "chunker",
    [
        MarkdownChunker(),
        HtmlChunker(),
        JsonChunker(),
        CodeChunker(language="python"),
        SemanticChunker(embedder=HashEmbedder()),
    ],
)
def test_what_needs_the_whole_text_says_so(chunker: Engine) -> None:
    with pytest.raises(CapabilityError, match=f"{type(chunker).__name__} needs the whole text.*Put the pieces together"):
        chunker.stream_text(["a"], id="d")


def test_auto_streams_by_type() -> None:
    auto, rows = AutoChunker(8, tokenizer="words"), ["a,b\n", "1,2\n"] * 9
    csv = {"media_type": "text/csv"}
    assert list(auto.stream_text(rows, id="d", metadata=csv)) == auto(Document("".join(rows), id="d", metadata=csv))
    assert list(auto.stream_text(rows, id="d")) == auto(Document("".join(rows), id="d"))
    with pytest.raises(CapabilityError, match="MarkdownChunker"):
        auto.stream_text(rows, id="d", metadata={"media_type": "text/markdown"})


@pytest.mark.parametrize(
    ("pieces", "id", "says"),
    [
        (["a", b"b"], "d", "Piece 1 of the text is bytes, not str"),
        ([None], "d", "Piece 0 of the text is NoneType"),
        ("text", "d", "pieces is a str"),
        (b"text", "d", "pieces is a bytes"),
        (["a"], "", "needs the document's id"),
        (["a"], None, "needs the document's id"),
    ],
)
def test_pieces_that_cannot_be(pieces: Any, id: Any, says: str) -> None:
    with pytest.raises(InvalidInputError, match=says):
        list(FixedChunker(tokenizer="words").stream_text(pieces, id=id))


def test_a_text_that_breaks_off_leaves_a_note() -> None:
    def pieces() -> Iterator[str]:
        yield from ["Some words here. "] * 100
        raise OSError("connection lost")

    with SMALL():
        stream = FixedChunker(8, tokenizer="words").stream_text(pieces(), id="d")
        given = []
        with pytest.raises(OSError, match="connection lost") as caught:
            given += [next(stream) for _ in range(1_000)]
    (note,) = caught.value.__notes__
    assert "after 100 pieces, 1700 characters" in note


def test_blank_texts_in_pieces() -> None:
    assert list(FixedChunker(tokenizer="words").stream_text([], id="d")) == []
    assert list(FixedChunker(tokenizer="words").stream_text(["", " ", "\n"] * 5_000, id="d")) == []
