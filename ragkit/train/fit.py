"""Fit an adapter: choose the best untrained mix, then move away from it as long as held-out documents gain."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ragkit.embed.adapted import mix, unit
from ragkit.embed.adapter import Shares
from ragkit.errors import MissingDependencyError
from ragkit.retrieve import DEFAULT_FUSION, Convex
from ragkit.seams import Vectors
from ragkit.train.corpus import Corpus, Questions, Rows
from ragkit.train.judge import Arm, JudgeMode, signal, surely
from ragkit.train.loss import contrast

Floats = NDArray[np.float64]

MIXES = (
    Shares(),
    Shares(alone=0.67, situated=0.33),
    Shares(alone=0.5, situated=0.5),
    Shares(alone=0.6, situated=0.3, document=0.1),
    Shares(alone=0.45, situated=0.45, document=0.1),
)
#: Exponents of the soft whitening; 0 leaves the vectors as they are.
WHITENING = (0.0, 0.25, 0.5, 1.0)
STEPS = 150
_EVERY = 15
_PATIENCE = 4
_BATCH = 128
_POOL = 2048
_RATE = 3e-4
_DECAY = 0.1
#: Questions that choose among the starts; more would only cost time.
_CHOOSERS = 300


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Start:
    """An untrained mix: shares of the readings, and one matrix for both sides."""

    shares: Shares
    whitening: float
    matrix: Vectors

    def vectors(self, corpus: Corpus) -> Vectors:
        """The chunks' vectors, ``(n, dim)`` unit rows."""
        return unit(mix(corpus.read, self.shares) @ self.matrix)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Fitted:
    """An adapter's matrices, how many steps made them (with 0 it is its start), and the fusion that suits it."""

    start: Start
    documents: Vectors
    queries: Vectors
    steps: int
    fusion: Convex = DEFAULT_FUSION


def whitener(vectors: Vectors, exponent: float) -> Vectors:
    """``(C + mean variance)^(-exponent / 2)`` of the second moments C: directions that all chunks share count less.

    Scaled so that its mean eigenvalue is 1. The added mean keeps directions that hardly occur from being blown up.
    """
    moments = vectors.T.astype(np.float64) @ vectors / len(vectors)
    values, axes = np.linalg.eigh(moments)
    scale = (np.maximum(values, 0.0) + values.mean()) ** (-exponent / 2)
    matrix: Vectors = ((axes * (scale / scale.mean())) @ axes.T).astype(np.float32)
    return matrix


def choose_start(corpus: Corpus, questions: Questions, *, docs: Rows, rows: Rows, mode: JudgeMode, seed: int) -> Start:
    """The mix and whitening that do best on these documents' questions, plain unless they beat it by a standard error.

    The document's mean is left out unless every chunk's encoding gives it a weight: an index has to know of it.
    """
    weighted = all(chunk.encoding.document for chunk in corpus.chunks)
    mixes = [shares for shares in MIXES if weighted or not shares.document]
    some = np.sort(np.random.default_rng(seed).permutation(rows)[:_CHOOSERS])
    inside = np.isin(corpus.doc, docs)
    tried: list[tuple[Start, Floats]] = []
    for exponent in WHITENING:
        matrix = whitener(corpus.read[inside, 0], exponent)
        asked = unit(questions.vectors @ matrix)
        for shares in mixes:
            start = Start(shares=shares, whitening=exponent, matrix=matrix)
            arm = Arm(start.vectors(corpus), asked, questions.words_in_context)
            tried.append((start, signal(corpus, questions, arm, rows=some, mode=mode)))
    plain = tried[0]
    best = max(tried, key=lambda one: float(one[1].mean()))
    return best[0] if surely(best[1], plain[1]) else plain[0]


