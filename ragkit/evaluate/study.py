"""Which way of cutting and reading serves these documents: recipes compared at equal returned tokens."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import get_args

from ragkit.chunk import Engine
from ragkit.embed import CachedEmbedder, TransformerEmbedder
from ragkit.errors import InvalidInputError
from ragkit.evaluate.collections import Collection
from ragkit.evaluate.study_measure import Gold, gold_of
from ragkit.evaluate.study_plan import CONTEXTS, PLAIN, SIZES, Recipe, recipe_grid
from ragkit.evaluate.study_report import StudyReport, make_report
from ragkit.evaluate.study_run import Outcome, run_recipe
from ragkit.evaluate.study_shelf import Settings
from ragkit.evaluate.study_store import OutcomeStore
from ragkit.index.queries import query_vectors
from ragkit.lexical import Analyzer
from ragkit.progress import progress as progress_bar
from ragkit.retrieve import DEFAULT_FUSION, Fusion, Mode
from ragkit.seams import Embedder
from ragkit.types import Document, ModelCard, canonical_json, digest

_VERSION = 2
_PROBE = Document("A first sentence. A second one.", id="probe", metadata={"title": "Probe"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Study:
    """A study that is planned and checked, and not yet run. Make one with ``plan_study``."""

    collection: Collection
    recipes: tuple[Recipe, ...]
    gold: Gold
    embedder: Embedder
    settings: Settings
    cache: Path | None
    seed: int
    notes: tuple[str, ...]

    def run(self, *, progress: bool = False) -> Iterator[Outcome]:
        """One outcome per recipe, as each is finished and kept; finished ones of an earlier run come at once."""
        store = OutcomeStore(None if self.cache is None else self.cache / "recipes")
        embedder = self.embedder if self.cache is None else CachedEmbedder(self.embedder, path=self.cache / "vectors.db")
        keys = {recipe.name: self._key(recipe) for recipe in self.recipes}
        known = {name: kept for name, key in keys.items() if (kept := store.get(key)) is not None}
        try:
            queries = None
            with progress_bar("Studying", total=len(self.recipes), enabled=progress) as watch:
                for recipe in self.recipes:
                    watch.advance(0, note=recipe.name)
                    outcome = known.get(recipe.name)
                    if outcome is None:
                        if queries is None:
                            # The first recipe's time is not the time to load the model.
                            self.embedder.embed_texts([_PROBE.text])
                            queries = query_vectors(embedder, [query.text for query in self.gold.queries])
                        outcome = run_recipe(
                            recipe, self.collection.documents, self.gold, embedder, queries, self.settings, fresh=self.embedder
                        )
                        store.put(keys[recipe.name], outcome)
                    watch.advance()
                    # A name is for people: the same recipe may have been kept under another one.
                    yield replace(
                        outcome, name=recipe.name, code=recipe.code, kind=recipe.kind, size=recipe.size,
                        context=recipe.context, baseline=recipe.baseline,
                    )  # fmt: skip
        finally:
            if isinstance(embedder, CachedEmbedder):
                embedder.close()

    def report(self, outcomes: Sequence[Outcome], *, resamples: int = 10_000) -> StudyReport:
        """What the outcomes say together; raises InvalidInputError when there are none."""
        return make_report(
            outcomes,
            self.collection,
            self.gold,
            self.settings,
            model=self.embedder.card.name,
            embedder=_embedder_code(self.embedder.card),
            planned=len(self.recipes),
            notes=self.notes,
            seed=self.seed,
            resamples=resamples,
        )

    def _key(self, recipe: Recipe) -> str:
        settings = self.settings
        return digest(
            str(_VERSION),
            recipe.chunker.recipe,
            str(recipe.runs),
            self.embedder.card.fingerprint,
            settings.analyzer.recipe,
            repr(settings.fusion),
            canonical_json([settings.modes, settings.budgets, settings.k]),
            canonical_json([asdict(query) for query in self.gold.queries]),
            canonical_json([self.gold.spans, self.gold.documents, self.gold.units, self.gold.grades]),
            *sorted(f"{document.id}\n{document.digest}" for document in self.collection.documents),
        )


def plan_study(
    collection: Collection,
    *,
    chunkers: Sequence[str] = ("recursive",),
    sizes: Sequence[int] | None = None,
    contexts: Sequence[str] = (PLAIN,),
    recipes: Sequence[Recipe] | None = None,
    embedder: Embedder | None = None,
    modes: Sequence[Mode] = get_args(Mode),
    budgets: Sequence[int] = (512, 1024, 2048),
    k: int = 10,
    fusion: Fusion = DEFAULT_FUSION,
    analyzer: Analyzer | None = None,
    cache: str | Path | None = None,
    seed: int = 0,
    notes: Sequence[str] = (),
) -> Study:
    """A study of ``recipes``, or of the grid of ``chunkers``, ``sizes`` and ``contexts``, all checked before any work.

    ``sizes`` None takes those of 64, 128, 256 and 512 tokens that the model can read.

    ``cache`` is a folder for vectors and finished recipes; without it nothing outlives the call. ``notes`` are told in the report.
    Raises InvalidInputError for what cannot be studied: no documents or questions, unknown names, sizes beyond the model's
    window, budgets below 1; CapabilityError for a context that the model cannot read.
    """
    if not any(document.text.strip() for document in collection.documents):
        raise InvalidInputError(f"{collection.name!r} has no document with text, so there is nothing to study.")
    if not modes or set(modes) - set(get_args(Mode)):
        raise InvalidInputError(f"modes is {list(modes)!r}; allowed are {', '.join(get_args(Mode))}, at least one of them.")
    for name, values in (("budget", budgets), ("k", [k])):
        if not values or any(not isinstance(one, int) or isinstance(one, bool) or one < 1 for one in values):
            raise InvalidInputError(f"{name} is {list(values)!r}; it must be a whole number, at least 1.")
    gold = gold_of(collection)
    used = TransformerEmbedder() if embedder is None else embedder
    card, tokenizer = used.card, used.tokenizer
    told = list(notes)
    if sizes is None:
        sizes = [size for size in SIZES if not card.window or size <= card.window] or [card.window]
        if recipes is None and (beyond := [str(size) for size in SIZES if size not in sizes]):
            told.append(f"Sizes of {', '.join(beyond)} tokens are left out: the model reads at most {card.window}.")
    chosen = (
        recipe_grid(chunkers=chunkers, sizes=sizes, contexts=contexts, window=card.window) if recipes is None else list(recipes)
    )
    if tight := [
        one.name for one in chosen if recipes is None and one.context != PLAIN and 0 < card.window < one.size + _room(one)
    ]:
        told.append(
            f"The model's window of {card.window} tokens leaves less room for text beside the context in {', '.join(tight)}: "
            "their chunks are shorter than the plain ones of that size."
        )
    names = [recipe.name for recipe in chosen]
    if not names or len(set(names)) < len(names):
        raise InvalidInputError(f"The recipes are {names!r}; at least one is needed, and no name twice.")
    if tokenizer is not None:
        chosen = [replace(one, chunker=one.chunker.bind(tokenizer, window=card.window or None)) for one in chosen]
    for recipe in chosen:
        # A model that cannot read a context says so here, not after an hour.
        if not isinstance(recipe.chunker, Engine):
            used.embed_chunks(_PROBE, recipe.chunker(_PROBE))
    return Study(
        collection=collection,
        recipes=tuple(chosen),
        gold=gold,
        embedder=used,
        settings=Settings(
            modes=tuple(modes), budgets=tuple(sorted(set(budgets))), k=k, analyzer=analyzer or Analyzer(), fusion=fusion
        ),
        cache=None if cache is None else Path(cache),
        seed=seed,
        notes=tuple(told),
    )


def _embedder_code(card: ModelCard) -> str:
    """The call that makes this embedder, where it is known; "" where it is not."""
    settings = dict(card.settings)
    if settings.get("engine") != "transformers" or "extend" in settings or "temperature" in settings:
        return ""
    dtype = settings.get("dtype", "float32")
    return f'TransformerEmbedder("{card.name}", window={card.window}' + (f', dtype="{dtype}")' if dtype != "float32" else ")")


def _room(recipe: Recipe) -> int:
    step = CONTEXTS[recipe.context]
    return 0 if step is None else step.reserve


def study_chunks(
    collection: Collection,
    *,
    chunkers: Sequence[str] = ("recursive",),
    sizes: Sequence[int] | None = None,
    contexts: Sequence[str] = (PLAIN,),
    recipes: Sequence[Recipe] | None = None,
    embedder: Embedder | None = None,
    modes: Sequence[Mode] = get_args(Mode),
    budgets: Sequence[int] = (512, 1024, 2048),
    k: int = 10,
    fusion: Fusion = DEFAULT_FUSION,
    cache: str | Path | None = None,
    seed: int = 0,
    resamples: int = 10_000,
    progress: bool = False,
) -> StudyReport:
    """Compare ways of chunking on a collection, at equal returned tokens, and say which of the differences are real.

    For every recipe (``recipes``, or the grid of ``chunkers`` x ``sizes`` x ``contexts``): span recall, precision and IoU at each of
    ``budgets`` (tokens), nDCG@``k``, embedding seconds, bytes and number of chunks, in every mode; paired bootstrap over questions against
    the plain recipe of the same size and against the best, with Holm's correction and "no winner" as an allowed verdict.
    One recipe is in memory at a time. ``cache`` (a folder) keeps vectors and finished recipes. The study of chunk sizes
    that this follows: Bhat et al., 2505.21700. Raises what ``plan_study`` raises.
    """
    study = plan_study(
        collection, chunkers=chunkers, sizes=sizes, contexts=contexts, recipes=recipes, embedder=embedder, modes=modes,
        budgets=budgets, k=k, fusion=fusion, cache=cache, seed=seed,
    )  # fmt: skip
    return study.report(list(study.run(progress=progress)), resamples=resamples)


def limited(collection: Collection, *, documents: int | None = None, questions: int | None = None, seed: int = 0) -> Collection:
    """Fewer documents and questions, chosen by chance from ``seed``: documents with answers first, questions about what is left."""
    from random import Random

    random = Random(seed)
    kept = list(collection.documents)
    if documents is not None and documents < len(kept):
        wanted = _answering(collection)
        random.shuffle(kept)
        kept = sorted(kept, key=lambda one: one.id not in wanted)[:documents]
    ids = {one.id for one in kept}
    passages = tuple(one for one in collection.passages if one.doc_id in ids)
    spans = {query: found for query, found in collection.spans.items() if all(doc in ids for doc, _, _ in found)}
    lost = collection.spans.keys() - spans.keys()
    asked = [one for one in collection.queries if one.id not in lost and (one.doc_id is None or one.doc_id in ids)]
    smaller = replace(
        collection,
        documents=tuple(one for one in collection.documents if one.id in ids),
        queries=tuple(asked),
        passages=passages,
        spans=spans,
        qrels=_within(collection.qrels, ids),
        passage_qrels=_within(collection.passage_qrels, {one.id for one in passages}),
    )
    judged = gold_of(smaller).queries
    if questions is not None and questions < len(judged):
        ids = {one.id for one in random.sample(judged, questions)}
        judged = tuple(one for one in judged if one.id in ids)
    return replace(smaller, queries=judged, spans={one.id: spans[one.id] for one in judged if one.id in spans})


def _answering(collection: Collection) -> set[str]:
    places = {one.id: one.doc_id for one in collection.passages}
    spans = {doc for found in collection.spans.values() for doc, _, _ in found}
    judged = {places[one] for found in collection.passage_qrels.values() for one in found if one in places}
    return spans or judged or {one for found in collection.qrels.values() for one in found}


def _within(judged: Mapping[str, Mapping[str, int]], ids: set[str]) -> dict[str, Mapping[str, int]]:
    """The judgements of questions all of whose relevant targets are there."""
    return {query: found for query, found in judged.items() if all(target in ids for target, grade in found.items() if grade > 0)}
