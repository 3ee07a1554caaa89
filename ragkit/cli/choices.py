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
    code = "code"
    json = "json"


ChunkerOption = Annotated[
    ChunkerName,
    typer.Option(
        "--chunker",
        help="How to cut; auto is markdown for Markdown and notebooks, recursive for others. code and json need the extra code.",
    ),
]
MaxTokens = Annotated[int, typer.Option("--max-tokens", min=1, help="The most tokens of a chunk, special tokens included.")]
Overlap = Annotated[int, typer.Option("--overlap", min=0, help="Tokens that neighbouring chunks may share.")]


def make_chunker(name: ChunkerName, *, max_tokens: int, overlap: int, tokenizer: str | None = None) -> Engine:
    """The chunker of that name."""
    from ragkit import chunk

    # No html: the loaders give the text of a page without its tags.
    kinds = (
        chunk.AutoChunker,
        chunk.FixedChunker,
        chunk.SentenceChunker,
        chunk.RecursiveChunker,
        chunk.MarkdownChunker,
        chunk.CodeChunker,
        chunk.JsonChunker,
    )
    return {kind.kind: kind for kind in kinds}[name.value](max_tokens, overlap=overlap, tokenizer=tokenizer)
