"""The analyzer: text in, BM25 tokens out, the same for chunks and for questions."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import lru_cache
from itertools import pairwise
from typing import Literal, get_args
from unicodedata import normalize

import regex

from ragkit.errors import InvalidInputError
from ragkit.types import canonical_json

Identifiers = Literal["both", "whole", "parts"]
NoSpace = Literal["bigrams", "both", "words"]

_KIND = "words"
_VERSION = 1
_MEMO_WORDS = 65_536

# Words of English grammar that carry no topic; nothing here can be the subject of a question by itself.
ENGLISH_STOP_WORDS: tuple[str, ...] = tuple(
    regex.findall(
        r"\w+",
        "a an and are as at be been but by did do does for from had has have how if in into is it its of on or s so such "
        "t than that the their then there these they this to was were what when where which who whom why will with would",
    )
)

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
_STEM_MARK = "~"


@dataclass(frozen=True, slots=True)
class Analyzer:
    """Turns text into the tokens that BM25 counts.

    Text is normalised (Unicode NFKC), cut into words (letters, digits and their marks, of one kind of script) and case
    folded. Every choice is in ``recipe``; documents and questions must share one.

    - ``identifiers``: what becomes of ``snake_case`` and ``camelCase``: the "whole" word, its "parts", or "both".
    - ``no_space``: scripts written without blanks (Chinese, Japanese, Korean, Thai, Lao, Khmer, Burmese) as
      "bigrams" of their characters, as "both" bigrams and single Chinese characters and Korean syllables, or as
      "words" (runs left whole).
    - ``stop_words``: words left out, compared after case folding; a question of nothing else has no tokens.
    - ``stem``: a Snowball language ("english", "german", ...) or None. The stem is a second token beside the word, marked
      with "~", so that "walking" finds "walked" and still finds "walking" first. Scripts without blanks have no stems.
    - ``max_length``: the longest token, in characters, at least 8; a longer word becomes several tokens.

    Tokens hold letters, marks, digits and inner underscores, after the mark of a stem: never blanks, controls or lone
    surrogates. Raises InvalidInputError for an unknown choice.
    """

    identifiers: Identifiers = "both"
    no_space: NoSpace = "both"
    stop_words: tuple[str, ...] = ENGLISH_STOP_WORDS
    stem: str | None = "english"
    max_length: int = 64

    def __post_init__(self) -> None:
        for name, allowed in (("identifiers", get_args(Identifiers)), ("no_space", get_args(NoSpace))):
            if getattr(self, name) not in allowed:
                raise InvalidInputError(f"Analyzer {name} is {getattr(self, name)!r}; allowed are {', '.join(allowed)}.")
        words: object = self.stop_words
        if not isinstance(words, (tuple, list, set, frozenset)) or not all(isinstance(word, str) for word in words):
            raise InvalidInputError(f"Analyzer stop_words is {words!r}; give a tuple of words, for example ENGLISH_STOP_WORDS.")
        object.__setattr__(self, "stop_words", tuple(sorted({_fold(word) for word in words})))
        if not isinstance(self.max_length, int) or self.max_length < 8:
            raise InvalidInputError(
                f"Analyzer max_length is {self.max_length!r}; it is a whole number of characters, at least 8."
            )
        if self.stem is not None:
            _stemmer(self.stem)

    @property
    def recipe(self) -> str:
        """Canonical JSON of every choice; equal recipes give equal tokens."""
        choices = {field.name: getattr(self, field.name) for field in fields(self)}
        return canonical_json({"kind": _KIND, "version": _VERSION, **choices})

    @classmethod
    def from_recipe(cls, recipe: str) -> Analyzer:
        """The analyzer that wrote ``recipe``. Raises InvalidInputError for text that no analyzer of this version wrote."""
        try:
            choices = json.loads(recipe)
            kind, version = choices.pop("kind"), choices.pop("version")
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise InvalidInputError(f"{recipe!r} is not an analyzer recipe; use the text of Analyzer(...).recipe.") from error
        known = {field.name for field in fields(cls)}
        if (kind, version) != (_KIND, _VERSION) or set(choices) != known:
            raise InvalidInputError(
                f"The analyzer recipe {recipe!r} is of another version; this one reads kind {_KIND!r} version {_VERSION} "
                f"with exactly {', '.join(sorted(known))}. Index again with this version, or use the one that wrote it."
            )
        return cls(**(choices | {"stop_words": tuple(choices["stop_words"])}))

    def tokens(self, text: str) -> list[str]:
        """The tokens of ``text`` in order, repeats included."""
        return _engine(self)(text)


def _fold(word: str) -> str:
    return normalize("NFKC", normalize("NFKC", word).casefold())


def _stemmer(language: str) -> Callable[[str], str]:
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
def _engine(analyzer: Analyzer) -> Callable[[str], list[str]]:
    """The compiled form of an analyzer."""
    stop = frozenset(analyzer.stop_words)
    stem = _stemmer(analyzer.stem) if analyzer.stem else None
    limit = analyzer.max_length

    def cut(token: str) -> list[str]:
        return [token[place : place + limit] for place in range(0, len(token), limit)]

    def finish(word: str) -> list[str]:
        word = _fold(word)
        if word in stop:
            return []
        if stem is None or len(word) > limit:
            return cut(word)
        return [word, (_STEM_MARK + stem(word))[:limit]]

    def spaced(word: str) -> list[str]:
        word = word.strip("_")
        parts = [part for part in _PARTS.split(word) if part]
        if analyzer.identifiers == "whole" or len(parts) < 2:
            return finish(word)
        tokens = [token for part in parts for token in finish(part)]
        return finish(word) + tokens if analyzer.identifiers == "both" else tokens

    def unspaced(run: str) -> list[str]:
        run = _fold(run)
        clusters = _CLUSTERS.findall(run)
        if analyzer.no_space == "words" or len(clusters) < 2:
            return cut(run)
        grams = [left + right for left, right in pairwise(clusters)]
        if analyzer.no_space == "both":
            grams += [cluster for cluster in clusters if _SYLLABLES.match(cluster)]
        return [token for gram in grams for token in cut(gram)]

    def make(word: str) -> list[str]:
        return unspaced(word) if _IS_UNSPACED.match(word) else spaced(word)

    memo = _Memo(make)

    def tokens(text: str) -> list[str]:
        words = _ASCII_WORDS.findall(text) if text.isascii() else _WORDS.findall(normalize("NFKC", text))
        return [token for word in words for token in (memo[word] if len(word) <= limit else make(word))]

    return tokens
