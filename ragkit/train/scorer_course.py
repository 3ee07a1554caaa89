"""What a step of a scorer's training sees: questions, the codes of passages that may answer them, and the arms' scores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ragkit.errors import InvalidInputError
from ragkit.rerank.attentive import signs
from ragkit.rerank.compressor import TokenCompressor
from ragkit.rerank.states import softplus, unit
from ragkit.rerank.types import QueryCode
from ragkit.train.rerank_lessons import Floats, Rows, States, bm25_of
from ragkit.train.rerank_rules import Material
from ragkit.vec import top_k

if TYPE_CHECKING:
    from torch import Tensor

    from ragkit.train.scorer_fit import ScorerSettings

#: Of a question's likest passages so many are drawn from.
_NEAR = 48


class Draw(NamedTuple):
    """Some questions with their candidates: the pairs one after the other, the arms' scores, what each list should look like, and which of it is padding
    (not ``there``)."""

    query: Tensor
    gates: Tensor
    vectors: Tensor
    absent: Tensor
    missing: Tensor
    dense: Floats
    bm25: Floats
    target: Floats
    there: NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Course:
    """What may be learned from one material: the codes of its passages, its questions, and for each the passages to compare."""

    name: str
    weight: float
    codes: Sequence[NDArray[np.uint8]]
    passages: States
    queries: Sequence[QueryCode]
    asked: Rows
    gold: Rows
    near: Sequence[Rows]
    cosines: Floats
    means: Floats
    idf: Floats
    lists: Sequence[tuple[Rows, Floats]]

    def draw(self, rng: np.random.Generator, settings: ScorerSettings) -> Draw:
        """Questions by lot, each with its answer and some of its likest passages, or with those that a teacher judged."""
        rows = rng.integers(0, len(self.asked), settings.questions).tolist()
        compared = [self._candidates(row, rng, settings.candidates) for row in rows]
        shape = (len(rows), max(len(places) for places, _ in compared))
        dense, bm25, target = (np.zeros(shape, np.float32) for _ in range(3))
        there = np.zeros(shape, bool)
        pairs: list[tuple[int, int]] = []
        for at, (row, (places, wanted)) in enumerate(zip(rows, compared, strict=True)):
            n = len(places)
            dense[at, :n], bm25[at, :n] = self.means[places] @ self.cosines[row], self._words(row, places)
            target[at, :n], there[at, :n] = wanted, True
            pairs += [(row, place) for place in [*places.tolist(), *[places[0]] * (shape[1] - n)]]
        return Draw(*self._padded(pairs), dense, bm25, target, there)

    def _candidates(self, row: int, rng: np.random.Generator, most: int) -> tuple[Rows, Floats]:
        if self.lists:
            places, scores = self.lists[row]
            some = np.sort(rng.permutation(len(places))[:most])
            wanted = np.exp(scores[some] - scores[some].max())
            return places[some], (wanted / wanted.sum()).astype(np.float32)
        others = self.near[row][self.near[row] != self.gold[row]]
        places = np.concatenate([[self.gold[row]], rng.permutation(others)[: most - 1]])
        return places, (np.arange(len(places)) == 0).astype(np.float32)

    def _words(self, row: int, places: Rows) -> Floats:
        ids = self.queries[row].ids
        tokens, edges = self.passages.rows(places)
        number = np.repeat(np.arange(len(places)), np.diff(edges))
        found: Floats = bm25_of(ids, np.zeros(len(ids), np.int64), self.passages.ids[tokens], number, self.idf)[0]
        return found

    def _padded(self, pairs: Sequence[tuple[int, int]]) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        import torch

        queries, codes = [self.queries[row] for row, _ in pairs], [self.codes[place] for _, place in pairs]
        q, k, bits = max(len(one.gates) for one in queries), max(map(len, codes)), queries[0].vectors.shape[1]
        query, gates = np.zeros((len(pairs), q, bits), np.float32), np.zeros((len(pairs), q), np.float32)
        vectors = np.zeros((len(pairs), k, bits), np.float32)
        for at, (one, code) in enumerate(zip(queries, codes, strict=True)):
            n = len(one.gates)
            query[at, :n], gates[at, :n], vectors[at, : len(code)] = one.vectors, one.gates, signs(code)
        absent = np.arange(q) >= np.array([len(one.gates) for one in queries])[:, None]
        missing = np.arange(k) >= np.array([len(code) for code in codes])[:, None]
        given = torch.from_numpy
        return given(query), given(gates), given(vectors), given(absent), given(missing)


def make_course(
    material: Material, weight: float, passages: States, questions: States, held: Rows, compressor: TokenCompressor
) -> Course:
    """All of a material but the passages and questions of the documents ``held``.

    Raises InvalidInputError where no question is left.
    """
    card = compressor.card
    free = ~np.isin(material.doc, held) & (np.diff(passages.bounds) > 0)
    asked = np.flatnonzero(free[material.gold] & (np.diff(questions.bounds) > 0))
    if material.lists:
        # One passage alone says nothing of an order.
        asked = np.array([row for row in asked.tolist() if free[material.lists[row][0]].sum() > 1], np.int64)
    if not len(asked):
        raise InvalidInputError(
            f"None of the {len(material.questions)} questions of {material.name!r} is left to learn from beside the documents held out, with tokens "
            "and a passage within one window (of a teacher's list, two). Give more documents, or shorter passages."
        )
    half = passages.states.shape[1] // len(card.layers)
    means, cosines = np.zeros((len(free), half), np.float32), np.zeros((len(asked), half), np.float32)
    codes = [np.zeros((0, card.bits // 8), np.uint8)] * len(free)
    rows = np.flatnonzero(free)
    for row in rows.tolist():
        states = passages.of(row)
        codes[row], means[row] = compressor.compress(states).vectors, states.states[:, :half].mean(axis=0)
    queries = []
    for at, row in enumerate(asked.tolist()):
        states = questions.of(row)
        queries.append(compressor.query(states))
        cosines[at] = states.states[:, :half].mean(axis=0)
    means, cosines = unit(means), unit(cosines)
    near = [rows[top_k((means[rows] @ one).astype(np.float64), _NEAR)] for one in cosines]
    judged = [material.lists[row] for row in asked.tolist()] if material.lists else []
    return Course(
        name=material.name,
        weight=weight,
        codes=codes,
        passages=passages,
        queries=queries,
        asked=asked,
        gold=material.gold[asked],
        near=near,
        cosines=cosines,
        means=means,
        idf=softplus(compressor.parameters.logits),
        lists=[(places[free[places]], scores[free[places]]) for places, scores in judged],
    )
