"""One chunker for a folder of mixed files: each document gets the one that suits its type."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import ClassVar

from ragkit.chunk.engine import Engine
from ragkit.chunk.markdown import MarkdownChunker
from ragkit.chunk.plain import RecursiveChunker
from ragkit.chunk.table import TableChunker
from ragkit.types import Chunk, Document, Metadata

_KINDS: dict[str, type[Engine]] = {
    "text/markdown": MarkdownChunker,
    "application/x-ipynb+json": MarkdownChunker,
    "text/csv": TableChunker,
    "text/tab-separated-values": TableChunker,
}


@dataclass(frozen=True)
class AutoChunker(Engine):
    """``MarkdownChunker`` for Markdown and notebooks, ``TableChunker`` for CSV and TSV, ``RecursiveChunker`` for all else.

    The type is the document's ``media_type`` metadata, which the loaders set. Chunks have the ids that the chosen
    chunker gives them.
    """

    kind: ClassVar[str] = "auto"

    def stream_text(self, pieces: Iterable[str], /, *, id: str, metadata: Metadata | None = None) -> Iterator[Chunk]:
        """As ``Engine.stream_text``, by the chunker that suits ``metadata["media_type"]``."""
        return self._chosen(metadata or {}).stream_text(pieces, id=id, metadata=metadata)

    def _chosen(self, metadata: Metadata) -> Engine:
        kind = _KINDS.get(str(metadata.get("media_type")), RecursiveChunker)
        return kind(self.max_tokens, overlap=self.overlap, tokenizer=self._counter, reserve=self.reserve)

    def _chunks(self, document: Document) -> Iterator[Chunk]:
        yield from self._chosen(document.metadata)._chunks(document)
