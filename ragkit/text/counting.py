"""Tokenizers without a vocabulary: characters, words, and any counting function."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence, Sized
from itertools import pairwise
from operator import index
from typing import SupportsIndex

import numpy as np

from ragkit.errors import InvalidInputError
from ragkit.seams import Offsets

CountFunction = Callable[[str], "int | Sized"]

_WORD = re.compile(r"\w+|[^\w\s]")
_PIECE = re.compile(r"\s*\S+\s*|\s+")


class CharacterTokenizer:
    """One token per character (Python string index)."""

    __slots__ = ()
    name = "characters"
    n_special = 0

    def count_batch(self, texts: Sequence[str], /) -> list[int]:
        """Lengths in characters."""
        return [len(text) for text in texts]

    def starts_batch(self, texts: Sequence[str], /) -> list[Offsets]:
        """0, 1, 2, ..."""
        return [np.arange(len(text), dtype=np.int64) for text in texts]

    def additive_at(self, text: str, position: int, /) -> bool:
        """Always: lengths add up."""
        return True


class WordTokenizer:
    """One token per run of word characters and per other visible character (Unicode, no vocabulary)."""

    __slots__ = ()
    name = "words"
    n_special = 0

    def count_batch(self, texts: Sequence[str], /) -> list[int]:
        """Counts of words and of punctuation characters."""
        return [sum(1 for _ in _WORD.finditer(text)) for text in texts]

    def starts_batch(self, texts: Sequence[str], /) -> list[Offsets]:
        """Character offsets of the words."""
        return [np.fromiter((match.start() for match in _WORD.finditer(text)), dtype=np.int64) for text in texts]

    def additive_at(self, text: str, position: int, /) -> bool:
        """True unless the cut parts one word."""
        if position <= 0 or position >= len(text):
            return True
        return _WORD.fullmatch(text[position - 1 : position + 1]) is None


class FunctionTokenizer:
    """Any function from a text to its token count, or to its tokens.

    The function is asked about pieces to find cuts, and every chunk is judged by asking it once more; it need
    not be additive. Raises InvalidInputError when it returns something else than a count of at least 0.
    """

    __slots__ = ("_function", "n_special", "name")

    def __init__(self, function: CountFunction, *, name: str | None = None, n_special: int = 0) -> None:
        self._function = function
        place = f"{getattr(function, '__module__', '')}.{getattr(function, '__qualname__', type(function).__name__)}"
        self.name = name or f"function:{place}"
        self.n_special = n_special

    def _count(self, text: str) -> int:
        answer = self._function(text)
        count = -1
        if isinstance(answer, Sized):
            # A mapping is what a tokenizer made for a model (ids, mask): as long as it has keys.
            count = -1 if isinstance(answer, Mapping) else len(answer)
        elif isinstance(answer, SupportsIndex) and not isinstance(answer, bool):
            count = index(answer)
        if count < 0:
            raise InvalidInputError(
                f"The tokenizer function {self.name!r} returned {answer!r} for {text[:40]!r}; "
                "it must return a count >= 0, or the tokens."
            )
        return count

    def count_batch(self, texts: Sequence[str], /) -> list[int]:
        """The function's counts, one call per text."""
        return [self._count(text) for text in texts]

    def starts_batch(self, texts: Sequence[str], /) -> list[Offsets]:
        """An estimate: each word's tokens spread evenly over its characters."""
        return [self._starts(text) for text in texts]

    def _starts(self, text: str) -> Offsets:
        edges = [match.start() for match in _PIECE.finditer(text)] + [len(text)]
        found = [np.linspace(a, b, self._count(text[a:b]), endpoint=False).astype(np.int64) for a, b in pairwise(edges)]
        return np.concatenate(found) if found else np.empty(0, np.int64)

    def additive_at(self, text: str, position: int, /) -> bool:
        """Never: nothing is known about the function."""
        return False
