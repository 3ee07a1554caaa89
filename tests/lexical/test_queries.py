"""Questions about words: what they match is what their words say, whatever the store leaves to LanceDB."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragkit.errors import InvalidInputError
from ragkit.lexical import AllOf, Analyzer, AnyOf, Fuzzy, Not, Phrase, Prefix, TextQuery, Words, read
from ragkit.text.term_query import TermQuery

ANALYZER = Analyzer()
TEXTS = [
    "Olive oil is pressed from olives.",
    "Crude oil prices; the price of oil",
    "She walked the dogs, and walking dogs is work",
    "snake_case and camelCase names, HTTPServer too",
    "北京大学 and 东京大学, GPU対応カード",
    "microscope microphone Mikrofon",
    "",
]


def found(query: TextQuery, texts: list[str] = TEXTS) -> list[int]:
    tokens = [ANALYZER.tokens(text) for text in texts]
    asked = read(query, ANALYZER, lambda: {token: 1 for one in tokens for token in one})
    return [place for place, one in enumerate(tokens) if asked.condition.matches(one)]


@pytest.mark.parametrize(
    ("query", "places"),
    [
        (Words("oil price"), [0, 1]),
        (Words("oil price", every=True), [1]),
        (Words("walk dog", every=True), [2]),
        (AllOf("oil", Not("olive")), [1]),
        (AllOf("oil", Not(Phrase("crude oil"))), [0]),
        (AnyOf(Phrase("olive oil"), Prefix("snake")), [0, 3]),
        (Phrase("price of oil"), [1]),
        (Phrase("oil price"), []),
        (Phrase("WALKED the dogs"), [2]),
        (Phrase("dogs walked"), []),
        (Phrase("snake_case and"), [3]),
        (Phrase("京大学"), [4]),
        (Phrase("大学 and 东京"), [4]),
        (Phrase("学 and 东"), [4]),
        (Phrase("大学 and 京"), []),
        (Phrase("GPU対応"), [4]),
        (Phrase("GPU カード"), []),
        (Prefix("micro"), [5]),
        (Prefix("MICROS"), [5]),
        (Fuzzy("mikrophone"), [5]),
        (Fuzzy("mirkophone"), []),
        (Fuzzy("mirkophone", edits=2), [5]),
        (Fuzzy("walekd"), [2]),
    ],
)
def test_a_question_matches_what_it_says(query: TextQuery, places: list[int]) -> None:
    assert found(query) == places


def test_what_is_excluded_is_neither_scored_nor_read_by_the_dense_arm() -> None:
    query = AllOf("oil", Phrase("crude price"), Not("olive"))
    asked = read(query, ANALYZER, dict)
    assert query.plain() == "oil crude price"
    assert not any("oliv" in token for token in asked.tokens)
    assert not asked.allows(ANALYZER.tokens("olives"))
    assert asked.allows(ANALYZER.tokens("nothing at all"))


@pytest.mark.parametrize("text", ["", "   ", "()", '"', ":", "!!! ???", "\ud800"])
def test_texts_without_words_ask_for_nothing(text: str) -> None:
    for query in (
        Words(text),
        Words(text, every=True),
        Phrase(text),
        Prefix(text),
        Fuzzy(text),
        AnyOf(text),
        AllOf(text, Not("a")),
    ):
        assert found(query) == []
    assert found(AllOf("oil", Phrase(text))) == [0, 1]


@pytest.mark.parametrize(
    "make",
    [
        lambda: Words(3),
        lambda: Phrase(None),
        lambda: Fuzzy("a", edits=3),
        lambda: Fuzzy("a", edits=True),
        lambda: AllOf(),
        lambda: AnyOf(),
        lambda: AllOf(7),
        lambda: found(Not("a")),
        lambda: found(AnyOf("a", Not("b"))),
        lambda: found(AllOf(Not("b"))),
    ],
)
def test_questions_that_mean_nothing_are_refused(make) -> None:
    with pytest.raises(InvalidInputError):
        make()


def test_a_beginning_of_too_many_words_is_refused_with_their_number() -> None:
    words = {f"w{number}": 1 for number in range(1100)}
    with pytest.raises(InvalidInputError, match="1,100 words"):
        read(Prefix("w"), ANALYZER, lambda: words)


WORDS = st.lists(st.sampled_from(["red", "reds", "green", "blue_sky", "the", "東京", "京都"]), min_size=1, max_size=6)


@given(WORDS, st.integers(0, 5), st.integers(1, 4))
def test_any_stretch_of_a_text_is_a_phrase_of_it(words: list[str], start: int, length: int) -> None:
    start %= len(words)
    assert found(Phrase(" ".join(words[start : start + length])), [" ".join(words)]) == [0]


@given(st.text(st.sampled_from("東京都の北大学カ"), min_size=1, max_size=8), st.data())
def test_any_stretch_of_a_run_without_blanks_is_a_phrase_of_it(run: str, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(run) - 1))
    end = data.draw(st.integers(min(start + 2, len(run)), len(run)))
    if end - start > 1 or len(run) == 1:
        assert found(Phrase(run[start:end]), [f"about {run} here"]) == [0]
    if end == len(run):
        assert found(Phrase(run[start:] + " here"), [f"about {run} here"]) == [0]
    if start == 0:
        assert found(Phrase("about " + run[:end]), [f"about {run} here"]) == [0]


@given(st.lists(st.sampled_from("abcdef"), max_size=6), st.lists(st.sampled_from("abcdef"), max_size=3))
def test_plain_words_are_any_of_them(lex: list[str], tokens: list[str]) -> None:
    assert TermQuery.of(tokens).condition.matches(lex) == bool(set(lex) & set(tokens))
