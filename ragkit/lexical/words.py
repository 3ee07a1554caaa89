"""Text to words, and words to tokens: the compiled form of an analyzer's choices."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from itertools import pairwise
from typing import Literal
from unicodedata import normalize

import regex

from ragkit.errors import InvalidInputError

Identifiers = Literal["both", "whole", "parts"]
NoSpace = Literal["bigrams", "both", "characters", "words"]
StopIn = Literal["everywhere", "questions"]
Case = Literal["fold", "keep"]
Accents = Literal["keep", "strip"]
Cutter = Callable[[str], list[str]]

_MEMO_WORDS = 65_536
# Scripts written without blanks form runs of their own, so that "GPU対応" gives "gpu" and the run "対応". All of them lie
# above U+0E00. U+30FC is the mark that lengthens a vowel in kana. Underscores hold identifiers together.
_UNSPACED = r"[[\p{Han}\p{Hiragana}\p{Katakana}\p{Hangul}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}\u30fc]&&[\p{L}\p{Nl}]]"
_WORDS = regex.compile(
    rf"{_UNSPACED}[{_UNSPACED}\p{{M}}]*|[[\p{{L}}\p{{N}}]--{_UNSPACED}][[\p{{L}}\p{{N}}\p{{M}}_]--{_UNSPACED}]*", flags=regex.V1
)
_IS_UNSPACED = regex.compile(_UNSPACED, flags=regex.V1)
_ASCII_WORDS = re.compile(r"[A-Za-z0-9][A-Za-z0-9_]*")
# Where an identifier's part begins: after underscores, at lower-to-upper case, and before the last capital of a run.
_PARTS = regex.compile(r"_+|(?<=[\p{Ll}\p{N}])(?=\p{Lu})|(?<=\p{Lu})(?=\p{Lu}\p{Ll})", flags=regex.V1)
_CLUSTERS = regex.compile(r"\X")
# One character of these scripts is often a whole word; one letter of Thai or one kana is not.
_SYLLABLES = regex.compile(r"[\p{Han}\p{Hangul}]\p{M}*")
# Accents of these scripts only: in others the marks are vowels.
_ACCENTS = regex.compile(r"(?<=[\p{Latin}\p{Greek}\p{Cyrillic}]\p{Mn}*)\p{Mn}")
STEM_MARK = "~"


def fold(word: str, case: Case = "fold", accents: Accents = "keep") -> str:
    """The form in which words are compared, NFKC."""
    word = normalize("NFKC", word)
    if case == "fold":
        word = normalize("NFKC", word.casefold())
    if accents == "strip" and not word.isascii():
        word = normalize("NFKC", _ACCENTS.sub("", normalize("NFKD", word)))
    return word


def words_of(text: str) -> list[str]:
    """The words of ``text`` as they stand, NFKC; a run of a script without blanks is one word."""
    return _ASCII_WORDS.findall(text) if text.isascii() else _WORDS.findall(normalize("NFKC", text))


def is_unspaced(word: str) -> bool:
    """Whether one of ``words_of`` is a run of a script without blanks."""
    return _IS_UNSPACED.match(word) is not None


def clusters(word: str) -> int:
    """How many characters, as readers count them, a word has."""
    return len(_CLUSTERS.findall(word))


def stemmer(language: str) -> Callable[[str], str]:
    """Snowball's stemmer. Raises InvalidInputError for a language it does not know."""
    import Stemmer

    try:
        stem: Callable[[str], str] = Stemmer.Stemmer(language, 0).stemWord
    except (KeyError, TypeError) as error:
        raise InvalidInputError(f"Analyzer stem is {language!r}; Snowball knows {', '.join(Stemmer.algorithms())}.") from error
    return stem


class _Memo(dict[str, list[str]]):
    """Words repeat: what became of each is remembered, up to a bound."""

    def __init__(self, make: Callable[[str], list[str]]) -> None:
        self._make = make

    def __missing__(self, word: str) -> list[str]:
        made = self._make(word)
        if len(self) >= _MEMO_WORDS:
            self.clear()
        self[word] = made
        return made


@lru_cache(maxsize=16)
def cutter(
    *,
    identifiers: Identifiers,
    no_space: NoSpace,
    stop_words: tuple[str, ...],
    leave_out: bool,
    stem: str | None,
    max_length: int,
    case: Case,
    accents: Accents,
) -> Cutter:
    """The function from text to tokens of these choices; ``leave_out``: stop words give nothing, else a token without a stem."""
    stop = frozenset(stop_words)
    stemmed = stemmer(stem) if stem else None

    def cut(token: str) -> list[str]:
        return [token[place : place + max_length] for place in range(0, len(token), max_length)]

    def finish(word: str) -> list[str]:
        word = fold(word, case, accents)
        if word in stop:
            return [] if leave_out else cut(word)
        if stemmed is None or len(word) > max_length:
            return cut(word)
        return [word, (STEM_MARK + stemmed(word))[:max_length]]

    def spaced(word: str) -> list[str]:
        word = word.strip("_")
        parts = [part for part in _PARTS.split(word) if part]
        if identifiers == "whole" or len(parts) < 2:
            return finish(word)
        tokens = [token for part in parts for token in finish(part)]
        return finish(word) + tokens if identifiers == "both" else tokens

    def unspaced(run: str) -> list[str]:
        run = fold(run, case, accents)
        characters = _CLUSTERS.findall(run)
        if no_space == "words" or len(characters) < 2:
            return cut(run)
        if no_space == "characters":
            return [token for character in characters for token in cut(character)]
        grams = [left + right for left, right in pairwise(characters)]
        if no_space == "both":
            grams += [character for character in characters if _SYLLABLES.match(character)]
        return [token for gram in grams for token in cut(gram)]

    def make(word: str) -> list[str]:
        return unspaced(word) if is_unspaced(word) else spaced(word)

    memo = _Memo(make)

    def tokens(text: str) -> list[str]:
        return [token for word in words_of(text) for token in (memo[word] if len(word) <= max_length else make(word))]

    return tokens
