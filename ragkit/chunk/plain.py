"""Chunkers of plain text: token windows, sentences, ranked boundaries."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ragkit.chunk.engine import Engine
from ragkit.chunk.layout import Layout, make_layout
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
    """Whole sentences and lines, as many as fit; only a sentence beyond the limit is cut, between words.

    Sentences end at Unicode terminators of any script; abbreviations, initials, decimals and numbered items do not
    end them. A line end that only wraps a sentence does not either.
    """

    kind: ClassVar[str] = "sentence"
    local: ClassVar[bool] = True

    def layout(self, document: Document) -> Layout:
        """Every sentence and line end alike."""
        cuts = {at: 1 for at, strength in prose_cuts(document.text).items() if strength >= Strength.SENTENCE}
        return make_layout(cuts, len(document.text))


@dataclass(frozen=True)
class RecursiveChunker(Engine):
    """Ranked boundaries: page, paragraph, line, sentence, wrapped line, word, grapheme.

    A chunk ends at its strongest boundary in the second half of the limit, the latest of equals, so that the same
    paragraphs give the same cuts wherever they stand: an edit moves only the chunks around it.
    """

    kind: ClassVar[str] = "recursive"
    local: ClassVar[bool] = True

    def layout(self, document: Document) -> Layout:
        """Line and sentence ends by strength."""
        return make_layout(prose_cuts(document.text), len(document.text))
