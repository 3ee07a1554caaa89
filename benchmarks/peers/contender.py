"""A contender: a chunker of a library, how to make it, and what was set for its good."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from peers.vocabularies import TOKENIZERS
from ragkit.testing.conformance import TextChunker

LIMIT, OVERLAP = 128, 32


@dataclass(frozen=True)
class Contender:
    """``make(kind, tokenizer, overlap)`` gives the chunker; ``module`` tells whether the library is here, ``settings`` what was set."""

    module: str
    package: str
    kind: str
    make: Callable[[str, str, int], TextChunker]
    settings: str
    overlaps: bool = True
    tokenizers: tuple[str, ...] = tuple(TOKENIZERS)

    @property
    def name(self) -> str:
        return f"{self.package.removesuffix('-core').removesuffix('-text-splitters').removesuffix('-ai')} {self.kind.lower()}".strip()

    def runs(self) -> list[tuple[str, int]]:
        """Every tokenizer, without overlap and with it where there is such a setting."""
        return [(tokenizer, overlap) for tokenizer in self.tokenizers for overlap in ((0, OVERLAP) if self.overlaps else (0,))]
