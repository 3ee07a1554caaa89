"""Questions about words that say more than "any of these": phrases, all, any, none, beginnings, and misspellings.

Plain frozen values. ``read`` turns one into conditions on tokens, with the analyzer that wrote the tokens and, for beginnings and
misspellings, with the words that the corpus has. Nothing in a text is ever syntax.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import regex

from ragkit.errors import InvalidInputError
from ragkit.lexical.analyzer import Analyzer
from ragkit.lexical.words import STEM_MARK, clusters, is_unspaced, words_of
from ragkit.text.term_query import Condition, Either, Every, InOrder, OneOf, TermQuery

_MOST_WORDS = 1024
_SINGLES = r"(?: \S\p{M}*)*?"


class TextQuery:
    """Base of the questions below; what stands where one is expected as text is ``Words``."""

    __slots__ = ()

    def plain(self) -> str:
        """The words asked for, as the dense arm reads them; what ``Not`` excludes is left out."""
        raise NotImplementedError


@dataclass(frozen=True, slots=True)
class Words(TextQuery):
    """Any of the words of ``text``, best first; with ``every`` all of them, each as it stands or by its stem."""

    text: str
    every: bool = False

    def __post_init__(self) -> None:
        _check_text("Words", self.text)

    def plain(self) -> str:
        return self.text


@dataclass(frozen=True, slots=True)
class Phrase(TextQuery):
    """The words of ``text`` one after the other, as they stand; case and stop words that the analyzer leaves out do not count.

    In scripts without blanks it is found inside longer runs too.
    """

    text: str

    def __post_init__(self) -> None:
        _check_text("Phrase", self.text)

    def plain(self) -> str:
        return self.text


@dataclass(frozen=True, slots=True)
class Prefix(TextQuery):
    """Words that begin with ``text``."""

    text: str

    def __post_init__(self) -> None:
        _check_text("Prefix", self.text)

    def plain(self) -> str:
        return self.text


@dataclass(frozen=True, slots=True)
class Fuzzy(TextQuery):
    """Words within ``edits`` (1 or 2) letters inserted, left out, changed or swapped (optimal string alignment)."""

    text: str
    edits: int = 1

    def __post_init__(self) -> None:
        _check_text("Fuzzy", self.text)
        if isinstance(self.edits, bool) or self.edits not in (1, 2):
            raise InvalidInputError(f"Fuzzy edits is {self.edits!r}; allowed are 1 and 2.")

    def plain(self) -> str:
        return self.text


class _Several(TextQuery):
    __slots__ = ()
    parts: tuple[TextQuery, ...]

    def __init__(self, *parts: str | TextQuery) -> None:
        if not parts:
            raise InvalidInputError(f"{type(self).__name__}() has nothing to look for; give words or questions.")
        object.__setattr__(self, "parts", tuple(_question(part) for part in parts))

    def plain(self) -> str:
        return " ".join(filter(None, (part.plain() for part in self.parts)))


@dataclass(frozen=True, slots=True, init=False)
class AllOf(_Several):
    """What meets every one of these. ``AllOf("oil", Not("olive"))`` holds oil and not olive, in no arm of a search."""

    parts: tuple[TextQuery, ...]


@dataclass(frozen=True, slots=True, init=False)
class AnyOf(_Several):
    """What meets at least one of these."""

    parts: tuple[TextQuery, ...]


@dataclass(frozen=True, slots=True, init=False)
class Not(TextQuery):
    """What does not meet ``part``: only inside ``AllOf``, beside something to look for."""

    part: TextQuery

    def __init__(self, part: str | TextQuery) -> None:
        object.__setattr__(self, "part", _question(part))

    def plain(self) -> str:
        return ""


def read(query: TextQuery, analyzer: Analyzer, vocabulary: Callable[[], Mapping[str, int]]) -> TermQuery:
    """``query`` as conditions on the tokens that ``analyzer`` writes.

    ``vocabulary`` gives the tokens of the corpus and is asked only for ``Prefix`` and ``Fuzzy``. Texts without a single token ask
    for nothing: beside others they are left out, alone they find nothing.

    Raises InvalidInputError for a ``Not`` outside ``AllOf`` or alone in it, and for a beginning or misspelling of more than
    1,024 words.
    """
    reader = _Reader(analyzer, vocabulary)
    condition = reader.condition(query)
    without = condition.without if isinstance(condition, Every) else ()
    return TermQuery(condition or OneOf(()), tuple(reader.tokens), without)


class _Reader:
    def __init__(self, analyzer: Analyzer, vocabulary: Callable[[], Mapping[str, int]]) -> None:
        self.analyzer, self.vocabulary = analyzer, vocabulary
        self.tokens: list[str] = []

    def condition(self, query: TextQuery) -> Condition | None:
        """What ``query`` asks of a row's tokens; None where it asks nothing. The tokens to score by gather in ``tokens``."""
        match query:
            case Words(text, every):
                groups = self._groups(text)
                if every:
                    return Every(tuple(groups)) if groups else None
                return OneOf(tuple(dict.fromkeys(token for group in groups for token in group.tokens))) if groups else None
            case Phrase(text):
                return self._phrase(text)
            case Prefix(text):
                begun = self._folded(text)
                return self._among(query, (word for word in self._words() if begun and word.startswith(begun)))
            case Fuzzy(text, edits):
                return self._among(query, _within(self._folded(text), edits, self._words()))
            case AllOf(parts):
                return self._every(parts)
            case AnyOf(parts):
                found = tuple(one for one in map(self.condition, parts) if one is not None)
                return Either(found) if found else None
        raise InvalidInputError(f"{query!r} stands alone or in AnyOf; use Not inside AllOf, beside something to look for.")

    def _every(self, parts: tuple[TextQuery, ...]) -> Condition | None:
        wanted = [part for part in parts if not isinstance(part, Not)]
        if not wanted:
            raise InvalidInputError("AllOf holds nothing but Not(...); give at least one thing to look for.")
        found = tuple(one for one in map(self.condition, wanted) if one is not None)
        scored = list(self.tokens)
        without = tuple(one for part in parts if isinstance(part, Not) if (one := self.condition(part.part)) is not None)
        self.tokens = scored
        return Every(found, without) if found else None

    def _groups(self, text: str) -> list[OneOf]:
        """Each word as itself or its stem, which the analyzer writes behind it with a mark."""
        groups: list[OneOf] = []
        for token in self.analyzer.query_tokens(text):
            self.tokens.append(token)
            if token.startswith(STEM_MARK) and groups:
                groups[-1] = OneOf((*groups[-1].tokens, token))
            else:
                groups.append(OneOf((token,)))
        return groups

    def _phrase(self, text: str) -> Condition | None:
        tokens = self.analyzer.tokens(text)
        self.tokens += tokens
        if not tokens:
            return None
        words = [(word, found) for word in words_of(text) if (found := self.analyzer.tokens(word))]
        last = len(words) - 1
        steps = [_step(word, found, first=at == 0, last=at == last) for at, (word, found) in enumerate(words)]
        # A run at the end may go on in the text: what must be there of it is what the step asks for.
        needed = tuple(dict.fromkeys(token for _, needs in steps for token in needs))
        pattern = " ".join(step for step, _ in steps)
        return InOrder(needed, pattern) if needed else InOrder(tuple(dict.fromkeys(tokens)), pattern)

    def _words(self) -> Iterable[str]:
        return (token for token in self.vocabulary() if not token.startswith(STEM_MARK))

    def _folded(self, text: str) -> str:
        """The text as the analyzer writes one word: its longest token that is no stem."""
        plain = [token for token in self.analyzer.tokens(text) if not token.startswith(STEM_MARK)]
        return max(plain, key=len, default="")

    def _among(self, query: TextQuery, words: Iterable[str]) -> Condition | None:
        found = sorted(words)
        if len(found) > _MOST_WORDS:
            raise InvalidInputError(
                f"{query!r} stands for {len(found):,} words; at most {_MOST_WORDS:,} are looked for. Give more letters."
            )
        self.tokens += found
        return OneOf(tuple(found)) if found else OneOf(())


