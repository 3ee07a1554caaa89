"""One sentence per chunk."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ragkit import Document
from ragkit.chunk import SentenceChunker, from_recipe

TEXT = "First one here. Second one there!  \n\nThird. \n- item one\n- item two\n\n   \n\nLast " + "word " * 45 + ". End. \n"


def test_every_sentence_alone() -> None:
    chunks = SentenceChunker(20, tokenizer="words", packing="one")(Document(TEXT))
    assert [chunk.text.split()[0] for chunk in chunks] == ["First", "Second", "Third.", "-", "-", "Last", "word", "word", "End."]


@given(st.lists(st.sampled_from(["A cat. ", "It sat!\n", "\n\n", "  ", "Why? ", "- tea\n", "猫。", "\t"]), max_size=12))
def test_no_chunk_is_blank_and_none_holds_two_sentences(parts: list[str]) -> None:
    chunker = SentenceChunker(50, tokenizer="characters", packing="one")
    text = "".join(parts)
    chunks = chunker(Document(text, id="a"))
    assert "".join(chunk.text for chunk in chunks) == ("" if text.isspace() else text)
    assert all(not chunk.text.isspace() for chunk in chunks)
    assert len(chunks) == sum(not part.isspace() for part in parts)
    assert chunks == list(chunker.stream_text(parts, id="a"))
    assert from_recipe(chunker.recipe).bind(chunker.counter)(Document(text, id="a")) == chunks
