"""Chunkers: from a document to chunks, exact in characters and true to the token limit."""

from ragkit.chunk.accounts import Estimate, Fallback, Prices, WritingReport
from ragkit.chunk.auto import AutoChunker
from ragkit.chunk.code import CodeChunker
from ragkit.chunk.engine import Engine
from ragkit.chunk.html import HtmlChunker
from ragkit.chunk.json import JsonChunker
from ragkit.chunk.late import Late
from ragkit.chunk.layout import Layout, make_layout
from ragkit.chunk.markdown import MarkdownChunker
from ragkit.chunk.nesting import Parents, parents
from ragkit.chunk.pipeline import Pipeline, Step
from ragkit.chunk.plain import FixedChunker, RecursiveChunker, SentenceChunker
from ragkit.chunk.prompts import Prompt
from ragkit.chunk.recipes import from_recipe
from ragkit.chunk.semantic import SemanticChunker
from ragkit.chunk.situate import Fallible, Situate, Situator
from ragkit.chunk.table import TableChunker
from ragkit.chunk.verdict import Reply
from ragkit.chunk.written import PromptedSituator

__all__ = [
    "AutoChunker",
    "CodeChunker",
    "Engine",
    "Estimate",
    "Fallback",
    "Fallible",
    "FixedChunker",
    "HtmlChunker",
    "JsonChunker",
    "Late",
    "Layout",
    "MarkdownChunker",
    "Parents",
    "Pipeline",
    "Prices",
    "Prompt",
    "PromptedSituator",
    "RecursiveChunker",
    "Reply",
    "SemanticChunker",
    "SentenceChunker",
    "Situate",
    "Situator",
    "Step",
    "TableChunker",
    "WritingReport",
    "from_recipe",
    "make_layout",
    "parents",
]
