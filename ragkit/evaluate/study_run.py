"""One recipe, measured: cut, embed, rank every question, and see what came back at equal returned tokens."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from ragkit.evaluate.study_measure import Gold, measure
from ragkit.evaluate.study_plan import Recipe
from ragkit.evaluate.study_runs import as_runs
from ragkit.evaluate.study_shelf import Settings, Shelf, fill
from ragkit.seams import Chunker, Embedder, Vectors
from ragkit.types import Document

_SAMPLE_CHARACTERS = 48_000
_KNOWN = 0.05  # with a larger share of vectors from a cache, the time of the call says nothing


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What one recipe costs and finds.

    ``mean_tokens`` is the mean length of a chunk's text; ``embed_seconds`` the time to embed all chunks, without any cache:
    "measured", or reckoned from a "sample" of the documents where some vectors came from a cache. ``vector_bytes`` are float32
    rows, ``text_bytes`` the UTF-8 of texts and contexts. ``values[mode][metric]`` has one value per question, in the study's order.
    """

    name: str
    code: str
    kind: str
    size: int
    context: str
    baseline: str | None
    chunks: int
    mean_tokens: float
    embed_seconds: float
    timing: str
    vector_bytes: int
    text_bytes: int
    values: Mapping[str, Mapping[str, Sequence[float]]] = field(hash=False)

    def to_dict(self) -> dict[str, Any]:
        """Everything, ready for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Outcome:
        """An outcome from ``to_dict``'s output."""
        return cls(**data)


def run_recipe(
    recipe: Recipe,
    documents: Sequence[Document],
    gold: Gold,
    embedder: Embedder,
    queries: Vectors,
    settings: Settings,
    *,
    fresh: Embedder,
) -> Outcome:
    """Measure one recipe. ``queries`` are the questions' vectors; ``fresh`` is the embedder without its cache."""
    words = [settings.analyzer.query_tokens(query.text) for query in gold.queries]
    shelf = fill(recipe.chunker, documents, embedder, set().union(*words), settings)
    places, seconds, timing = shelf.places, shelf.seconds, "measured"
    if shelf.from_cache > _KNOWN:
        seconds, timing = _sampled_seconds(recipe.chunker, documents, fresh, int(places.tokens.sum())), "sample"
    return Outcome(
        name=recipe.name,
        code=recipe.code,
        kind=recipe.kind,
        size=recipe.size,
        context=recipe.context,
        baseline=recipe.baseline,
        chunks=len(places.tokens),
        mean_tokens=float(places.tokens.mean()),
        embed_seconds=seconds,
        timing=timing,
        vector_bytes=shelf.vector_bytes,
        text_bytes=shelf.text_bytes,
        values=answers(recipe, shelf, gold, queries, words, settings),
    )


def answers(
    recipe: Recipe, shelf: Shelf, gold: Gold, queries: Vectors, words: Sequence[Sequence[str]], settings: Settings
) -> dict[str, dict[str, list[float]]]:
    """What the recipe's chunks, or runs of them, answer: ``[mode][metric]`` has one value per question."""
    ranked = shelf.search(gold.queries, queries, words, settings)
    found, places = {mode: [one.rows for one in some] for mode, some in ranked.items()}, shelf.places
    if recipe.runs:
        found, places = as_runs(ranked, places, max_tokens=recipe.runs)
    return {str(mode): measure(rows, gold, places, k=settings.k, budgets=settings.budgets) for mode, rows in found.items()}


def _sampled_seconds(chunker: Chunker, documents: Sequence[Document], embedder: Embedder, tokens: int) -> float:
    """Seconds for all, by the time per token of the first characters of documents evenly spread over the collection."""
    step = max(1, len(documents) // 8)
    chosen = documents[::step][:8]
    each = _SAMPLE_CHARACTERS // len(chosen)
    parts = [Document(one.text[:each], id=one.id, metadata=one.metadata) for one in chosen]
    items = [(part, chunker(part)) for part in parts if part.text.strip()]
    read = sum(chunk.n_tokens for _, chunks in items for chunk in chunks)
    if not read:
        return 0.0
    began = time.perf_counter()
    embedder.embed_batch(items)
    return (time.perf_counter() - began) * tokens / read
