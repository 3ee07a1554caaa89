"""Run a labelled collection through a real index and measure what comes back."""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Literal

from ragkit.errors import InvalidInputError
from ragkit.evaluate.collections import SCOPE, Collection, Place, Query, Unit
from ragkit.evaluate.metrics import Returned, compare, estimate, rank_metrics, span_metrics
from ragkit.evaluate.report import Comparison, EvalReport, Score
from ragkit.progress import Progress
from ragkit.progress import progress as progress_bar
from ragkit.rerank import CompressedReranker
from ragkit.retrieve import DEFAULT_FETCH_K, Fusion, Mode
from ragkit.seams import Chunker, Embedder
from ragkit.types import Document, Hit

if TYPE_CHECKING:
    from ragkit.index import Index
    from ragkit.index.asking import Rerank

ALL_MODES: tuple[Mode, ...] = ("dense", "bm25", "hybrid")
BUDGETS = (512, 1024, 2048)
_DEPTH = 100  # chunks searched per question; documents are ranked by their best chunk among these
_BATCH = 64


def evaluate(
    collection: Collection,
    *,
    index: Index | None = None,
    chunker: Chunker | None = None,
    embedder: Embedder | None = None,
    modes: Sequence[Mode] = ALL_MODES,
    fusions: Mapping[str, Fusion] | None = None,
    rerankers: Mapping[str, Rerank] | None = None,
    unit: Literal["auto"] | Unit = "auto",
    k: int = 10,
    fetch_k: int = DEFAULT_FETCH_K,
    budgets: Sequence[int] = BUDGETS,
    progress: bool = False,
) -> EvalReport:
    """Index the collection, ask all its judged questions in every mode, and measure.

    Without ``index`` one is built in a temporary folder from ``chunker`` and ``embedder`` (None: the defaults) and
    removed afterwards; a given one must hold the collection's units already (``collection.units(unit)``) and nothing else.
    ``unit`` "auto" judges passages where the collection has judged passages, else documents, each ranked by its best
    chunk. ``fusions`` are further hybrid rows, by the names they get, and so are ``rerankers``, each compared with plain hybrid
    search question by question; codes are stored where one of them reads codes. Span collections add character recall,
    precision and intersection over union at each of ``budgets`` (returned tokens). ``progress`` draws bars on a terminal.

    Raises InvalidInputError for settings that make no sense together, MissingDependencyError without the extra "eval".
    """
    chosen: Unit = collection.unit if unit == "auto" else unit
    if not modes and not fusions:
        raise InvalidInputError("modes is empty; name at least one of 'dense', 'bm25' and 'hybrid'.")
    if index is not None and (chunker is not None or embedder is not None):
        raise InvalidInputError("Both an index and a chunker or embedder were given; an index has its own.")
    documents, places = collection.units(chosen)
    judged = collection.judgements(chosen)
    asked = [query for query in collection.queries if _relevant(judged, query) or query.id in collection.spans]
    if not asked:
        raise InvalidInputError(f"The collection {collection.name!r} has no judged question for unit {chosen!r}.")
    reranked = rerankers or {}
    codes = [one for one in reranked.values() if isinstance(one, CompressedReranker)]
    with _opened(index, documents, chunker, embedder, progress, codes=codes) as ready, ExitStack() as others:
        names: dict[str, tuple[Index, Mode, Rerank | None]] = {str(mode): (ready, mode, None) for mode in modes}
        for name, fusion in (fusions or {}).items():
            names[name] = (others.enter_context(_with_fusion(ready, fusion)), "hybrid", None)
        names |= {name: (ready, "hybrid", one) for name, one in reranked.items()}
        measured: dict[str, dict[str, dict[str, float]]] = {}
        with progress_bar("Asking", total=len(asked) * len(names), enabled=progress) as watch:
            for name, (one, mode, rerank) in names.items():
                most = max(budgets, default=0) if collection.spans else 0
                found = _ask(one, asked, mode, fetch_k=fetch_k, tokens=most, watch=watch, rerank=rerank)
                measured[name] = _measure(collection, found, judged, places, k=k, budgets=budgets)
        stats = ready.stats()
        return EvalReport(
            collection=collection.name,
            unit=chosen,
            documents=len(documents),
            chunks=stats.chunks,
            queries=len(asked),
            unjudgeable=collection.unjudgeable,
            model=ready.card.name,
            chunker=stats.chunker,
            analyzer=stats.analyzer,
            k=k,
            fetch_k=fetch_k,
            scores=tuple(_scores(measured)),
            comparisons=tuple(_comparisons(measured, reranked)),
        )


def _relevant(judged: Mapping[str, Mapping[str, int]], query: Query) -> bool:
    return any(grade > 0 for grade in judged.get(query.id, {}).values())