def _step(word: str, tokens: list[str], *, first: bool, last: bool) -> tuple[str, list[str]]:
    """The pattern of one word of a phrase, and tokens that every match has.

    A run of a script without blanks may begin before the phrase and end after it. Its tokens are pairs of characters, then,
    in some analyzers, single ones; so its pairs stand together in the text's tokens, its single ones at their end.
    """
    whole = " ".join(map(regex.escape, tokens))
    if not is_unspaced(word) or not (first or last):
        return whole, tokens
    if clusters(word) == 1:
        if first and last:
            return whole, tokens
        # The second of the run's last pair, with nothing but single ones behind it; or the first of its first pair.
        return (rf"\S*{whole}{_SINGLES}" if first else rf"{whole}\S*"), []
    pairs = [token for token in tokens if clusters(token) > 1] or tokens
    together = " ".join(map(regex.escape, pairs))
    if last:
        return together, pairs
    singles = "".join(rf" {regex.escape(token)}" for token in tokens[len(pairs) :])
    return rf"{together}{_SINGLES}{singles}", pairs


def _within(word: str, edits: int, words: Iterable[str]) -> Iterable[str]:
    from rapidfuzz import process
    from rapidfuzz.distance import OSA

    if not word:
        return ()
    near = [one for one in words if abs(len(one) - len(word)) <= edits]
    return (one for one, _, _ in process.extract(word, near, scorer=OSA.distance, score_cutoff=edits, limit=None))


def _question(part: str | TextQuery) -> TextQuery:
    return part if isinstance(part, TextQuery) else Words(part)


def _check_text(name: str, text: object) -> None:
    if not isinstance(text, str):
        raise InvalidInputError(f"{name} is given {text!r} ({type(text).__name__}); it takes text.")
