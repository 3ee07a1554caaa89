"""Late chunking: the model reads the document, the chunk's own tokens become its vector."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, replace
from typing import Any

from ragkit.errors import InvalidInputError
from ragkit.seams import Tokenizer
from ragkit.types import Chunk, Document, Encoding, Span

#: Characters on either side of a chunk that a model can read along at all: more than the longest windows, of 8,192 tokens, hold.
AROUND = 32_768


@dataclass(frozen=True)
class Late:
    """Late chunking (Günther et al., 2409.04701): every chunk's window is its whole document.

    A document longer than ``window`` tokens (0: the model's own window; special tokens, prompt and context included)
    is read in passes that share ``overlap`` tokens, and every token's vector comes from the pass in which it stands
    farthest from where the text was cut. ``blend`` in [0, 1] is the share of the late vector; the rest is the vector
    of the chunk's text read alone, one more pass over it.

    A chunk with a context of its own (``Situate``, the header of a table) shares no pass with others, because the context
    stands in all of its passes: its window is the document up to ``AROUND`` characters on either side, so that time
    and memory stay linear in the document.

    Small models that were not trained for it lose by late chunking alone; half and half breaks even. Compare on your
    own documents with ``ragkit study chunks``. Models that pool one special token refuse (CapabilityError).

    Raises InvalidInputError for values out of range.
    """

    _: KW_ONLY
    blend: float = 1.0
    window: int = 0
    overlap: int = 64

    reserve = 0

    def __post_init__(self) -> None:
        if not isinstance(self.blend, (int, float)) or not 0.0 <= self.blend <= 1.0:
            raise InvalidInputError(f"blend is {self.blend!r}; it is the share of the late vector, between 0 and 1.")
        Encoding(window=self.window, overlap=self.overlap)

    @property
    def recipe(self) -> Mapping[str, Any]:
        """The step and its settings, as JSON-like values."""
        return {"step": "late", "blend": float(self.blend), "window": self.window, "overlap": self.overlap}

    def __call__(self, document: Document, chunks: Sequence[Chunk], tokenizer: Tokenizer, /) -> list[Chunk]:
        """The chunks with the document as their window, or what lies around them."""
        length = len(document.text)
        return [
            replace(
                chunk,
                window=Span(max(0, chunk.start - AROUND), min(length, chunk.end + AROUND)) if chunk.context else Span(0, length),
                encoding=replace(chunk.encoding, plain=1.0 - self.blend, window=self.window, overlap=self.overlap),
            )
            for chunk in chunks
        ]
