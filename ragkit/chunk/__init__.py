"""Chunkers: from a document to chunks, exact in characters and true to the token limit."""

from ragkit.chunk.auto import AutoChunker
from ragkit.chunk.code import CodeChunker
from ragkit.chunk.engine import Engine
from ragkit.chunk.html import HtmlChunker
from ragkit.chunk.json import JsonChunker
from ragkit.chunk.layout import Layout, make_layout
from ragkit.chunk.markdown import MarkdownChunker
from ragkit.chunk.plain import FixedChunker, RecursiveChunker, SentenceChunker
from ragkit.chunk.recipes import from_recipe
from ragkit.chunk.semantic import SemanticChunker

__all__ = [
    "AutoChunker",
    "CodeChunker",
    "Engine",
    "FixedChunker",
    "HtmlChunker",
    "JsonChunker",
    "Layout",
    "MarkdownChunker",
    "RecursiveChunker",
    "SemanticChunker",
    "SentenceChunker",
    "from_recipe",
    "make_layout",
]
