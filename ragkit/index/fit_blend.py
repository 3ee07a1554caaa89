"""The blend of a reranker and the first stage, fitted to labelled questions and kept only where it wins on others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ragkit.errors import InvalidInputError
from ragkit.rerank.blend import Blend
from ragkit.rerank.reranker import CompressedReranker
from ragkit.retrieve.fit import Gain, choose_apart
from ragkit.types import Hit

if TYPE_CHECKING:
    from ragkit.index.index import Index

#: Questions whose candidates' codes are in memory at once.
_QUESTIONS = 64
#: How much the reranker counts beside the first stage, 0 not at all, and how much likes vote.
_LATE = (0.0, 0.25, 0.5, 1.0, 2.0, 4.0)
_NEIGHBOURS = (0.0, 0.2, 0.4)


@dataclass(frozen=True, slots=True, kw_only=True)
class BlendReport:
    """What ``fit_blend`` found. ``blend`` is what to use: ``best`` if it ``won``, else ``default``.

    ``best`` was chosen by some of the questions; ``gain`` is its nDCG@``k`` minus the default's on the ``held_out`` others, ``ndcg`` and
    ``before`` are the two means there.
    """

    blend: Blend
    best: Blend
    default: Blend
    won: bool
    gain: Gain
    ndcg: float
    before: float
    questions: int
    held_out: int
    k: int

    @property
    def verdict(self) -> str:
        """One sentence."""
        found = f"{self.gain.mean:+.4f} nDCG@{self.k} [{self.gain.low:+.4f}, {self.gain.high:+.4f}] on questions held out"
        return f"{self.best} wins: {found}." if self.won else f"{self.default} is kept: {self.best} gains {found}."


def fit_blend(
    index: Index,
    questions: Sequence[str],
    relevant: Sequence[Mapping[str, float]],
    *,
    reranker: CompressedReranker | None = None,
    choices: Sequence[Blend] | None = None,
    groups: Sequence[str] | None = None,
    k: int = 10,
    held_out: float = 0.5,
    seed: int = 0,
) -> BlendReport:
    """The best of ``choices`` for ``CompressedReranker(weights=...)``, or the reranker's own unless one gains on held-out questions.

    ``relevant[i]`` maps the ids of chunks or documents that answer question i to what they are worth, above 0. ``groups`` names what
    questions share; groups are held out whole, and without it each question is its own. Choosing, judging and the 99 % interval are those of
    ``ragkit.retrieve.fit_fusion``. Equal seeds give equal reports.

    Raises InvalidInputError for fewer than 20 questions, lists of different lengths, a question without anything relevant, no choices,
    or ``k`` below 1.
    """
    if not isinstance(k, int) or isinstance(k, bool) or k < 1:
        raise InvalidInputError(f"k is {k!r}; it must be a whole number, at least 1.")
    if len(questions) != len(relevant) or (groups is not None and len(groups) != len(questions)):
        raise InvalidInputError(
            f"There are {len(questions)} questions; give each what is relevant to it, and each a group or none."
        )
    if not all(gains and all(0 < gain < float("inf") for gain in gains.values()) for gains in relevant):
        raise InvalidInputError("relevant must name, for each question, at least one chunk or document and its gain, above 0.")
    chosen = reranker or CompressedReranker()
    default = chosen.weights
    around = [replace(default, late=late, neighbours=likes) for late, likes in product(_LATE, _NEIGHBOURS)]
    settings = [default, *(one for one in (around if choices is None else choices) if one != default)]
    if len(settings) == 1:
        raise InvalidInputError("choices holds nothing but the reranker's own blend; give at least one to compare it with.")
    values = _values(index, chosen, questions, relevant, settings, k)
    apart = choose_apart(values, groups or [""] * len(questions), held_out=held_out, seed=seed)
    return BlendReport(
        blend=settings[apart.setting] if apart.won else default,
        best=settings[apart.setting],
        default=default,
        won=apart.won,
        gain=apart.gain,
        ndcg=apart.value,
        before=apart.before,
        questions=len(questions),
        held_out=apart.held_out,
        k=k,
    )


def _values(
    index: Index,
    reranker: CompressedReranker,
    questions: Sequence[str],
    relevant: Sequence[Mapping[str, float]],
    settings: Sequence[Blend],
    k: int,
) -> NDArray[np.float64]:
    """nDCG@k, float64 ``(settings, questions)``; each question is searched and read once."""
    values = np.zeros((len(settings), len(questions)))
    for first in range(0, len(questions), _QUESTIONS):
        some = list(questions[first : first + _QUESTIONS])
        found = index.search_many(some, k=max(k, reranker.depth), fetch_k=max(k, reranker.depth))
        states = index.codes.ask(reranker, [index.analyzer.asked(one) for one in some], dense=False).states
        codes = index.codes.passages(reranker, list(dict.fromkeys(hit.chunk.id for hits in found for hit in hits)))
        for at, (read, hits) in enumerate(zip(states, found, strict=True), first):
            asked = reranker.compressor.query(read)
            for row, weights in enumerate(settings):
                values[row, at] = _ndcg(reranker.rank(asked, hits, codes, weights=weights), relevant[at], k)
    return values


def _ndcg(hits: Sequence[Hit], gains: Mapping[str, float], k: int) -> float:
    """nDCG@k of the hits; a chunk or document in ``gains`` counts once, at its best place."""
    waiting = dict(gains)
    found = [waiting.pop(hit.chunk.id, 0.0) or waiting.pop(hit.chunk.doc_id, 0.0) for hit in hits[:k]]
    ideal = sorted(gains.values(), reverse=True)[:k]
    discounts = 1 / np.log2(np.arange(2, k + 2))
    return float(np.dot(found, discounts[: len(found)]) / np.dot(ideal, discounts[: len(ideal)]))
