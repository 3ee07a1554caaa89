"""What one training step sees: passages that share documents, questions about them, their token states and the arms' scores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ragkit.rerank.states import normalise_layers, softplus, unit
from ragkit.seams import TokenStates

if TYPE_CHECKING:
    from ragkit.train.rerank_fit import FitSettings

Rows = NDArray[np.int64]
Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class States:
    """Token states of many texts, one after the other: ``states`` float16 ``(tokens, layers x hidden)``, ``ids`` int32 ``(tokens,)``.

    ``bounds`` is int64 ``(texts + 1,)``: text i has the tokens ``bounds[i]`` to ``bounds[i + 1]``; a text beyond one window has none.
    """

    states: NDArray[np.float16]
    ids: NDArray[np.int32]
    bounds: Rows

    def rows(self, texts: Rows) -> tuple[Rows, Rows]:
        """The token rows of these texts, and where each text's begin among them (one more: the end)."""
        starts, sizes = self.bounds[texts], self.bounds[texts + 1] - self.bounds[texts]
        edges = np.concatenate([[0], np.cumsum(sizes)])
        return np.repeat(starts - edges[:-1], sizes) + np.arange(edges[-1]), edges

    def of(self, text: int) -> TokenStates:
        """One text's, as a compressor reads them; where its tokens stand is not known."""
        first, last = int(self.bounds[text]), int(self.bounds[text + 1])
        places = np.arange(last - first)
        return TokenStates(self.ids[first:last], places, places, self.states[first:last].astype(np.float32))


class Batch(NamedTuple):
    """One step: token rows of passages with their clusters, of questions with their owners, gold passages, the arms' scores."""

    tokens: Floats
    bounds: Rows
    cluster: Rows
    passages: int
    query_tokens: Floats
    query_ids: NDArray[np.int32]
    query_owner: Rows
    gold: Rows
    dense: Floats
    bm25: Floats
    layers: int
    target: Floats | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Lesson:
    """One kind of questions. ``doc`` is the document of each passage, ``gold`` the passage of each question; ``weight`` is how
    often it is drawn. ``cluster`` int16 ``(tokens,)`` is each passage token's cluster; ``logits`` are the gates' of every token id."""

    name: str
    weight: float
    passages: States
    cluster: NDArray[np.int16]
    doc: Rows
    questions: States
    gold: Rows
    logits: Floats
    layers: int
    lists: Sequence[tuple[Rows, Floats]] = ()

    def draw(self, rng: np.random.Generator, settings: FitSettings) -> Batch:
        """Passages of a few documents by lot, and questions they answer; with a teacher, questions by lot and what it judged."""
        if self.lists:
            return self._batch(*self._judged(rng, settings), settings)
        chosen = self._passages(rng, settings.groups, settings.per_group)
        about = np.flatnonzero(np.isin(self.gold, chosen))
        return self._batch(chosen, np.sort(rng.permutation(about)[: settings.questions]), None, settings)

    def _judged(self, rng: np.random.Generator, settings: FitSettings) -> tuple[Rows, Rows, Floats]:
        """Passages, questions, and the teacher's opinion as a distribution over each question's own list."""
        room = settings.groups * settings.per_group
        about: list[int] = []
        chosen: set[int] = set()
        for question in rng.permutation(np.flatnonzero(self.gold >= 0))[: settings.questions].tolist():
            wanted = chosen | {row for row in self.lists[question][0].tolist() if self.doc[row] >= 0}
            if about and len(wanted) > room:
                break
            chosen = wanted
            about.append(question)
        places = np.array(sorted(chosen), np.int64)
        target = np.zeros((len(about), len(places)), np.float32)
        for at, question in enumerate(sorted(about)):
            rows, scores = self.lists[question]
            seen = np.isin(rows, places)
            weights = np.exp(scores[seen] - scores[seen].max())
            target[at, np.searchsorted(places, rows[seen])] = weights / weights.sum()
        return places, np.array(sorted(about), np.int64), target

    def _batch(self, chosen: Rows, about: Rows, target: Floats | None, settings: FitSettings) -> Batch:
        rows, bounds = self.passages.rows(chosen)
        asked, edges = self.questions.rows(about)
        tokens = normalise_layers(self.passages.states[rows].astype(np.float32), self.layers)
        query_tokens = normalise_layers(self.questions.states[asked].astype(np.float32), self.layers)
        ids = self.questions.ids[asked]
        owner = np.repeat(np.arange(len(about)), np.diff(edges))
        number = np.repeat(np.arange(len(chosen)), np.diff(bounds))
        half = tokens.shape[1] // self.layers
        dense = unit(means_of(query_tokens[:, :half], edges)) @ unit(means_of(tokens[:, :half], bounds)).T
        return Batch(
            tokens=tokens,
            bounds=bounds,
            cluster=number * settings.vectors + self.cluster[rows],
            passages=len(chosen),
            query_tokens=query_tokens,
            query_ids=ids,
            query_owner=owner,
            gold=np.searchsorted(chosen, self.gold[about]),
            dense=dense,
            bm25=bm25_of(ids, owner, self.passages.ids[rows], number, softplus(self.logits)),
            layers=self.layers,
            target=target,
        )

    def _passages(self, rng: np.random.Generator, groups: int, per_group: int) -> Rows:
        """Sorted passages: so many of each of so many documents; small documents are filled up with more documents."""
        answering = np.unique(self.gold[self.gold >= 0])
        chosen: list[Rows] = []
        room = groups * per_group
        for document in rng.permutation(np.unique(self.doc[answering])):
            inside = np.flatnonzero((self.doc == document) & (np.diff(self.passages.bounds) > 0))
            some = rng.permutation(inside)[: min(per_group, room)]
            chosen.append(some)
            room -= len(some)
            if not room:
                break
        return np.sort(np.concatenate(chosen))


def bm25_of(ids: NDArray[np.int32], owner: Rows, tokens: NDArray[np.int32], number: Rows, weights: Floats) -> Floats:
    """BM25 over token ids, float32 ``(questions, passages)``; ``owner`` and ``number`` say whose each token is, ``weights`` how
    much each token id counts."""
    terms, places = np.unique(ids, return_inverse=True)
    at = np.minimum(np.searchsorted(terms, tokens), len(terms) - 1)
    met = terms[at] == tokens
    counts = np.zeros((int(number[-1]) + 1, len(terms)), np.float32)
    np.add.at(counts, (number[met], at[met]), 1)
    length = np.bincount(number).astype(np.float32)
    saturated = counts * 2.2 / (counts + 1.2 * (0.25 + 0.75 * length / length.mean())[:, None])
    wanted = np.zeros((int(owner[-1]) + 1, len(terms)), np.float32)
    np.add.at(wanted, (owner, places), 1)
    found: Floats = (wanted * weights[np.minimum(terms, len(weights) - 1)]) @ saturated.T
    return found


def means_of(rows: Floats, bounds: Rows) -> Floats:
    """The mean of the rows between two bounds each."""
    sums: Floats = np.add.reduceat(rows, bounds[:-1], axis=0)
    return (sums / np.diff(bounds)[:, None]).astype(np.float32)
