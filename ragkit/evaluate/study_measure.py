"""What came back, judged: metrics of every question at equal returned tokens."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ragkit.errors import InvalidInputError
from ragkit.evaluate.collections import Collection, Query
from ragkit.evaluate.metrics import CharSpan, Returned, rank_metrics, span_metrics

_DIGITS = 6  # of a metric: more would only make files longer
DEPTH = 100  # chunks looked at for nDCG, as in ``evaluate``
Ints = NDArray[np.int64]


class Gold(NamedTuple):
    """What answers the questions: evidence spans, or judged documents where the collection has no spans.

    ``units`` are judged passages for nDCG, by document; without them nDCG ranks the spans themselves, or documents.
    """

    queries: tuple[Query, ...]
    spans: Mapping[str, Sequence[CharSpan]]
    documents: Mapping[str, Mapping[str, int]]
    units: Mapping[str, Sequence[tuple[int, int, str]]]
    grades: Mapping[str, Mapping[str, int]]


def gold_of(collection: Collection) -> Gold:
    """The questions that can be judged, and by what; raises InvalidInputError when there are none.

    Spans come first; without them judged passages are spans of their documents; without those whole documents are judged.
    """
    places = {one.id: one for one in collection.passages}
    grades = {
        query: {one: grade for one, grade in judged.items() if grade > 0 and one in places}
        for query, judged in collection.passage_qrels.items()
    }
    spans: dict[str, Sequence[CharSpan]] = {query: found for query, found in collection.spans.items() if found}
    if not spans:
        spans = {
            query: tuple((places[one].doc_id, places[one].start, places[one].end) for one in judged)
            for query, judged in grades.items()
            if judged
        }
    known = {document.id for document in collection.documents}
    documents: dict[str, Mapping[str, int]] = {}
    if not spans:
        judged_documents = {
            query: {one: grade for one, grade in judged.items() if grade > 0 and one in known}
            for query, judged in collection.qrels.items()
        }
        documents = {query: judged for query, judged in judged_documents.items() if judged}
    queries = tuple(query for query in collection.queries if query.id in spans or query.id in documents)
    if not queries:
        raise InvalidInputError(
            f"{collection.name!r} has no question whose answer is in its documents, so there is nothing to compare by. "
            "Give questions with answers, or let them be made from headings."
        )
    # Passages serve nDCG only where they are judged for every question that counts.
    judged_all = bool(spans) and all(grades.get(query.id) for query in queries)
    units: dict[str, list[tuple[int, int, str]]] = {}
    for passage in collection.passages if judged_all else ():
        units.setdefault(passage.doc_id, []).append((passage.start, passage.end, passage.id))
    return Gold(queries, spans, documents, {doc: sorted(some) for doc, some in units.items()}, grades if judged_all else {})


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """Where the chunks of a recipe lie, row by row in the order of document id, start and end.

    The chunks of ``documents[i]`` are the rows ``bounds[i]`` to ``bounds[i + 1]``; ``tokens`` counts each chunk's text.
    """

    documents: tuple[str, ...]
    bounds: Ints
    start: Ints
    end: Ints
    tokens: Ints

    @property
    def owners(self) -> Ints:
        """For each row the place of its document in ``documents``."""
        return np.repeat(np.arange(len(self.documents)), np.diff(self.bounds))

    def scope(self, doc_id: str | None) -> slice:
        """The rows of one document, or of all."""
        if doc_id is None:
            return slice(0, len(self.tokens))
        if doc_id not in self.documents:
            return slice(0, 0)
        at = self.documents.index(doc_id)
        return slice(int(self.bounds[at]), int(self.bounds[at + 1]))


def measure(found: Sequence[Ints], gold: Gold, made: Places, *, k: int, budgets: Sequence[int]) -> dict[str, list[float]]:
    """One value per question and metric; ``found`` are the rows returned for each question, best first."""
    owners = made.owners
    qrels: dict[str, dict[str, int]] = {}
    run: dict[str, list[str]] = {}
    values: dict[str, list[float]] = {}
    codes = {name: at for at, name in enumerate(made.documents)}
    units = _units(gold, made) if gold.units else []
    for query, rows in zip(gold.queries, found, strict=True):
        best = rows[:DEPTH]
        if query.id in gold.documents:
            qrels[query.id] = dict(gold.documents[query.id])
            run[query.id] = list(dict.fromkeys(made.documents[owners[row]] for row in best))
        elif gold.units:
            qrels[query.id] = dict(gold.grades[query.id])
            run[query.id] = list(dict.fromkeys(unit for row in best.tolist() for unit in units[row]))
        else:
            qrels[query.id] = {str(at): 1 for at in range(len(gold.spans[query.id]))}
            run[query.id] = _spans_found(best, gold.spans[query.id], made, codes)
        for name, value in _at_budgets(query, rows, gold, made, owners, budgets):
            values.setdefault(name, []).append(value)
    ranked = rank_metrics(qrels, run, k=k)[f"nDCG@{k}"]
    values = {f"nDCG@{k}": [ranked.get(query.id, 0.0) for query in gold.queries], **values}
    return {name: [round(value, _DIGITS) for value in some] for name, some in values.items()}


def _at_budgets(
    query: Query, rows: Ints, gold: Gold, made: Places, owners: Ints, budgets: Sequence[int]
) -> Iterator[tuple[str, float]]:
    pieces = [
        Returned(made.documents[owners[row]], int(made.start[row]), int(made.end[row]), int(made.tokens[row])) for row in rows
    ]
    for budget in budgets:
        if query.id in gold.spans:
            for name, value in span_metrics(pieces, gold.spans[query.id], budget=budget).items():
                yield f"{name}@{budget}", value
            continue
        wanted, seen, left = set(gold.documents[query.id]), set[str](), budget
        for piece in pieces:
            if left <= 0:
                break
            seen.add(piece.doc_id)
            left -= piece.tokens
        yield f"recall@{budget}", len(wanted & seen) / len(wanted)


def _units(gold: Gold, made: Places) -> list[list[str]]:
    """For each chunk the passages that share half of themselves, or half of the chunk, with it."""
    found: list[list[str]] = [[] for _ in made.tokens]
    for at, name in enumerate(made.documents):
        begin, stop = int(made.bounds[at]), int(made.bounds[at + 1])
        for first, last, unit in gold.units.get(name, ()):
            for row in _sharing(made, begin, stop, first, last):
                found[row].append(unit)
    return found


def _sharing(made: Places, begin: int, stop: int, first: int, last: int) -> list[int]:
    """The rows from ``begin`` to ``stop`` that hold half of the characters ``first`` to ``last``, or lie in them by half."""
    start, end = made.start[begin:stop], made.end[begin:stop]
    shared = np.minimum(end, last) - np.maximum(start, first)
    enough = (2 * shared >= np.minimum(end - start, last - first)) & (shared > 0)
    rows: list[int] = (np.flatnonzero(enough) + begin).tolist()
    return rows


def _spans_found(rows: Ints, spans: Sequence[CharSpan], made: Places, codes: Mapping[str, int]) -> list[str]:
    """The numbers of the gold spans in the order of the first of ``rows`` that holds half of each, or half of which lies in it."""
    first: dict[str, int] = {}
    for number, (doc_id, start, end) in enumerate(spans):
        if doc_id in codes:
            at = codes[doc_id]
            holding = _sharing(made, int(made.bounds[at]), int(made.bounds[at + 1]), start, end)
            places = np.flatnonzero(np.isin(rows, holding))
            if len(places):
                first[str(number)] = int(places[0])
    return sorted(first, key=first.__getitem__)
