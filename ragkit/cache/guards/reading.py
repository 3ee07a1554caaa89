"""A prompt taken apart once: what the guards compare."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple, TypeVar

import regex
import Stemmer

from ragkit.cache.guards.words import ASKING, FUNCTION, SYNONYMS

_CONTRACTIONS = (
    (regex.compile(r"\bwon't\b", regex.I), "will not"),
    (regex.compile(r"\bcan't\b|\bcannot\b", regex.I), "can not"),
    (regex.compile(r"\bshan't\b", regex.I), "shall not"),
    (regex.compile(r"n't\b", regex.I), " not"),
    (regex.compile(r"\b(what|who|where|when|why|how|it|that|there|here|he|she)'s\b", regex.I), r"\1 is"),
    (regex.compile(r"'(re)\b", regex.I), " are"),
    (regex.compile(r"\bi'm\b", regex.I), "i am"),
    (regex.compile(r"'(ve)\b", regex.I), " have"),
    (regex.compile(r"'(ll)\b", regex.I), " will"),
    (regex.compile(r"'(d)\b", regex.I), " would"),
)
_WORD = regex.compile(r"\p{L}[\p{L}\p{M}]*(?:[-'][\p{L}\p{M}]+)*|\p{N}+(?:[.,:]\p{N}+)*")
_NO_SPACES = regex.compile(r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}]")
_KEPT = 8192
_T = TypeVar("_T")
_stemmer = Stemmer.Stemmer("english")


class Word(NamedTuple):
    """A word as written and casefolded, its stem, and whether it is capitalised where a sentence does not ask for it."""

    text: str
    folded: str
    stem: str
    named: bool


@dataclass(frozen=True, slots=True, eq=False)
class Reading:
    """A prompt with contractions and typographic signs spelt out, its words, and its content (stems without function words).

    ``folded_words`` are the words, casefolded, once each. ``english``: at least one English function word. ``spaced``: its script puts blanks between words.
    """

    text: str
    folded: str
    words: tuple[Word, ...]
    content: frozenset[str]
    english: bool
    spaced: bool
    folded_words: frozenset[str]


@lru_cache(maxsize=8 * _KEPT)
def stem(word: str) -> str:
    """The Snowball stem of a casefolded word, without a possessive ending."""
    return str(_stemmer.stemWord(word.removesuffix("'s").removesuffix("'")))


@lru_cache(maxsize=8 * _KEPT)
def meaning(word: str) -> str:
    """One stem for words that stand for each other in a question, else the word's own."""
    root = stem(word)
    return SYNONYMS.get(word) or _BY_STEM.get(root) or root


_BY_STEM = {str(_stemmer.stemWord(word)): name for word, name in reversed(list(SYNONYMS.items()))}


def once(find: Callable[[Reading], _T]) -> Callable[[Reading], _T]:
    """``find``, its results kept as long as readings are: a stored prompt is compared again and again."""
    return lru_cache(maxsize=_KEPT)(find)


@lru_cache(maxsize=_KEPT)
def read(text: str) -> Reading:
    """The reading of a prompt. Any text can be read; the last few thousand are kept."""
    plain = unicodedata.normalize("NFKC", text).translate(_SIGNS)
    if "'" in plain or "cannot" in plain.casefold():
        for pattern, spelt in _CONTRACTIONS:
            plain = pattern.sub(spelt, plain)
    words = []
    for found in _WORD.finditer(plain):
        as_written = found.group()
        folded = as_written.casefold()
        # A capital says something unless a sentence starts here; all capitals always do, unless everything shouts.
        capital = as_written[0].isupper() and folded != "i" and not folded.startswith("i'")
        named = capital and (as_written[1:].isupper() or not _starts(plain[: found.start()]))
        words.append(Word(as_written, folded, stem(folded), named))
    if sum(word.named for word in words) > 0.6 * len(words) and len(words) > 3:
        # Title case or shouting tells nothing.
        words = [Word(word.text, word.folded, word.stem, False) for word in words]
    content = frozenset(meaning(word.folded) for word in words if word.folded not in FUNCTION and word.folded not in ASKING)
    english = any(word.folded in FUNCTION for word in words)
    return Reading(
        plain,
        plain.casefold(),
        tuple(words),
        content,
        english,
        not _NO_SPACES.search(plain),
        frozenset(word.folded for word in words),
    )


def _starts(before: str) -> bool:
    """Whether a sentence starts after this."""
    return not before.rstrip(" \t\"'([{*_-") or before.rstrip()[-1:] in ".!?:;\n"


_SIGNS = str.maketrans({"’": "'", "‘": "'", "`": "'", "“": '"', "”": '"', "„": '"', "–": "-", "—": "-", "−": "-", "\u00a0": " "})