def fit(
    corpus: Corpus,
    questions: Questions,
    start: Start,
    *,
    docs: Rows,
    rows: Rows,
    watched: Rows,
    mode: JudgeMode,
    seed: int,
    steps: int = STEPS,
    after: Callable[[], None] = lambda: None,
) -> Fitted:
    """Train both matrices from ``start`` on the questions ``rows``; only chunks of ``docs`` are ever seen.

    The loss is softmax cross entropy of the gold chunks among all chunks of the documents (at most 2048 a step, those of the
    questions' own documents first: in-sequence negatives, as InSeNT, 2505.24782), over the sum of both readings, as SitEmb
    (2508.01959). AdamW pulls towards the start. With questions ``watched`` the best state on them is kept if it
    beats the start by a standard error, else the start; without, the last. Raises MissingDependencyError without torch.
    """
    try:
        import torch
    except ImportError as error:
        raise MissingDependencyError("Training needs torch: install the extra 'local'.") from error
    rng = np.random.default_rng(seed)
    chunks, asked = torch.from_numpy(start.vectors(corpus)), torch.from_numpy(unit(questions.vectors @ start.matrix))
    dim = chunks.shape[1]
    turns = [torch.zeros(dim, dim, requires_grad=True) for _ in range(2)]
    optimiser = torch.optim.AdamW(turns, lr=_RATE, weight_decay=_DECAY)
    normalise = torch.nn.functional.normalize
    kept = [turn.detach().clone() for turn in turns]
    best, kept_at, waited = -1.0, 0, 0
    values: dict[int, Floats] = {}
    pool = _Pool(corpus, questions, docs, rng)
    for step in range(steps + 1):
        if len(watched) and step % _EVERY == 0:
            with torch.no_grad():
                found = [normalise(x + x @ turn, dim=1).numpy() for x, turn in zip((chunks, asked), turns, strict=True)]
            arm = Arm(found[0], found[1], questions.words_in_context)
            values[step] = signal(corpus, questions, arm, rows=watched, mode=mode)
            score = float(values[step].mean())
            waited = 0 if score > best + 1e-9 else waited + 1
            if not waited:
                best, kept_at, kept = score, step, [turn.detach().clone() for turn in turns]
            if waited == _PATIENCE:
                break
        if step == steps:
            break
        picked = rng.permutation(rows)[:_BATCH]
        places, gold, barred = pool.draw(picked)
        x, q = chunks[places], asked[picked]
        loss = contrast(normalise(q + q @ turns[1], dim=1), normalise(x + x @ turns[0], dim=1), gold, barred)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        _warm(optimiser, step)
        optimiser.step()
        after()
    if kept_at and not surely(values[kept_at], values[0]):
        kept, kept_at = [torch.zeros(dim, dim) for _ in range(2)], 0
    if not len(watched):
        kept, kept_at = [turn.detach() for turn in turns], steps
    matrices = [start.matrix + start.matrix @ turn.numpy() for turn in kept]
    return Fitted(start=start, documents=matrices[0], queries=matrices[1], steps=kept_at)


def _warm(optimiser: Any, step: int) -> None:
    for group in optimiser.param_groups:
        group["lr"] = _RATE * min(1.0, (step + 1) / 10)


class _Pool:
    """The chunks a step compares: all, or the gold ones, then those of the same documents, then others by lot."""

    def __init__(self, corpus: Corpus, questions: Questions, docs: Rows, rng: np.random.Generator) -> None:
        self._corpus, self._questions, self._rng = corpus, questions, rng
        self._all = np.flatnonzero(np.isin(corpus.doc, docs))

    def draw(self, picked: Rows) -> tuple[Rows, np.ndarray, np.ndarray]:
        """Chunk rows; which answer each question, and which are outside its scope, both ``(questions, chunks)``."""
        gold = [self._questions.gold[row] for row in picked]
        places = self._all
        if len(places) > _POOL:
            must = np.unique(np.concatenate(gold))
            near = self._rng.permutation(
                np.setdiff1d(places[np.isin(self._corpus.doc[places], self._questions.home[picked])], must)
            )
            far = self._rng.permutation(np.setdiff1d(places, np.union1d(must, near)))
            room = max(0, _POOL - len(must))
            near = near[: max(room // 2, room - len(far))]
            places = np.sort(np.concatenate([must, near, far[: room - len(near)]]))
        right = np.stack([np.isin(places, rows) for rows in gold])
        scope = self._questions.scope[picked][:, None]
        return places, right, (scope >= 0) & (self._corpus.doc[places][None, :] != scope)
