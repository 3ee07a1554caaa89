"""The analyzer: text in, BM25 tokens out, the same for chunks and for questions."""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from typing import Any, get_args

from ragkit.errors import InvalidInputError
from ragkit.lexical.bare import bare_question
from ragkit.lexical.stop_words import ENGLISH_STOP_WORDS, STOP_WORDS
from ragkit.lexical.words import Accents, Case, Cutter, Identifiers, NoSpace, StopIn, cutter, fold, stemmer
from ragkit.types import canonical_json

_KIND = "words"
_VERSION = 1
# What a recipe means that was written before these choices existed; where a choice is that, recipes still leave it out.
_UNWRITTEN: dict[str, Any] = {"stop_in": "everywhere", "case": "fold", "accents": "keep", "courtesies": True}


@dataclass(frozen=True, slots=True)
class Analyzer:
    """Turns text into the tokens that BM25 counts.

    Text is normalised (Unicode NFKC), cut into words (letters, digits and their marks, of one kind of script) and case
    folded. Every choice is in ``recipe``; documents and questions must share one.

    - ``identifiers``: what becomes of ``snake_case`` and ``camelCase``: the "whole" word, its "parts", or "both".
    - ``no_space``: scripts written without blanks (Chinese, Japanese, Korean, Thai, Lao, Khmer, Burmese) as
      "bigrams" of their characters, as "both" bigrams and single Chinese characters and Korean syllables, as single
      "characters", or as "words" (runs left whole).
    - ``stop_words``: words left out, compared after folding; or the name of a language of ``STOP_WORDS``.
    - ``stop_in``: "questions" leaves them out of questions only, and not out of one that has no other words, so that "The Who"
      and "to be or not to be" are found; "everywhere" keeps them out of the documents too, where a question of nothing
      else has no tokens.
    - ``stem``: a Snowball language ("english", "german", ...) or None. The stem is a second token beside the word, marked
      with "~", so that "walking" finds "walked" and still finds "walking" first. Scripts without blanks have no stems, and
      stop words neither.
    - ``max_length``: the longest token, in characters, at least 8; a longer word becomes several tokens.
    - ``case``: "fold", or "keep" where "US" and "us" are two words.
    - ``accents``: "keep", or "strip" where "café" and "cafe" are one word.
    - ``courtesies``: whether questions lose what people put around them ("could you please tell me ..."); see ``bare_question``.

    Tokens hold letters, marks, digits and inner underscores, after the mark of a stem: never blanks, controls or lone
    surrogates. Raises InvalidInputError for an unknown choice.
    """

    identifiers: Identifiers = "both"
    no_space: NoSpace = "both"
    stop_words: tuple[str, ...] | str = ENGLISH_STOP_WORDS
    stem: str | None = "english"
    max_length: int = 64
    stop_in: StopIn = "questions"
    case: Case = "fold"
    accents: Accents = "keep"
    courtesies: bool = True

    def __post_init__(self) -> None:
        choices = {"identifiers": Identifiers, "no_space": NoSpace, "stop_in": StopIn, "case": Case, "accents": Accents}
        for name, choice in choices.items():
            if getattr(self, name) not in get_args(choice):
                raise InvalidInputError(f"Analyzer {name} is {getattr(self, name)!r}; allowed are {', '.join(get_args(choice))}.")
        if not isinstance(self.courtesies, bool):
            raise InvalidInputError(f"Analyzer courtesies is {self.courtesies!r}; it is True or False.")
        if not isinstance(self.max_length, int) or self.max_length < 8:
            raise InvalidInputError(
                f"Analyzer max_length is {self.max_length!r}; it is a whole number of characters, at least 8."
            )
        if self.stem is not None:
            stemmer(self.stem)
        words = _stop_words(self.stop_words)
        object.__setattr__(self, "stop_words", tuple(sorted({fold(word, self.case, self.accents) for word in words})))

    @property
    def recipe(self) -> str:
        """Canonical JSON of every choice; equal recipes give equal tokens."""
        choices = {field.name: getattr(self, field.name) for field in fields(self)}
        written = {name: choice for name, choice in choices.items() if name not in _UNWRITTEN or choice != _UNWRITTEN[name]}
        return canonical_json({"kind": _KIND, "version": _VERSION, **written})

    @classmethod
    def from_recipe(cls, recipe: str) -> Analyzer:
        """The analyzer that wrote ``recipe``. Raises InvalidInputError for text that no analyzer of this version wrote."""
        try:
            choices = json.loads(recipe)
            kind, version = choices.pop("kind"), choices.pop("version")
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise InvalidInputError(f"{recipe!r} is not an analyzer recipe; use the text of Analyzer(...).recipe.") from error
        known = {field.name for field in fields(cls)}
        if (kind, version) != (_KIND, _VERSION) or set(_UNWRITTEN | choices) != known:
            raise InvalidInputError(
                f"The analyzer recipe {recipe!r} is of another version; this one reads kind {_KIND!r} version {_VERSION} "
                f"with exactly {', '.join(sorted(known))}. Index again with this version, or use the one that wrote it."
            )
        return cls(**(_UNWRITTEN | choices | {"stop_words": tuple(choices["stop_words"])}))

    def tokens(self, text: str) -> list[str]:
        """The tokens of a document's ``text`` in order, repeats included."""
        return self._cutter(everywhere=self.stop_in == "everywhere")(text)

    def query_tokens(self, question: str) -> list[str]:
        """The tokens to search for: those of ``question`` without stop words and courtesies, unless nothing else is left."""
        cut = self._cutter(everywhere=True)
        bare = self.asked(question)
        return cut(bare) or (cut(question) if bare != question else []) or self.tokens(question)

    def asked(self, question: str) -> str:
        """``question`` without what people put around it, unless ``courtesies`` is False or nothing else is left."""
        return bare_question(question) if self.courtesies else question

    def _cutter(self, *, everywhere: bool) -> Cutter:
        return cutter(
            identifiers=self.identifiers, no_space=self.no_space, stop_words=tuple(self.stop_words), leave_out=everywhere,
            stem=self.stem, max_length=self.max_length, case=self.case, accents=self.accents,
        )  # fmt: skip


def _stop_words(words: object) -> tuple[str, ...]:
    if isinstance(words, str) and words in STOP_WORDS:
        return STOP_WORDS[words]
    if not isinstance(words, (tuple, list, set, frozenset)) or not all(isinstance(word, str) for word in words):
        raise InvalidInputError(
            f"Analyzer stop_words is {words!r}; give a tuple of words, for example ENGLISH_STOP_WORDS, or one of the languages "
            f"{', '.join(STOP_WORDS)}."
        )
    return tuple(words)
