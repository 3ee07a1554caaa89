"""Chunkers: from a document to chunks, exact in characters and true to the token limit."""

from ragkit.chunk.auto import AutoChunker
from ragkit.chunk.engine import Engine
from ragkit.chunk.layout import Layout, make_layout
from ragkit.chunk.markdown import MarkdownChunker
from ragkit.chunk.plain import FixedChunker, RecursiveChunker, SentenceChunker
from ragkit.chunk.recipes import from_recipe

__all__ = [
    "AutoChunker",
    "Engine",
    "FixedChunker",
    "Layout",
    "MarkdownChunker",
    "RecursiveChunker",
    "SentenceChunker",
    "from_recipe",
    "make_layout",
]
