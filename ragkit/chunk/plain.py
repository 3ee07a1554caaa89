"""Chunkers of plain text: token windows, sentences, ranked boundaries."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass, replace
from itertools import pairwise
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from ragkit.chunk.engine import Engine
from ragkit.chunk.evening import best_fit
from ragkit.chunk.layout import Layout, make_layout
from ragkit.chunk.separators import Separator, as_json, checked_separators, ranked_cuts
from ragkit.errors import InvalidInputError
from ragkit.text.boundaries import Strength, prose_cuts
from ragkit.types import Document


@dataclass(frozen=True)
class FixedChunker(Engine):
    """Windows of as many tokens as fit, cut between words; a longer word is cut between graphemes.

    With ``overlap`` each window begins at the first word start inside the last ``overlap`` tokens of the one before.
    """

    kind: ClassVar[str] = "fixed"
    local: ClassVar[bool] = True

    def layout(self, document: Document) -> Layout:
        """No preferred cuts: the engine fills each window."""
        return Layout()


@dataclass(frozen=True)
class SentenceChunker(Engine):
    """Whole sentences and lines, as many as fit; only a sentence beyond the limit is cut, between words. With ``overlap``
    that is one that does not fit beside what the chunk shares with the one before.

    Sentences end at Unicode terminators of any script; abbreviations, initials, decimals and numbered items do not
    end them. A line end that only wraps a sentence does not either.

    ``packing`` "first" fills each chunk before the next one begins. "best" makes equally few chunks and fills them evenly: of
    all packings with the fewest chunks the one with the least sum of squared free tokens (least-squares line breaking, by
    dynamic programming). It costs a second count of the text, and an edit may move more chunks than one. The fewest are
    certain without overlap, and where the tokenizer's counts add up. "one" gives every sentence a chunk of its own:
    landmarks for ``Index.search_runs``.

    Raises InvalidInputError for another packing.
    """

    _: KW_ONLY
    packing: Literal["first", "best", "one"] = "first"

    kind: ClassVar[str] = "sentence"
    local: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.packing not in ("first", "best", "one"):
            raise InvalidInputError(
                f"packing is {self.packing!r}; it is 'first' (fill, then go on), 'best' (equally few, evenly) or 'one' (each alone)."
            )

    def _settings(self) -> dict[str, Any]:
        return {key: value for key, value in super()._settings().items() if (key, value) != ("packing", "first")}

    def layout(self, document: Document) -> Layout:
        """Every sentence and line end alike, or the ends that fill chunks best."""
        text = document.text
        cuts = {at: 1 for at, strength in prose_cuts(text).items() if strength >= Strength.SENTENCE}
        layout = make_layout(cuts, len(text))
        if self.packing == "first":
            return layout
        if self.packing == "one":
            return replace(layout, breaks=_before_words(text, layout.cuts))
        return best_fit(text, layout.cuts, self._counter, limit=self._limit, overlap=self.overlap, ahead=self._ahead)


@dataclass(frozen=True)
class RecursiveChunker(Engine):
    """Ranked boundaries: page, paragraph, line, sentence, wrapped line, word, grapheme.

    A chunk ends at its strongest boundary in the second half of the limit, the latest of equals, so that the same
    paragraphs give the same cuts wherever they stand: an edit moves only the chunks around it.

    ``separators`` are boundaries of your own, the strongest first: "page", "paragraph", "line", "sentence" or "wrap" for
    those levels, any other string for itself, or a compiled regular expression. A chunk ends after a separator, which is
    never lost; to end before one, look ahead: ``re.compile(r"^(?=class )", re.MULTILINE)``. Words and graphemes are
    parted, as a last resort, whether they are named or not.

    Raises InvalidInputError for a separator that is neither a string nor a pattern of strings.
    """

    _: KW_ONLY
    separators: Sequence[Separator] | None = None

    kind: ClassVar[str] = "recursive"
    local: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "separators", checked_separators(self.separators))

    def _settings(self) -> dict[str, Any]:
        settings = super()._settings()
        if self.separators is None:
            del settings["separators"]
        else:
            settings["separators"] = as_json(tuple(self.separators))
        return settings

    def layout(self, document: Document) -> Layout:
        """Line and sentence ends by strength, or the separators by rank."""
        text = document.text
        cuts = prose_cuts(text) if self.separators is None else ranked_cuts(text, tuple(self.separators))
        return make_layout(cuts, len(text))


def _before_words(text: str, cuts: NDArray[np.int64]) -> NDArray[np.int64]:
    """The cuts with words on both sides, up to the cuts next to them: blanks alone are no sentence."""
    edges = [0, *cuts.tolist(), len(text)]
    worded = [not text[start:end].isspace() for start, end in pairwise(edges)]
    first = worded.index(True) if True in worded else len(worded)
    return np.array([edges[at] for at in range(first + 1, len(worded)) if worded[at]], np.int64)
