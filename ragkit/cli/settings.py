"""The model and the chunker of ``ragkit index``: as given, else as the database has them, else the defaults."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ragkit.cli.choices import ChunkerName, ContextName, make_chunker, with_context
from ragkit.weights import DEFAULT_MODEL

if TYPE_CHECKING:
    from ragkit.chunk import Engine, Pipeline
    from ragkit.seams import Embedder
    from ragkit.types import ModelCard


def choose_embedder(model: str | None, adapter: Path | None, stored: ModelCard | None) -> Embedder:
    """The embedder that was named, else the one of the database whose card is given, else the default."""
    from ragkit.embed import AdaptedEmbedder, TransformerEmbedder, load_adapter, load_embedder

    if adapter is not None:
        made = load_adapter(adapter)
        return AdaptedEmbedder(load_embedder(made.base) if model is None else TransformerEmbedder(model), path=made)
    return TransformerEmbedder(model or DEFAULT_MODEL) if stored is None or model is not None else load_embedder(stored)


def new_recipe(adapter: Path | None) -> str | None:
    """The recipe that a new database begins with: that of the chunks the adapter was trained on."""
    from ragkit.embed import load_adapter

    return (load_adapter(adapter).chunker or None) if adapter is not None else None


def choose_chunker(
    recipe: str | None, *, name: ChunkerName | None, max_tokens: Any, overlap: int | None, context: ContextName | None
) -> Engine | Pipeline:
    """The chunker of a recipe (None: of a database to be made) with the settings that were given in place of its own.

    Raises InvalidInputError for a recipe that the command line cannot build, unless ``name`` and ``context`` take its place.
    """
    if recipe is None or (name is not None and context is not None):
        engine = make_chunker(name or ChunkerName.auto, max_tokens=max_tokens or 256, overlap=overlap or 0)
        return with_context(engine, context or ContextName.none)
    from ragkit.chunk import Pipeline

    old = _rebuilt(recipe)
    first, steps = (old.chunker, old.steps) if isinstance(old, Pipeline) else (old, ())
    engine = _changed(first, name=name, max_tokens=max_tokens, overlap=overlap)
    if context is not None:
        return with_context(engine, context)
    return Pipeline(engine, steps) if steps else engine


def _rebuilt(recipe: str) -> Engine | Pipeline:
    from ragkit.chunk import from_recipe
    from ragkit.errors import InvalidInputError

    try:
        return from_recipe(recipe)
    except InvalidInputError as error:
        raise InvalidInputError(
            f"The documents of this database were cut by a chunker that the command line cannot build: {recipe}. Add documents in Python with "
            "Index(path, chunker=...), or give both --chunker and --context to cut them another way."
        ) from error


def _changed(engine: Engine, *, name: ChunkerName | None, max_tokens: Any, overlap: int | None) -> Engine:
    from ragkit.chunk import Engine, from_recipe

    settings = json.loads(engine.recipe)
    settings |= {} if max_tokens is None else {"max_tokens": max_tokens}
    settings |= {} if overlap is None else {"overlap": overlap}
    if name is not None and name.value != _name(settings):
        return make_chunker(name, max_tokens=settings["max_tokens"], overlap=settings["overlap"])
    made = from_recipe(json.dumps(settings))
    assert isinstance(made, Engine)
    return made


def _name(settings: dict[str, Any]) -> str:
    return ChunkerName.landmarks if settings.get("packing") == "one" else str(settings["chunker"])
