"""Sizes: a number or a range; best fit: equally few chunks, filled evenly; separators of one's own."""

from __future__ import annotations

import re
from itertools import pairwise
from statistics import pstdev
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragkit import Document
from ragkit.chunk import (
    AutoChunker,
    FixedChunker,
    MarkdownChunker,
    Pipeline,
    RecursiveChunker,
    SentenceChunker,
    Situate,
    TableChunker,
    from_recipe,
)
from ragkit.errors import InvalidInputError
from ragkit.testing.laws import check_chunks
from ragkit.testing.texts import pathological
from ragkit.text import resolve_tokenizer

WORDS = resolve_tokenizer("words")
PROSE = pathological(40_000)["prose on one line"]


@pytest.mark.parametrize("size", [(0, 5), (6, 5), (5,), (1, 2, 3), (1.0, 5), (True, 5), "12", None, [], {5: 6}, range(3, 9)])
def test_ranges_that_cannot_be(size: Any) -> None:
    with pytest.raises(InvalidInputError, match="whole number of tokens, at least 1, or a range"):
        RecursiveChunker(size)


def test_the_lower_bound_decides_between_early_and_strong() -> None:
    paragraphs = "One two three four five six.\n\n" + "Seven eight. Nine ten. Eleven twelve. Thirteen fourteen. " * 3
    strong = RecursiveChunker((5, 20), tokenizer="words")(Document(paragraphs))
    full = RecursiveChunker((15, 20), tokenizer="words")(Document(paragraphs))
    assert strong[0].text == "One two three four five six.\n\n"
    assert full[0].n_tokens >= 15


def test_a_number_is_a_range_from_its_half() -> None:
    document = Document(PROSE)
    assert [c.text for c in RecursiveChunker(60, tokenizer="words")(document)] == [
        c.text for c in RecursiveChunker((31, 60), tokenizer="words")(document)
    ]


@pytest.mark.parametrize("kind", [FixedChunker, RecursiveChunker, MarkdownChunker])
def test_no_chunk_is_smaller_than_the_range_where_boundaries_are_dense(kind: Any) -> None:
    chunks = kind((40, 50), tokenizer="words")(Document("word. Words\n\n" * 2_000))
    assert min(chunk.n_tokens for chunk in chunks[:-1]) >= 40
    assert max(chunk.n_tokens for chunk in chunks) <= 50


def test_a_range_counts_what_is_reserved_and_binds_by_its_upper_bound() -> None:
    chunks = FixedChunker((20, 30), tokenizer="words", reserve=10)(Document(PROSE))
    assert max(chunk.n_tokens for chunk in chunks) == 20
    with pytest.raises(InvalidInputError, match="max_tokens is 300"):
        RecursiveChunker((100, 300)).bind(WORDS, window=256)
    with pytest.raises(InvalidInputError, match="overlap is 30"):
        FixedChunker((20, 30), overlap=30, tokenizer="words")(Document(PROSE))


@pytest.mark.parametrize(
    "chunker",
    [
        RecursiveChunker((30, 50), overlap=3),
        RecursiveChunker(50, separators=["page", re.compile("^#+ ", re.MULTILINE), ". ", "word"]),
        SentenceChunker((30, 50), packing="best"),
        TableChunker(50, delimiter=";", header=False),
        AutoChunker((30, 50)),
        MarkdownChunker((30, 50)) | Situate(max_tokens=8),
    ],
)
def test_recipes_keep_every_choice(chunker: Any) -> None:
    bound = chunker.bind(WORDS)
    again = from_recipe(bound.recipe).bind(WORDS)
    assert again.recipe == bound.recipe
    document = Document("# Head\n\n" + PROSE[:5_000], id="d")
    assert again(document) == bound(document)
    assert isinstance(again, Pipeline) == isinstance(chunker, Pipeline)


def test_old_recipes_say_nothing_of_new_choices() -> None:
    """A choice left at its default is not in the recipe, so ids of stored chunks stay."""
    assert "separators" not in RecursiveChunker(tokenizer="words").recipe
    assert "packing" not in SentenceChunker(tokenizer="words").recipe


def lengths(limit: int, packing: Any, text: str, tokenizer: Any = "words", overlap: int = 0) -> list[int]:
    chunker = SentenceChunker(limit, packing=packing, tokenizer=tokenizer, overlap=overlap, reserve=0)
    return [chunk.n_tokens for chunk in chunker(Document(text))]


@pytest.mark.parametrize("tokenizer", ["words", "cl100k_base", None])
@pytest.mark.parametrize("limit", [48, 128, 400])
def test_best_fit_is_as_few_and_evener(tokenizer: Any, limit: int) -> None:
    first, best = lengths(limit, "first", PROSE, tokenizer), lengths(limit, "best", PROSE, tokenizer)
    assert len(best) == len(first)
    assert sum((limit - n) ** 2 for n in best) <= sum((limit - n) ** 2 for n in first)
    assert pstdev(best) < 0.8 * pstdev(first)
    assert min(best) > min(first)


