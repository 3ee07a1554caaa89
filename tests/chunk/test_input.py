"""Bad input: every error names the value and the remedy; and what the chunkers promise about settings."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

from ragkit import Document, RagkitError
from ragkit.chunk import (
    FixedChunker,
    HtmlChunker,
    MarkdownChunker,
    RecursiveChunker,
    SentenceChunker,
    Situate,
    TableChunker,
    from_recipe,
)
from ragkit.errors import ChunkLimitError, InvalidInputError, ModelNotFoundError
from ragkit.text import resolve_tokenizer


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"max_tokens": 0}, "max_tokens is 0"),
        ({"max_tokens": -3}, "max_tokens is -3"),
        ({"max_tokens": 2.5}, "max_tokens is 2.5"),
        ({"max_tokens": True}, "max_tokens is True"),
        ({"overlap": -1}, "overlap is -1"),
        ({"reserve": -1}, "reserve is -1"),
        ({"reserve": True}, "reserve is True"),
        ({"tokenizer": 42}, "42 is no tokenizer"),
    ],
)
def test_settings_that_cannot_be(settings: dict[str, Any], says: str) -> None:
    with pytest.raises(InvalidInputError, match=says):
        RecursiveChunker(**settings)


@pytest.mark.parametrize("settings", [{"overlap": 10}, {"overlap": 99}, {"reserve": 10}])
def test_settings_that_leave_no_room(settings: dict[str, Any]) -> None:
    with pytest.raises(InvalidInputError, match=r"must be smaller|no room"):
        FixedChunker(10, tokenizer="words", **settings)(Document("some text"))


@pytest.mark.parametrize("thing", [None, b"bytes", "text", 3])
def test_only_documents_are_chunked(thing: Any) -> None:
    with pytest.raises(InvalidInputError, match="takes a Document"):
        FixedChunker(tokenizer="words")(thing)


@pytest.mark.parametrize("thing", [b"bytes", None, 3])
def test_documents_hold_text(thing: Any) -> None:
    with pytest.raises(InvalidInputError, match="not str"):
        Document(thing)


@pytest.mark.parametrize("metadata", [{"a": float("nan")}, {1: "a"}, {"a": {1, 2}}, {"a": [{"b": object()}]}, [1]])
def test_documents_hold_json(metadata: Any) -> None:
    with pytest.raises(InvalidInputError, match="metadata"):
        Document("text", metadata=metadata)


@pytest.mark.parametrize("overlap", [5, 6, 99])
@pytest.mark.parametrize("kind", [FixedChunker, SentenceChunker, RecursiveChunker, MarkdownChunker, TableChunker])
def test_an_overlap_as_large_as_a_chunk(kind: Any, overlap: int) -> None:
    with pytest.raises(InvalidInputError, match=f"overlap is {overlap} and a chunk holds at most 5 tokens.*Lower overlap"):
        kind(5, overlap=overlap, tokenizer="words")(Document("some text"))
    with pytest.raises(InvalidInputError, match=f"overlap is {overlap}"):
        list(FixedChunker((2, 5), overlap=overlap, tokenizer="words").stream_text(["some text"], id="d"))


@pytest.mark.parametrize("value", [1.5, "3", None, True])
def test_overlaps_that_are_no_number(value: Any) -> None:
    with pytest.raises(InvalidInputError, match=r"overlap is .*whole number"):
        FixedChunker(9, overlap=value)


class NotAdditive:
    """Every text costs one token more than its words: counts do not add up."""

    name = "not additive"
    n_special = 0

    def count_batch(self, texts: Any, /) -> list[int]:
        return [len(text.split()) + 1 for text in texts]

    def starts_batch(self, texts: Any, /) -> list[Any]:
        return resolve_tokenizer("words").starts_batch(texts)

    def additive_at(self, text: str, position: int, /) -> bool:
        return False


class WithoutOffsets:
    """It counts, and cannot say where tokens start."""

    name = "counts only"
    n_special = 0

    def count_batch(self, texts: Any, /) -> list[int]:
        return [len(text) for text in texts]


def test_a_tokenizer_that_is_not_additive_keeps_the_limit() -> None:
    text = "some words in a row, and more of them. " * 20
    chunks = RecursiveChunker(7, tokenizer=NotAdditive())(Document(text))
    assert "".join(chunk.text for chunk in chunks) == text
    assert NotAdditive().count_batch([chunk.text for chunk in chunks]) == [chunk.n_tokens for chunk in chunks]
    assert max(chunk.n_tokens for chunk in chunks) <= 7


def test_a_tokenizer_without_offsets() -> None:
    """As an object it is refused; its count alone is enough."""
    with pytest.raises(InvalidInputError, match=r"is no tokenizer.*function from text to its token count"):
        FixedChunker(8, tokenizer=WithoutOffsets())
    chunks = FixedChunker(8, tokenizer=lambda text: WithoutOffsets().count_batch([text])[0])(Document("some words in a row"))
    assert max(len(chunk.text) for chunk in chunks) <= 8


@pytest.mark.parametrize("name", ["cl200k_base", "no-such", "", "gpt-9"])
def test_unknown_encodings_say_what_is_allowed(name: str) -> None:
    with pytest.raises(RagkitError, match=r"cl100k_base.*the path of a tokenizer\.json"):
        RecursiveChunker(tokenizer=name)


def test_unknown_names_never_reach_for_the_network() -> None:
    with pytest.raises(ModelNotFoundError, match="no-such-model"):
        RecursiveChunker(tokenizer="no-such-model")
    with pytest.raises(ModelNotFoundError, match="downloads nothing unasked"):
        resolve_tokenizer("p50k_edit")


@pytest.mark.parametrize(
    "function", [lambda text: -1, lambda text: None, lambda text: 1.5, lambda text: "x" and True, lambda text: {"input_ids": [1]}]
)
def test_a_function_that_does_not_count(function: Any) -> None:
    with pytest.raises(InvalidInputError, match="must return a count"):
        FixedChunker(5, tokenizer=function)(Document("some text"))


def test_a_function_may_return_its_tokens() -> None:
    chunks = FixedChunker(2, tokenizer=str.split)(Document("a b c d e"))
    assert [chunk.text for chunk in chunks] == ["a b", " c d", " e"]


def test_a_function_may_return_a_number_of_another_library() -> None:
    assert [chunk.text for chunk in FixedChunker(3, tokenizer=lambda text: np.int64(len(text)))(Document("abcdef"))] == [
        "abc",
        "def",
    ]


@pytest.mark.parametrize("thing", [None, 5, Document("text")])
@pytest.mark.parametrize("chunker", [FixedChunker(5, tokenizer="words"), FixedChunker(90, tokenizer="words") | Situate()])
def test_what_cannot_be_gone_through(chunker: Any, thing: Any) -> None:
    with pytest.raises(InvalidInputError, match="iterable of Documents"):
        chunker.stream(thing)


def test_a_text_in_no_pieces() -> None:
    with pytest.raises(InvalidInputError, match="iterable of str"):
        FixedChunker(5, tokenizer="words").stream_text(None, id="d")  # type: ignore[arg-type]


def test_one_character_beyond_the_limit() -> None:
    with pytest.raises(ChunkLimitError, match="'b' at offset 1 has 9 tokens"):
        FixedChunker(5, tokenizer=lambda text: 9 * text.count("b"))(Document("abc"))


def test_a_generator_that_raises_is_not_hidden() -> None:
    def documents():  # type: ignore[no-untyped-def]
        yield Document("first text")
        raise OSError("disk gone")

    stream = FixedChunker(5, tokenizer="words").stream(documents())
    assert next(stream).text == "first text"
    with pytest.raises(OSError, match="disk gone"):
        next(stream)


def test_a_tokenizer_that_raises_is_not_hidden() -> None:
    def broken(text: str) -> int:
        raise ConnectionError("counting service is gone")

    with pytest.raises(ConnectionError, match="service is gone"):
        FixedChunker(5, tokenizer=broken)(Document("some text"))


@pytest.mark.parametrize("kind", [FixedChunker, SentenceChunker, RecursiveChunker, MarkdownChunker, HtmlChunker, TableChunker])
def test_one_character_beyond_the_limit_in_every_chunker(kind: Any) -> None:
    with pytest.raises(ChunkLimitError, match=r"'\U0001F469' at offset 5 has .* tokens.*Raise max_tokens|at offset 5 has"):
        kind(1, tokenizer="cl100k_base", reserve=0)(Document("word \U0001f469\u200d"))


def test_blank_documents_have_no_chunks() -> None:
    assert [SentenceChunker(tokenizer="words")(Document(text)) for text in ("", " \n\t\u3000")] == [[], []]


def test_special_tokens_are_kept_free() -> None:
    model = resolve_tokenizer(None)
    document = Document("some plain words in a row. " * 60)
    assert model.n_special == 2
    assert max(chunk.n_tokens for chunk in FixedChunker(32)(document)) <= 30
    assert max(chunk.n_tokens for chunk in FixedChunker(32, reserve=0)(document)) > 30


def test_binding() -> None:
    model = resolve_tokenizer(None)
    assert RecursiveChunker(64).bind(model, window=256).recipe == RecursiveChunker(64, tokenizer=model).recipe
    own = RecursiveChunker(300, tokenizer="words")
    assert own.bind(model, window=256) is own
    with pytest.raises(InvalidInputError, match="reads at most 256"):
        RecursiveChunker(300).bind(model, window=256)


@pytest.mark.parametrize("kind", [FixedChunker, SentenceChunker, RecursiveChunker, MarkdownChunker])
def test_recipes_rebuild_the_chunker(kind: Any) -> None:
    chunker = kind(40, overlap=4, reserve=3, tokenizer="words")
    assert from_recipe(chunker.recipe).bind(resolve_tokenizer("words")).recipe == chunker.recipe


@pytest.mark.parametrize("recipe", ["", "{}", '{"chunker": "semantic"}', '{"chunker": "fixed", "tokenizer": "x", "size": 3}'])
def test_recipes_of_other_versions(recipe: str) -> None:
    with pytest.raises(RagkitError, match="Pass the chunker"):
        from_recipe(recipe)


def test_whole_sentences_are_packed() -> None:
    text = "One two three. Four five. Six seven eight nine ten. Eleven."
    chunks = SentenceChunker(7, tokenizer="words")(Document(text))
    assert [chunk.text for chunk in chunks] == ["One two three. Four five.", " Six seven eight nine ten.", " Eleven."]


def test_recursive_prefers_the_stronger_boundary() -> None:
    text = "First sentence here. Second one here.\n\nThird one is here. Fourth one is here."
    chunks = RecursiveChunker(13, tokenizer="words")(Document(text))
    assert chunks[0].text == "First sentence here. Second one here.\n\n"


def test_overlap_is_real() -> None:
    text = " ".join(f"w{at}" for at in range(400))
    chunks = FixedChunker(50, overlap=10, tokenizer="words")(Document(text))
    shared = [a.end - b.start for a, b in itertools.pairwise(chunks)]
    words = [len(text[b.start : a.end].split()) for a, b in itertools.pairwise(chunks)]
    assert min(shared) > 0
    assert set(words) == {10}
