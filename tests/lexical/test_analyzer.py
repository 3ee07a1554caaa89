"""The analyzer on every script, and the laws of its tokens."""

from __future__ import annotations

import json
import time
import unicodedata
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragkit.errors import InvalidInputError
from ragkit.lexical import ENGLISH_STOP_WORDS, STOP_WORDS, Analyzer

PLAIN = Analyzer(stem=None, stop_words=())
ANALYZERS = st.builds(
    Analyzer,
    identifiers=st.sampled_from(["both", "whole", "parts"]),
    no_space=st.sampled_from(["bigrams", "both", "characters", "words"]),
    stop_words=st.sampled_from([(), ENGLISH_STOP_WORDS, ("ÄRGER", "the"), "german"]),
    stem=st.sampled_from([None, "english", "german"]),
    max_length=st.integers(8, 70),
    stop_in=st.sampled_from(["everywhere", "questions"]),
    case=st.sampled_from(["fold", "keep"]),
    accents=st.sampled_from(["keep", "strip"]),
    courtesies=st.booleans(),
)
SCRIPTS = {
    "latin": "Ångström naïve café Straße",
    "cyrillic": "Привет мир",
    "greek": "Ελληνικά κείμενα",
    "arabic": "مرحبا بالعالم",
    "hebrew": "שלום עולם",
    "devanagari": "हिन्दी भाषा",
    "tamil": "தமிழ் மொழி",
    "chinese": "机器学习很有趣",
    "japanese": "東京タワーへ行きたいです",
    "korean": "한국어 텍스트 검색",
    "thai": "ภาษาไทยไม่มีช่องว่าง",
    "lao": "ພາສາລາວ",
    "khmer": "ភាសាខ្មែរ",
    "burmese": "မြန်မာဘာသာ",
    "amharic": "አማርኛ ቋንቋ",
    "georgian": "ქართული ენა",
    "full width": "ＡＢＣ１２３",
    "beyond the basic plane": "𠮷野家 𝐛𝐨𝐥𝐝",
}
ANYTHING = st.text(
    st.characters() | st.characters(categories=["Cs"]) | st.sampled_from("aAzZ019_ \n.猫ไก가ー\u0301\u200d"), max_size=80
)
QUESTIONS = [
    "Hello, could you tell me who built it? Thank you!",
    "The Who",
    "thanks",
    "können Sie mir bitte sagen, wer",
    "please",
]


@given(ANYTHING | st.sampled_from(sorted(SCRIPTS.values())), ANALYZERS)
def test_tokens_are_words_a_store_can_join_by_blanks(text, analyzer):
    tokens = analyzer.tokens(text)
    assert " ".join(tokens).split() == tokens
    for token in tokens:
        assert 0 < len(token) <= analyzer.max_length
        token.encode("utf-8")
        body = token.removeprefix("~")
        # "Cn": letters of a newer Unicode than Python's own tables, which the regex package already knows.
        assert all(unicodedata.category(one)[0] in "LMN" or one == "_" or unicodedata.category(one) == "Cn" for one in body)
    assert analyzer.tokens(text) == tokens


@given(ANYTHING, ANYTHING, ANALYZERS)
def test_texts_apart_analyse_apart(left, right, analyzer):
    assert analyzer.tokens(left + "\n" + right) == analyzer.tokens(left) + analyzer.tokens(right)


@given(ANALYZERS)
def test_a_recipe_makes_the_same_analyzer(analyzer):
    again = Analyzer.from_recipe(analyzer.recipe)
    assert again == analyzer
    assert again.recipe == analyzer.recipe


@pytest.mark.parametrize("script", SCRIPTS)
def test_every_script_is_searchable_and_blind_to_case_and_composition(script):
    text = SCRIPTS[script]
    tokens = Analyzer().tokens(text)
    assert tokens
    assert Analyzer().tokens(unicodedata.normalize("NFD", text)) == tokens
    assert Analyzer().tokens(unicodedata.normalize("NFC", text)) == tokens
    assert set(PLAIN.tokens(text.upper())) == set(PLAIN.tokens(text)) or "ß" in text


def test_words_digits_and_punctuation():
    assert PLAIN.tokens("Hello, WORLD! e-mail 3.14 v2 (x)") == ["hello", "world", "e", "mail", "3", "14", "v2", "x"]
    assert PLAIN.tokens("!!! ... \ud800 \ufffd 🎉 \x00") == []


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        ("both", ["get_user_name", "get", "user", "name", "httpserver2", "http", "server2", "init"]),
        ("parts", ["get", "user", "name", "http", "server2", "init"]),
        ("whole", ["get_user_name", "httpserver2", "init"]),
    ],
)
def test_identifiers(choice, expected):
    analyzer = Analyzer(identifiers=choice, stem=None)
    assert analyzer.tokens("get_user_name HTTPServer2 __init__") == expected


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        ("bigrams", ["東京", "京タ", "タワ", "ワー"]),
        ("both", ["東京", "京タ", "タワ", "ワー", "東", "京"]),
        ("words", ["東京タワー"]),
    ],
)
def test_scripts_without_blanks(choice, expected):
    assert Analyzer(no_space=choice).tokens("東京タワー") == expected
    assert Analyzer(no_space=choice).tokens("猫") == ["猫"]


