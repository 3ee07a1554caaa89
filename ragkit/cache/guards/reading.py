"""A prompt taken apart once: what the guards compare."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache, wraps
from typing import Any, TypeVar

import regex
import Stemmer

from ragkit.cache.guards.words import ASKING, FUNCTION, SYNONYMS

#: What stands in a text, casefolded, that holds such a contraction, the contraction, and how it is spelt out.
_CONTRACTIONS = (
    ("won't", regex.compile(r"\bwon't\b", regex.I), "will not"),
    ("can", regex.compile(r"\bcan't\b|\bcannot\b", regex.I), "can not"),
    ("shan't", regex.compile(r"\bshan't\b", regex.I), "shall not"),
    ("n't", regex.compile(r"n't\b", regex.I), " not"),
    ("'s", regex.compile(r"\b(what|who|where|when|why|how|it|that|there|here|he|she)'s\b", regex.I), r"\1 is"),
    ("'re", regex.compile(r"'(re)\b", regex.I), " are"),
    ("i'm", regex.compile(r"\bi'm\b", regex.I), "i am"),
    ("'ve", regex.compile(r"'(ve)\b", regex.I), " have"),
    ("'ll", regex.compile(r"'(ll)\b", regex.I), " will"),
    ("'d", regex.compile(r"'(d)\b", regex.I), " would"),
)
_WORD = regex.compile(r"\p{L}[\p{L}\p{M}]*(?:[-'][\p{L}\p{M}]+)*|\p{N}+(?:[.,:]\p{N}+)*")
#: The same for ASCII, in half the time; and such a word where it begins with a capital.
_ASCII_WORD = re.compile(r"[A-Za-z]+(?:[-'][A-Za-z]+)*|[0-9]+(?:[.,:][0-9]+)*")
_ASCII_CAPITAL = re.compile(r"[A-Z](?<![A-Za-z][A-Z])(?<![A-Za-z][-'][A-Z])[A-Za-z]*(?:[-'][A-Za-z]+)*")
_JOINTS = re.compile("[-']")
_NO_SPACES = regex.compile(r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}]")
_LIGHT = FUNCTION | ASKING
_STEMS = 65_536
#: What readings may take: their characters, and as much as this many more for each, in each of two halves. That is about 75 MB, for
#: ten thousand prompts of a line.
_ROOM, _EACH = 750_000, 50
_NOTHING: frozenset[str] = frozenset()
_T = TypeVar("_T")
_stemmer = Stemmer.Stemmer("english")


@dataclass(frozen=True, slots=True, eq=False)
class Reading:
    """A prompt with contractions and typographic signs spelt out, and its words, casefolded, in order and once each.

    ``named``: words that are capitalised where no sentence asks for it. ``english``: at least one English function word.
    ``spaced``: its script puts blanks between words. ``plain``: all ASCII, so that a glance tells what it cannot hold.
    ``known`` is what ``once`` has found in it.
    """

    text: str
    folded: str
    words: tuple[str, ...]
    folded_words: frozenset[str]
    named: frozenset[str]
    english: bool
    spaced: bool
    plain: bool
    known: dict[object, Any] = field(default_factory=dict, repr=False)


@lru_cache(maxsize=_STEMS)
def stem(word: str) -> str:
    """The Snowball stem of a casefolded word, without a possessive ending."""
    return str(_stemmer.stemWord(word.removesuffix("'s").removesuffix("'")))


@lru_cache(maxsize=_STEMS)
def meaning(word: str) -> str:
    """One stem for words that stand for each other in a question, else the word's own."""
    root = stem(word)
    return SYNONYMS.get(word) or _BY_STEM.get(root) or root


_BY_STEM = {str(_stemmer.stemWord(word)): name for word, name in reversed(list(SYNONYMS.items()))}


