"""Chunkers: from a document to chunks, exact in characters and true to the token limit."""

from ragkit.chunk.auto import AutoChunker
from ragkit.chunk.code import CodeChunker
from ragkit.chunk.engine import Engine
from ragkit.chunk.html import HtmlChunker
from ragkit.chunk.json import JsonChunker
from ragkit.chunk.late import Late
from ragkit.chunk.layout import Layout, make_layout
from ragkit.chunk.markdown import MarkdownChunker
from ragkit.chunk.pipeline import Pipeline, Step
from ragkit.chunk.plain import FixedChunker, RecursiveChunker, SentenceChunker
from ragkit.chunk.recipes import from_recipe
from ragkit.chunk.semantic import SemanticChunker
from ragkit.chunk.situate import Situate, Situator
from ragkit.chunk.table import TableChunker

__all__ = [
    "AutoChunker",
    "CodeChunker",
    "Engine",
    "FixedChunker",
    "HtmlChunker",
    "JsonChunker",
    "Late",
    "Layout",
    "MarkdownChunker",
    "Pipeline",
    "RecursiveChunker",
    "SemanticChunker",
    "SentenceChunker",
    "Situate",
    "Situator",
    "Step",
    "TableChunker",
    "from_recipe",
    "make_layout",
]