@given(
    sizes=st.lists(st.integers(1, 14), min_size=1, max_size=60),
    limit=st.integers(2, 30),
)
def test_best_fit_is_the_best_of_all_packings(sizes: list[int], limit: int) -> None:
    text = " ".join(" ".join(["Word"] * (size - 1)) + "." if size > 1 else "Word。" for size in sizes)
    first, best = lengths(limit, "first", text), lengths(limit, "best", text)
    assert len(best) <= len(first)
    if max(sizes) + 1 > limit:
        return  # sentences beyond the limit are cut by the engine
    counts = [WORDS.count_batch([part])[0] for part in re.findall(r"[^.。]+[.。]", text)]
    assert (len(best), sum((limit - n) ** 2 for n in best)) == brute(counts, limit)


def brute(counts: list[int], limit: int) -> tuple[int, int]:
    """The fewest chunks and the least sum of squares, by trying all predecessors."""
    found: list[tuple[int, int]] = [(0, 0)]
    for end in range(1, len(counts) + 1):
        options = [
            (found[begin][0] + 1, found[begin][1] + (limit - total) ** 2)
            for begin in range(end)
            if (total := sum(counts[begin:end])) <= limit
        ]
        found.append(min(options))
    return found[-1]


def test_best_fit_of_a_long_text_is_still_as_few() -> None:
    text = pathological(150_000)["prose on one line"]
    assert len(lengths(100, "best", text)) == len(lengths(100, "first", text))


@pytest.mark.parametrize("packing", ["even", None, 1])
def test_packings_that_cannot_be(packing: Any) -> None:
    with pytest.raises(InvalidInputError, match="'first'"):
        SentenceChunker(packing=packing)


def test_separators_are_ranked() -> None:
    text = "a b c; d e f | g h i; j k l | m n o; p q r"
    by_bar = RecursiveChunker((4, 10), separators=["|", ";"], tokenizer="words")(Document(text))
    by_semicolon = RecursiveChunker((4, 10), separators=[";", "|"], tokenizer="words")(Document(text))
    assert [c.text for c in by_bar] == ["a b c; d e f |", " g h i; j k l |", " m n o; p q r"]
    assert [c.text for c in by_semicolon] == ["a b c;", " d e f | g h i;", " j k l | m n o;", " p q r"]


def test_separators_by_pattern_and_level() -> None:
    text = "Intro line.\nclass A:\n  x = 1\n  y = 2\n\n  z = 3\nclass B:\n  x = 1. And more. And more\n"
    ahead = re.compile(r"^(?=class )", re.MULTILINE)
    chunks = RecursiveChunker((3, 14), separators=[ahead, "paragraph", "sentence"], tokenizer="words")(Document(text))
    assert [c.text.split("\n")[0] for c in chunks] == ["Intro line.", "class A:", "class B:"]
    blank = RecursiveChunker((2, 8), separators=["paragraph"], tokenizer="words")(Document("a b c\nd e f\n\ng h i\n\n\n\nj k l"))
    assert [c.text for c in blank] == ["a b c\nd e f\n\n", "g h i\n\n\n\nj k l"]


def test_levels_are_the_default() -> None:
    document = Document(pathological(9_000)["prose with blank ends"])
    named = RecursiveChunker(40, separators=["page", "paragraph", "line", "sentence", "wrap", "word"], tokenizer="words")
    assert [c.text for c in named(document)] == [c.text for c in RecursiveChunker(40, tokenizer="words")(document)]


def test_text_without_any_separator_is_cut_at_words() -> None:
    chunks = RecursiveChunker(10, separators=["\n\n"], tokenizer="words")(Document("word " * 50))
    assert {chunk.n_tokens for chunk in chunks} == {10}
    assert all(a.end == b.start for a, b in pairwise(chunks))


@pytest.mark.parametrize(
    ("separators", "says"),
    [
        ("\n\n", "must be a list"),
        (5, "must be a list"),
        ([""], "not empty"),
        ([b"x"], "neither a str"),
        ([re.compile(b"x")], "neither a str"),
        ([None], "neither a str"),
        (["word", "line"], "Move it to the end"),
    ],
)
def test_separators_that_cannot_be(separators: Any, says: str) -> None:
    with pytest.raises(InvalidInputError, match=says):
        RecursiveChunker(separators=separators)


def test_own_separators_are_local() -> None:
    paragraphs = pathological(60_000)["prose with blank ends"].split("\n\n")
    chunker = RecursiveChunker(64, separators=["\n\n", ". "], tokenizer="words")
    before = {chunk.text for chunk in chunker(Document("\n\n".join(paragraphs)))}
    paragraphs[3] += " A sentence that was not there before."
    after = [chunk.text for chunk in chunker(Document("\n\n".join(paragraphs)))]
    assert sum(body not in before for body in after) <= 4


@pytest.mark.parametrize("overlap", [6, 32, 63])
@pytest.mark.parametrize("tokenizer", ["words", "characters", "cl100k_base"])
def test_best_fit_keeps_the_laws_where_overlap_leaves_little_room(tokenizer: str, overlap: int) -> None:
    document = Document("👩\u200d👩\u200d👧\u200d👦🇩🇪 one two\r\nक्षि e\u0301 three. Four\u2028five 👍🏽! " * 8)
    chunker = SentenceChunker(64, overlap=overlap, packing="best", tokenizer=tokenizer, reserve=0)
    assert check_chunks(document, chunker(document), chunker.counter.count_batch, limit=64, overlap=overlap) == []
