"""Chunkers by their names on the command line."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from ragkit.chunk import Engine


class ChunkerName(StrEnum):
    """The chunkers one can choose."""

    auto = "auto"
    fixed = "fixed"
    sentence = "sentence"
    recursive = "recursive"
    markdown = "markdown"


ChunkerOption = Annotated[
    ChunkerName, typer.Option("--chunker", help="How to cut; auto is markdown for Markdown and notebooks, recursive for others.")
]
MaxTokens = Annotated[int, typer.Option("--max-tokens", min=1, help="The most tokens of a chunk, special tokens included.")]
Overlap = Annotated[int, typer.Option("--overlap", min=0, help="Tokens that neighbouring chunks may share.")]


def make_chunker(name: ChunkerName, *, max_tokens: int, overlap: int, tokenizer: str | None = None) -> Engine:
    """The chunker of that name."""
    from ragkit.chunk import AutoChunker, FixedChunker, MarkdownChunker, RecursiveChunker, SentenceChunker

    kinds = {kind.kind: kind for kind in (AutoChunker, FixedChunker, MarkdownChunker, RecursiveChunker, SentenceChunker)}
    return kinds[name.value](max_tokens, overlap=overlap, tokenizer=tokenizer)