@contextmanager
def _opened(
    index: Index | None,
    documents: Sequence[Document],
    chunker: Chunker | None,
    embedder: Embedder | None,
    progress: bool,
    *,
    codes: Sequence[CompressedReranker],
) -> Iterator[Index]:
    if index is not None:
        held, wanted = set(index.document_ids()), {document.id for document in documents if document.text.strip()}
        if wanted - held or held - {document.id for document in documents}:
            raise InvalidInputError(
                f"The index holds {len(held)} documents and the collection has {len(wanted)}, {len(wanted - held)} of them missing "
                "there; evaluate an index that holds the collection's units and nothing else, or leave index out."
            )
        yield index
        return
    from ragkit.index import Index

    with_vectors = next((one.compressor for one in codes if one.given_reader is None), None)
    with (
        TemporaryDirectory(prefix="ragkit-eval-") as folder,
        Index(Path(folder) / "db", chunker=chunker, embedder=embedder, compressor=with_vectors) as made,
    ):
        made.add(documents, progress=progress)
        for one in codes:
            made.codes.fill(one.compressor, reader=one.given_reader, progress=progress)
        made.optimize()
        yield made


def _with_fusion(index: Index, fusion: Fusion) -> Index:
    from ragkit.index import Index

    return Index(index.path, embedder=index.embedder, fusion=fusion, create=False)


def _ask(
    index: Index, queries: Sequence[Query], mode: Mode, *, fetch_k: int, tokens: int, watch: Progress, rerank: Rerank | None
) -> dict[str, list[Hit]]:
    """Hits by question: the best ``_DEPTH``, and more where those are shorter than ``tokens`` and more exist."""
    groups: dict[str | None, list[Query]] = {}
    for query in queries:
        groups.setdefault(query.doc_id, []).append(query)
    found: dict[str, list[Hit]] = {}
    for scope, group in groups.items():
        where = None if scope is None else {SCOPE: scope}
        for place in range(0, len(group), _BATCH):
            batch, depth = group[place : place + _BATCH], _DEPTH
            watch.advance(len(batch), note=mode)
            while batch:
                texts = [query.text for query in batch]
                answers = index.search_many(texts, k=depth, mode=mode, where=where, fetch_k=fetch_k, rerank=rerank)
                short = []
                for query, hits in zip(batch, answers, strict=True):
                    found[query.id] = hits
                    if len(hits) == depth and sum(hit.chunk.n_tokens for hit in hits) < tokens:
                        short.append(query)
                batch, depth = short, depth * 4
    return found


def _measure(
    collection: Collection,
    found: Mapping[str, Sequence[Hit]],
    judged: Mapping[str, Mapping[str, int]],
    places: Mapping[str, Place],
    *,
    k: int,
    budgets: Sequence[int],
) -> dict[str, dict[str, float]]:
    measured: dict[str, dict[str, float]] = {}
    if judged:
        asked = {query: judged[query] for query in found if query in judged}
        measured |= rank_metrics(asked, {query: _folded(hits) for query, hits in found.items()}, k=k)
    for budget in budgets:
        for query, gold in collection.spans.items():
            returned = [_returned(hit, places) for hit in found[query]]
            for name, value in span_metrics(returned, gold, budget=budget).items():
                measured.setdefault(f"{name}@{budget} tokens", {})[query] = value
    return measured


def _folded(hits: Sequence[Hit]) -> list[str]:
    """Documents in the order of their best chunks."""
    return list(dict.fromkeys(hit.chunk.doc_id for hit in hits[:_DEPTH]))


def _returned(hit: Hit, places: Mapping[str, Place]) -> Returned:
    place = places[hit.chunk.doc_id]
    return Returned(place.doc_id, place.start + hit.chunk.start, place.start + hit.chunk.end, hit.chunk.n_tokens)


def _scores(measured: Mapping[str, Mapping[str, Mapping[str, float]]]) -> Iterator[Score]:
    for mode, metrics in measured.items():
        for metric, values in metrics.items():
            mean, low, high, n = estimate(list(values.values()))
            yield Score(mode=mode, metric=metric, mean=mean, low=low, high=high, n=n)


def _comparisons(measured: Mapping[str, Mapping[str, Mapping[str, float]]], reranked: Container[str]) -> Iterator[Comparison]:
    """Plain hybrid search against every other row, and every reranked row against it, in every metric."""
    if "hybrid" not in measured:
        return
    for name, metrics in measured.items():
        if name == "hybrid":
            continue
        one, other = (name, "hybrid") if name in reranked else ("hybrid", name)
        for metric in metrics:
            (mean, low, high, _), verdict = compare(measured[one][metric], measured[other][metric])
            yield Comparison(mode=one, other=other, metric=metric, mean=mean, low=low, high=high, verdict=verdict)
