"""Chunkers by their names on the command line."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from ragkit.chunk import Engine, Pipeline
    from ragkit.chunk.sizes import Size


class ChunkerName(StrEnum):
    """The chunkers one can choose."""

    auto = "auto"
    fixed = "fixed"
    sentence = "sentence"
    recursive = "recursive"
    markdown = "markdown"
    html = "html"
    table = "table"
    code = "code"
    json = "json"
    landmarks = "landmarks"


def parse_size(value: object) -> object:
    """A number of tokens, or "least-most"."""
    from ragkit.chunk.sizes import checked_size
    from ragkit.errors import InvalidInputError

    numbers = str(value).split("-")
    if not all(number.strip().isdecimal() for number in numbers):
        raise typer.BadParameter(f"{value!r} is neither a number of tokens nor a range such as 200-256.")
    try:
        return checked_size(int(numbers[0]) if len(numbers) == 1 else tuple(map(int, numbers)), "--max-tokens")
    except InvalidInputError as error:
        raise typer.BadParameter(str(error)) from error


class ContextName(StrEnum):
    """What a model may read around a chunk."""

    none = "none"
    titles = "title"
    title_words = "title-words"
    neighbours = "neighbours"
    late = "late"
    half_late = "half-late"


_CONTEXT = typer.Option(
    "--context",
    help="What the model reads around each chunk: none; title, the title and headings above it; title-words, the same, and BM25 "
    "reads them, too; neighbours, title and headings and the "
    "sentence before it; late, the whole document (late chunking); half-late, half of that and half the chunk alone. Compare them "
    "with ragkit study chunks.",
)
_CHUNKER = typer.Option(
    "--chunker",
    help="How to cut; auto is markdown for Markdown and notebooks, table for CSV and TSV, recursive for others. code and json need "
    "the extra code. landmarks are single sentences, for ragkit search --runs.",
)
_MAX_TOKENS = typer.Option(
    "--max-tokens",
    parser=parse_size,
    metavar="N or N-M",
    help="The most tokens of a chunk, special tokens included; as 200-256 also how full one is before a stronger boundary counts "
    "for more than a later one.",
)
_OVERLAP = typer.Option("--overlap", min=0, help="Tokens that neighbouring chunks may share.")
ContextOption = Annotated[ContextName, _CONTEXT]
ChunkerOption = Annotated[ChunkerName, _CHUNKER]
MaxTokens = Annotated[Any, _MAX_TOKENS]
Overlap = Annotated[int, _OVERLAP]
#: The same, for commands that take what is not given from the database.
GivenContext = Annotated[ContextName | None, _CONTEXT]
GivenChunker = Annotated[ChunkerName | None, _CHUNKER]
GivenOverlap = Annotated[int | None, _OVERLAP]


def make_chunker(
    name: ChunkerName,
    *,
    max_tokens: Size,
    overlap: int,
    tokenizer: str | None = None,
    separators: Sequence[str] = (),
    best_fit: bool = False,
    source: bool = False,
) -> Engine:
    """The chunker of that name; ``source`` says that it is given files as they are, not what a loader made of them.

    Raises InvalidInputError for options of another chunker, and for html without the source.
    """
    from ragkit import chunk
    from ragkit.errors import InvalidInputError

    if name is ChunkerName.html and not source:
        raise InvalidInputError("--chunker html cuts tags, and files are read without them here. Use --chunker auto.")
    if separators and name is not ChunkerName.recursive:
        raise InvalidInputError(f"--separator is for --chunker recursive, not {name.value}.")
    if best_fit and name is not ChunkerName.sentence:
        raise InvalidInputError(f"--best-fit is for --chunker sentence, not {name.value}.")
    if separators:
        return chunk.RecursiveChunker(
            max_tokens, overlap=overlap, tokenizer=tokenizer, separators=[_unescaped(text) for text in separators]
        )
    if name is ChunkerName.landmarks:
        return chunk.SentenceChunker(max_tokens, overlap=overlap, tokenizer=tokenizer, packing="one")
    if best_fit:
        return chunk.SentenceChunker(max_tokens, overlap=overlap, tokenizer=tokenizer, packing="best")
    kinds = (
        chunk.AutoChunker,
        chunk.FixedChunker,
        chunk.SentenceChunker,
        chunk.RecursiveChunker,
        chunk.MarkdownChunker,
        chunk.HtmlChunker,
        chunk.TableChunker,
        chunk.CodeChunker,
        chunk.JsonChunker,
    )
    return {kind.kind: kind for kind in kinds}[name.value](max_tokens, overlap=overlap, tokenizer=tokenizer)


def _unescaped(text: str) -> str:
    # Shells pass "\\n" as two characters.
    return text.replace("\\n", "\n").replace("\\t", "\t")


def with_context(chunker: Engine, name: ContextName) -> Engine | Pipeline:
    """The chunker with that context, which leaves its texts alone; half of every vector is the chunk read without it, but for late."""
    from ragkit.chunk import Late, Situate

    match name:
        case ContextName.none:
            return chunker
        case ContextName.titles:
            return chunker | Situate(before=0)
        case ContextName.title_words:
            return chunker | Situate(before=0, use="both")
        case ContextName.neighbours:
            return chunker | Situate(before=1)
        case ContextName.late:
            return chunker | Late()
        case ContextName.half_late:
            return chunker | Late(blend=0.5)