def test_marks_stay_with_their_letters_in_bigrams():
    assert Analyzer(no_space="bigrams").tokens("น้ำที่") == ["น้ําที่"] or len(Analyzer(no_space="bigrams").tokens("ที่นี่")) == 1


def test_a_single_chinese_character_finds_the_word_it_is_in():
    assert set(Analyzer().tokens("猫")) & set(Analyzer().tokens("黑猫很可爱"))


def test_stems_stand_beside_words():
    query, exact, related = (set(Analyzer().tokens(word)) for word in ("walking", "Walking", "walked"))
    assert query == exact
    assert query & related == {"~walk"}
    assert Analyzer(stem="german").tokens("Häuser")[1] == Analyzer(stem="german").tokens("Häusern")[1]


def test_stop_words_are_left_out_after_folding():
    assert Analyzer(stop_in="everywhere").tokens("The who and WHAT") == []
    assert Analyzer(stop_words=("HAUS",), stem=None).query_tokens("Haus the") == ["the"]
    assert Analyzer(stop_words=("HAUS",), stem=None, stop_in="everywhere").tokens("Haus the") == ["the"]


def test_documents_keep_stop_words_for_questions_of_nothing_else():
    analyzer = Analyzer()
    assert set(analyzer.query_tokens("The Who")) <= set(analyzer.tokens("Pete Townshend of The Who"))
    assert analyzer.query_tokens("It is what it is") == ["it", "is", "what", "it", "is"]
    assert analyzer.query_tokens("Who are The Beatles") == ["beatles", "~beatl"]
    assert Analyzer(stop_in="everywhere").query_tokens("The Who") == []


def test_case_and_accents_can_be_chosen():
    assert PLAIN.tokens("US us Café Ёлка") == ["us", "us", "café", "ёлка"]
    assert Analyzer(stem=None, stop_words=(), case="keep").tokens("US us") == ["US", "us"]
    assert Analyzer(stem=None, stop_words=(), accents="strip").tokens("Café Ёлка हिन्दी") == ["cafe", "елка", "हिन्दी"]


def test_stop_words_by_language():
    assert Analyzer(stop_words="german").stop_words == Analyzer(stop_words=STOP_WORDS["german"]).stop_words
    assert Analyzer(stop_words="german", stem="german").query_tokens("wie hoch ist der Eiffelturm")[::2] == ["hoch", "eiffelturm"]


def test_recipes_written_before_a_choice_existed_mean_what_they_meant():
    old = Analyzer(stop_in="everywhere").recipe
    assert set(json.loads(old)) == {"kind", "version", "identifiers", "no_space", "stop_words", "stem", "max_length"}
    assert Analyzer.from_recipe(old).tokens("The Who") == []
    assert Analyzer.from_recipe(Analyzer().recipe) == Analyzer()


@given(ANYTHING | st.sampled_from(QUESTIONS), ANALYZERS)
def test_a_question_asks_for_words_of_its_text(question, analyzer):
    asked = analyzer.query_tokens(question)
    assert asked == analyzer.query_tokens(question)
    everything = analyzer.tokens(question.translate(str.maketrans("’‘ʼ", "'''")))
    assert set(asked) <= set(everything)
    assert bool(asked) == bool(everything)


@pytest.mark.parametrize(
    "text", ["a" * 100_000, "please " * 20_000, "\x00" * 100_000, "\ud800x" * 50_000, "猫" * 100_000, "é_" * 50_000]
)
def test_a_hundred_thousand_characters_take_no_time_to_speak_of(text):
    begun = time.process_time()
    assert all(0 < len(token) <= 64 for token in [*Analyzer().tokens(text), *Analyzer().query_tokens(text)])
    assert time.process_time() - begun < 5


def test_long_words_become_several_tokens_and_none_is_lost():
    word = "".join(chr(ord("a") + place % 26) for place in range(1000))
    assert "".join(PLAIN.tokens(word)) == word


@pytest.mark.parametrize(
    "bad",
    [
        {"identifiers": "all"},
        {"no_space": ""},
        {"stop_words": "the"},
        {"stop_words": (1,)},
        {"stem": "klingon"},
        {"max_length": 3},
        {"stop_in": "titles"},
        {"case": "lower"},
        {"accents": True},
        {"courtesies": "yes"},
    ],
)
def test_unknown_choices_are_refused_by_name(bad):
    with pytest.raises(InvalidInputError, match=next(iter(bad))):
        Analyzer(**bad)


@pytest.mark.parametrize(
    "recipe", ["", "{}", "[]", "null", '{"kind":"words","version":99}', '{"kind":"words","version":1,"x":2}']
)
def test_recipes_of_others_are_refused(recipe):
    with pytest.raises(InvalidInputError, match="recipe"):
        Analyzer.from_recipe(recipe)


def test_threads_share_an_analyzer():
    analyzer = Analyzer(max_length=33)
    texts = [f"running word{place} HTTPServer{place} 東京" for place in range(400)]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(analyzer.tokens, texts * 3)) == [Analyzer(max_length=33).tokens(text) for text in texts] * 3
