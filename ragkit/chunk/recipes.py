"""A chunker from the recipe that a store wrote down."""

from __future__ import annotations

import json
from typing import Any

from ragkit.chunk.auto import AutoChunker
from ragkit.chunk.code import CodeChunker
from ragkit.chunk.engine import Engine
from ragkit.chunk.html import HtmlChunker
from ragkit.chunk.json import JsonChunker
from ragkit.chunk.late import Late
from ragkit.chunk.markdown import MarkdownChunker
from ragkit.chunk.nesting import Parents
from ragkit.chunk.pipeline import Pipeline, Step
from ragkit.chunk.plain import FixedChunker, RecursiveChunker, SentenceChunker
from ragkit.chunk.situate import Situate
from ragkit.chunk.table import TableChunker
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
        TableChunker,
        AutoChunker,
    )
}
_STEPS: dict[str, type[Situate] | type[Late] | type[Parents]] = {"situate": Situate, "late": Late, "parents": Parents}


def from_recipe(recipe: str) -> Engine | Pipeline:
    """The chunker that wrote ``recipe``, unbound: its tokenizer is the one it will be bound to.

    Raises InvalidInputError for a recipe of a chunker or step this version does not know, or whose context was written
    by a Situator.
    """
    try:
        settings = dict(json.loads(recipe))
        if settings["chunker"] == "pipeline":
            return Pipeline(_engine(dict(settings["first"])), tuple(_step(dict(step)) for step in settings["steps"]))
        return _engine(settings)
    except (KeyError, TypeError, ValueError) as error:
        raise InvalidInputError(
            f"No built-in chunker has the recipe {recipe!r}. "
            "Pass the chunker that the documents were added with: Index(path, chunker=...)."
        ) from error


def _engine(settings: dict[str, Any]) -> Engine:
    kind = _KINDS[settings.pop("chunker")]
    settings.pop("tokenizer")
    return kind(**settings)


def _step(settings: dict[str, Any]) -> Step:
    return _STEPS[settings.pop("step")](**settings)
