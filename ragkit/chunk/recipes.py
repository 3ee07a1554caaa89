"""A chunker from the recipe that a store wrote down."""

from __future__ import annotations

import json

from ragkit.chunk.auto import AutoChunker
from ragkit.chunk.code import CodeChunker
from ragkit.chunk.engine import Engine
from ragkit.chunk.html import HtmlChunker
from ragkit.chunk.json import JsonChunker
from ragkit.chunk.markdown import MarkdownChunker
from ragkit.chunk.plain import FixedChunker, RecursiveChunker, SentenceChunker
from ragkit.errors import InvalidInputError

_KINDS: dict[str, type[Engine]] = {
    c.kind: c
    for c in (
        FixedChunker,
        SentenceChunker,
        RecursiveChunker,
        MarkdownChunker,
        HtmlChunker,
        CodeChunker,
        JsonChunker,
        AutoChunker,
    )
}


def from_recipe(recipe: str) -> Engine:
    """The chunker that wrote ``recipe``, unbound: its tokenizer is the one it will be bound to.

    Raises InvalidInputError for a recipe of a chunker this version does not know.
    """
    try:
        settings = dict(json.loads(recipe))
        kind = _KINDS[settings.pop("chunker")]
        settings.pop("tokenizer")
        return kind(**settings)
    except (KeyError, TypeError, ValueError) as error:
        raise InvalidInputError(
            f"No built-in chunker has the recipe {recipe!r}. "
            "Pass the chunker that the documents were added with: Index(path, chunker=...)."
        ) from error
