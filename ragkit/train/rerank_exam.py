"""How well parameters rank passages of documents held out, together with the arms, as a search would."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ragkit.errors import InvalidInputError
from ragkit.rerank.blend import blend
from ragkit.rerank.compressor import TokenCompressor
from ragkit.rerank.parameters import Parameters
from ragkit.rerank.passages import Passages
from ragkit.rerank.reranker import Scorer, bit_max_sim
from ragkit.rerank.states import softplus, unit
from ragkit.retrieve import DEFAULT_FUSION
from ragkit.retrieve.fusion import Scored
from ragkit.train.judge import Interval
from ragkit.train.rerank_lessons import Rows, States, bm25_of, means_of
from ragkit.train.rerank_rules import Material
from ragkit.vec import top_k
from ragkit.vec.maxsim import sketches

Floats = NDArray[np.float64]
_CANDIDATES = 50


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Exam:
    """Questions about held-out documents of one kind: ``gold`` is the row of each among the passages, ``home`` its document."""

    name: str
    passages: States
    rows: Rows
    questions: States
    asked: Rows
    gold: Rows
    home: Rows
    dense: NDArray[np.float32]
    bm25: NDArray[np.float32]

    def gains(self, parameters: Parameters | None, *, vectors: int = 64, scorer: Scorer = bit_max_sim) -> Floats:
        """The nDCG@10 of each question, over the best candidates of both arms; without parameters, of the arms alone."""
        compressor = None if parameters is None else TokenCompressor(parameters, vectors=vectors)
        codes, counts = self._codes(compressor) if compressor else (np.zeros((0, 0, 0), np.uint8), np.zeros(0, np.int64))
        found = Passages(codes, counts, {str(row): (row, row + 1) for row in range(len(codes))})
        gains = np.zeros(len(self.asked))
        for at, question in enumerate(self.asked.tolist()):
            dense, bm25 = self.dense[at].astype(np.float64), self.bm25[at].astype(np.float64)
            near = np.union1d(top_k(dense, _CANDIDATES), top_k(bm25, _CANDIDATES))
            unranked = np.zeros(len(near), np.int64)
            scored = Scored(dense[near], unranked, bm25[near], unranked, self.rows[near])
            shares = DEFAULT_FUSION.fit(scored)(scored)
            scores = shares.dense + shares.bm25
            if compressor is not None:
                query = compressor.query(self.questions.of(question))
                late = scorer(query, found, list(map(str, near.tolist())))
                likes = sketches(codes[near], counts[near])
                scores = blend(late, first={"dense": shares.dense, "bm25": shares.bm25}, sketches=likes).scores
            place = np.flatnonzero(near == self.gold[at])
            if len(place):
                rank = int((scores > scores[place[0]]).sum())
                gains[at] = 1 / np.log2(rank + 2) if rank < 10 else 0.0
        return gains

    def _codes(self, compressor: TokenCompressor) -> tuple[NDArray[np.uint8], Rows]:
        card = compressor.card
        codes = np.zeros((len(self.rows), card.vectors, card.bits // 8), np.uint8)
        counts = np.zeros(len(self.rows), np.int64)
        for at, row in enumerate(self.rows.tolist()):
            made = compressor.compress(self.passages.of(row)).vectors
            codes[at, : len(made)], counts[at] = made, len(made)
        return codes, counts


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Outcome:
    """What exams said of a training: ``gains`` holds for each material the difference in nDCG@10 to what it set out from, ``over_arms`` that
    of the better of the two to the arms alone. ``seconds`` is the processor's time.
    """

    steps: int
    won: bool
    gains: Mapping[str, Interval]
    over_arms: Mapping[str, Interval]
    seconds: float

    def told(self, digest: str, about: Mapping[str, Any]) -> dict[str, Any]:
        """It as a JSON-ready dict, with the digest of what was trained and what is known about that."""
        return {
            "digest": digest,
            "steps": self.steps,
            "won": self.won,
            "gains": {name: one._asdict() for name, one in self.gains.items()},
            "over_arms": {name: one._asdict() for name, one in self.over_arms.items()},
            "about": dict(about),
            "seconds": self.seconds,
        }


def make_exam(
    material: Material,
    passages: States,
    questions: States,
    held: Rows,
    *,
    logits: NDArray[np.float32],
    layers: int,
    most: int,
    seed: int,
) -> Exam:
    """An exam of at most ``most`` questions about the documents ``held``. Raises InvalidInputError where there is none within one window."""
    doc, gold, full = material.doc, material.gold, np.diff(passages.bounds) > 0
    rows = np.flatnonzero(np.isin(doc, held) & full)
    about = np.flatnonzero((gold >= 0) & np.isin(gold, rows) & (np.diff(questions.bounds) > 0))
    if not len(about):
        raise InvalidInputError(
            f"Of {material.name!r} {len(held)} documents are held out, and no question about them lies with its passage within one window. "
            "Give more documents, or shorter passages and questions."
        )
    asked = np.sort(np.random.default_rng(seed).permutation(about)[:most])
    at, edges = passages.rows(rows)
    query_at, query_edges = questions.rows(asked)
    half = passages.states.shape[1] // layers
    dense = (
        unit(means_of(questions.states[query_at, :half].astype(np.float32), query_edges))
        @ unit(means_of(passages.states[at, :half].astype(np.float32), edges)).T
    )
    bm25 = bm25_of(
        questions.ids[query_at],
        np.repeat(np.arange(len(asked)), np.diff(query_edges)),
        passages.ids[at],
        np.repeat(np.arange(len(rows)), np.diff(edges)),
        softplus(logits),
    )
    return Exam(
        name=material.name, passages=passages, rows=rows, questions=questions, asked=asked, gold=np.searchsorted(rows, gold[asked]),
        home=doc[gold[asked]], dense=dense, bm25=bm25,
    )  # fmt: skip


def held_out(material: Material, seed: int) -> tuple[Rows, Rows]:
    """A tenth of the documents to steer by and another to judge by. Raises InvalidInputError for fewer than three documents."""
    documents = np.unique(material.doc[material.gold])
    if len(documents) < 3:
        raise InvalidInputError(
            f"The questions of {material.name!r} are about {len(documents)} documents; at least 3 are needed: to learn from, to steer by, to judge."
        )
    mixed = np.random.default_rng(seed).permutation(documents)
    tenth = max(1, len(mixed) // 10)
    return mixed[:tenth], mixed[tenth : 2 * tenth]
