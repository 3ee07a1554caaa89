"""One chunker for a folder of mixed files: each document gets the one that suits its type."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from ragkit.chunk.engine import Engine
from ragkit.chunk.markdown import MarkdownChunker
from ragkit.chunk.plain import RecursiveChunker
from ragkit.types import Chunk, Document

_MARKDOWN = frozenset({"text/markdown", "application/x-ipynb+json"})


@dataclass(frozen=True)
class AutoChunker(Engine):
    """``MarkdownChunker`` for Markdown and notebooks, ``RecursiveChunker`` for all else.

    The type is the document's ``media_type`` metadata, which the loaders set. Chunks have the ids that the chosen
    chunker gives them.
    """

    kind: ClassVar[str] = "auto"

    def _chunks(self, document: Document) -> Iterator[Chunk]:
        chosen = MarkdownChunker if document.metadata.get("media_type") in _MARKDOWN else RecursiveChunker
        chunker = chosen(self.max_tokens, overlap=self.overlap, tokenizer=self._counter, reserve=self.reserve)
        yield from chunker(document)
