"""Semantic chunking: a chunk ends where neighbouring sentences part in meaning."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from typing import Any, ClassVar

import numpy as np

from ragkit.chunk.engine import Engine
from ragkit.chunk.layout import Layout, make_layout
from ragkit.chunk.packer import Piece, pack
from ragkit.errors import InvalidInputError
from ragkit.seams import Embedder, Tokenizer
from ragkit.text.boundaries import Strength, prose_cuts
from ragkit.types import Document


@dataclass(frozen=True)
class SemanticChunker(Engine):
    """Breaks between sentences whose surroundings differ most in meaning; the token limit holds all the same.

    Each sentence is embedded together with ``buffer`` sentences on both sides, as far as the model's window reaches. A chunk ends wherever the cosine of two
    neighbours lies in the lowest ``100 - percentile`` percent of the document's (``percentile`` in (0, 100)); what is
    still too long is cut as ``RecursiveChunker`` would. It costs one embedding per sentence; published comparisons find
    it no better than fixed or recursive chunks on most collections, so measure before paying.

    Raises InvalidInputError without an embedder or for settings out of range.
    """

    _: KW_ONLY
    embedder: Embedder | None = None
    percentile: float = 90.0
    buffer: int = 1

    kind: ClassVar[str] = "semantic"

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isinstance(self.embedder, Embedder):
            raise InvalidInputError(f"embedder is {self.embedder!r}; SemanticChunker needs one: SemanticChunker(embedder=...).")
        if not 0 < self.percentile < 100:
            raise InvalidInputError(f"percentile is {self.percentile!r}; it must lie between 0 and 100.")
        if not isinstance(self.buffer, int) or self.buffer < 0:
            raise InvalidInputError(f"buffer is {self.buffer!r}; it must be a whole number of sentences, at least 0.")

    def _settings(self) -> dict[str, Any]:
        return super()._settings() | {"embedder": self.embedder.card.fingerprint if self.embedder else None}

    def layout(self, document: Document) -> Layout:
        """Prose cuts, with breaks where the meaning turns."""
        text = document.text
        cuts = prose_cuts(text)
        if self.embedder is None:
            return make_layout(cuts, len(text))
        counter = self.embedder.tokenizer or self._counter
        room = self.embedder.card.window - counter.n_special
        sentences = make_layout({at: 1 for at, strength in cuts.items() if strength >= Strength.SENTENCE}, len(text))
        every = Layout(cuts=sentences.cuts, strengths=sentences.strengths, breaks=sentences.cuts)
        pieces = [piece for piece in pack(text, every, counter, limit=room) if not text[piece.start : piece.end].isspace()]
        if len(pieces) < 3:
            return make_layout(cuts, len(text))
        vectors = self.embedder.embed_texts(
            [text[start:end] for start, end in _windows(pieces, self.buffer, counter, text, room)]
        )
        cosines = np.einsum("ij,ij->i", vectors[:-1], vectors[1:])
        least = np.percentile(cosines, 100 - self.percentile)
        return make_layout(cuts, len(text), breaks=[pieces[at + 1].start for at in np.flatnonzero(cosines <= least)])


def _windows(pieces: list[Piece], buffer: int, counter: Tokenizer, text: str, room: int) -> list[tuple[int, int]]:
    """Each piece with up to ``buffer`` neighbours on both sides, as many as the model's window holds."""
    windows = [(piece.start, piece.end) for piece in pieces]
    for reach in range(1, buffer + 1):
        wider = [(pieces[max(0, at - reach)].start, pieces[min(len(pieces) - 1, at + reach)].end) for at in range(len(pieces))]
        counts = counter.count_batch([text[start:end] for start, end in wider])
        windows = [wide if count <= room else window for window, wide, count in zip(windows, wider, counts, strict=True)]
    return windows