def once(find: Callable[[Reading], _T]) -> Callable[[Reading], _T]:
    """``find``, its result kept with the reading: a stored prompt is compared again and again."""

    @wraps(find)
    def found(reading: Reading) -> _T:
        known = reading.known
        try:
            return known[find]  # type: ignore[no-any-return]
        except KeyError:
            value = find(reading)
            # Most guards find nothing in most prompts: one empty set does for all.
            known[find] = _NOTHING if value == _NOTHING else value
            return value

    return found


class _Readings:
    """Readings of the prompts asked for last, within ``room``.

    In two halves: when the newer one is full it takes the place of the older, of which nobody has asked for what is still there.
    Two threads at once cost a reading made twice at most.
    """

    def __init__(self, room: int) -> None:
        self._room = self._left = room
        self._newer: dict[str, Reading] = {}
        self._older: dict[str, Reading] = {}

    def __call__(self, text: str) -> Reading:
        """The reading of a prompt. Any text can be read."""
        found = self._newer.get(text)
        if found is None:
            found = self._older.get(text) or _read(text)
            self._left -= len(text) + _EACH
            if self._left < 0:
                self._older, self._newer, self._left = self._newer, {}, self._room
            self._newer[text] = found
        return found

    def __len__(self) -> int:
        return len(self._newer.keys() | self._older.keys())


read = _Readings(_ROOM)


def _read(text: str) -> Reading:
    plain = unicodedata.normalize("NFKC", text).translate(_SIGNS)
    folded, ascii_only = plain.casefold(), plain.isascii()
    if "'" in plain or "cannot" in folded:
        for mark, pattern, spelt in _CONTRACTIONS:
            if mark in folded or not ascii_only:
                plain = pattern.sub(spelt, plain)
        folded = plain.casefold()
    words = _ASCII_WORD.findall(folded) if ascii_only else [word.casefold() for word in _WORD.findall(plain)]
    named = _named(plain, _ASCII_CAPITAL if ascii_only else _WORD)
    if len(named) > 0.6 * len(words) and len(words) > 3:
        # Title case or shouting tells nothing.
        named = []
    once_each = frozenset(words)
    return Reading(
        text=plain,
        folded=folded,
        words=tuple(words),
        folded_words=once_each,
        named=frozenset(named),
        english=not FUNCTION.isdisjoint(once_each),
        spaced=ascii_only or not _NO_SPACES.search(plain),
        plain=ascii_only,
    )


@once
def content(reading: Reading) -> frozenset[str]:
    """One stem for each word that says what is asked about, whatever the word for it."""
    return frozenset(map(meaning, reading.folded_words - _LIGHT))


@once
def stems(reading: Reading) -> frozenset[str]:
    """The stems of all words."""
    return frozenset(map(stem, reading.folded_words))


@once
def parts(reading: Reading) -> frozenset[str]:
    """The words, and what hyphens and apostrophes join in them: of a plain reading everything that stands between two word
    boundaries, and perhaps more."""
    joined = [word for word in reading.folded_words if "-" in word or "'" in word]
    return reading.folded_words.union(*map(_JOINTS.split, joined)) if joined else reading.folded_words


def _named(text: str, words: re.Pattern[str] | regex.Pattern[str]) -> list[str]:
    """Words with a capital that says something: not because a sentence starts, or because they are all capitals."""
    found = []
    for match in words.finditer(text):
        as_written = match.group()
        word = as_written.casefold()
        if (
            as_written[0].isupper()
            and word != "i"
            and not word.startswith("i'")
            and (as_written[1:].isupper() or not _starts(text[: match.start()]))
        ):
            found.append(word)
    return found


def _starts(before: str) -> bool:
    """Whether a sentence starts after this."""
    return not before.rstrip(" \t\"'([{*_-") or before.rstrip()[-1:] in ".!?:;\n"


_SIGNS = str.maketrans({"’": "'", "‘": "'", "`": "'", "“": '"', "”": '"', "„": '"', "–": "-", "—": "-", "−": "-", "\u00a0": " "})
