"""A vocabulary may make one "unknown" token of any long word: within every limit, and worthless as an embedding."""

from __future__ import annotations

import pytest

from ragkit import Document
from ragkit.chunk import Engine, FixedChunker, MarkdownChunker, RecursiveChunker, SentenceChunker
from ragkit.text import resolve_tokenizer

MINILM = resolve_tokenizer(None)
LETTERS = "q" * 12_000


def test_the_vocabulary_takes_it_for_one_token() -> None:
    assert MINILM.count_batch([LETTERS]) == [1]


@pytest.mark.parametrize("kind", [FixedChunker, SentenceChunker, RecursiveChunker, MarkdownChunker])
@pytest.mark.parametrize("around", ["", "Some words before it. "])
def test_a_long_unknown_word_is_cut_as_if_four_characters_were_a_token(kind: type[Engine], around: str) -> None:
    chunks = kind(64, tokenizer=MINILM, reserve=0)(Document(around + LETTERS + around[::-1]))
    assert "".join(chunk.text for chunk in chunks) == around + LETTERS + around[::-1]
    assert max(len(chunk.text) for chunk in chunks) <= 64 * 4 + len(around)
    assert len(chunks) >= len(LETTERS) // (64 * 4)
    # What is promised of n_tokens stays true: it is the vocabulary's own count.
    assert [chunk.n_tokens for chunk in chunks] == MINILM.count_batch([chunk.text for chunk in chunks])


@pytest.mark.parametrize("length", [40, 100])
def test_up_to_a_hundred_characters_a_word_is_a_word(length: int) -> None:
    text = " ".join(["w" * length] * 20)
    (chunk,) = FixedChunker(100 * 20, tokenizer=MINILM, reserve=0)(Document(text))
    assert chunk.text == text


def test_blanks_are_no_unknown_word() -> None:
    text = "one" + " " * 5_000 + "two"
    (chunk,) = FixedChunker(16, tokenizer=MINILM, reserve=0)(Document(text))
    assert chunk.n_tokens == 2
