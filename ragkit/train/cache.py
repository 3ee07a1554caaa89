"""Train a small adapter for a semantic cache on labelled pairs of prompts, and keep it only if it wins."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ragkit.cache.pairs import LabelledPair, pair_vectors
from ragkit.embed.adapted import turn
from ragkit.embed.adapter import Adapter, Shares
from ragkit.errors import InvalidInputError
from ragkit.seams import Embedder, Vectors
from ragkit.train.cache_fit import STEPS, fit_pairs
from ragkit.train.cache_judge import Compared, Scored, area, average_precision, compare, meanings, nearest

#: The least labelled pairs of either kind: fewer say nothing about pairs held out.
LEAST = 20
AVERAGE_PRECISION, AREA, IN_A_CACHE = "average precision", "precision over hit rate", "precision over hit rate in a cache"


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheReport:
    """The adapter that training made, and whether it earned its place.

    ``figures`` come from ``folds`` rounds that each train without some meanings and judge the pairs about them; the adapter itself is
    trained on all pairs. "in a cache": each held-out prompt is looked up among all others, and the nearest is right if the
    labels say so; a lower bound, as nobody labelled all of them. ``won`` when average precision and precision over hit rate are both surely
    higher (their intervals lie above 0), the first by ``min_gain`` at least, and the last is not surely lower. ``extra`` pairs were
    learned from and judged nothing.
    """

    model: str
    pairs: int
    same: int
    extra: int
    labels: str
    folds: int
    seed: int
    steps: int
    min_gain: float
    seconds: float
    figures: dict[str, Compared]
    adapter: Adapter = field(repr=False)

    @property
    def won(self) -> bool:
        """Whether held-out pairs say that the adapter is better than the plain model."""
        first, second, third = (self.figures[name].gain for name in (AVERAGE_PRECISION, AREA, IN_A_CACHE))
        return first.low > 0 and second.low > 0 and third.high > 0 and first.mean >= self.min_gain

    @property
    def verdict(self) -> str:
        """One sentence with the figures."""
        said = ", ".join(f"{name} {_points(one)}" for name, one in self.figures.items())
        head = "The adapter wins" if self.won else "Keep the plain model"
        made = "" if self.labels == "labelled" else f" ({self.labels}: measure on pairs of your own before you rely on it)"
        return f"{head}: points on pairs held out [95 %]: {said}{made}."

    def save(self, path: str | Path, *, force: bool = False) -> None:
        """Write the adapter. Raises InvalidInputError when it did not win, unless ``force``, or when it cannot be written."""
        if not self.won and not force:
            raise InvalidInputError(f"{self.verdict} Nothing was written to {path}; force writes it all the same.")
        self.adapter.save(path)

    def to_dict(self) -> dict[str, Any]:
        """Everything but the matrices, ready for JSON."""
        names = [name for name in self.__dataclass_fields__ if name not in ("adapter", "figures")]
        figures = {name: asdict(one) | {"gain": one.gain._asdict()} for name, one in self.figures.items()}
        more = {"figures": figures, "won": self.won, "verdict": self.verdict, "adapter": self.adapter.digest}
        return {name: getattr(self, name) for name in names} | more

    def table(self) -> tuple[list[str], list[list[str]]]:
        """A header and one row per figure."""
        rows = [
            [name, f"{one.plain:.3f}", f"{one.plain + one.gain.mean:.3f}", _points(one)] for name, one in self.figures.items()
        ]
        return ["figure", "plain", "adapter", "gain in points [95 %]"], rows


def _points(one: Compared) -> str:
    return f"{100 * one.gain.mean:+.1f} [{100 * one.gain.low:+.1f}, {100 * one.gain.high:+.1f}]"


def train_cache(
    pairs: Sequence[LabelledPair],
    *,
    embedder: Embedder,
    extra: Sequence[LabelledPair] = (),
    labels: str = "labelled",
    folds: int = 4,
    seed: int = 0,
    min_gain: float = 0.0,
    steps: int = STEPS,
) -> CacheReport:
    """Fit an adapter for ``embedder`` to labelled pairs, and measure by cross-validation whether it is worth having.

    Prompts that the labels join as having one meaning are held out together, and no prompt of a pair that judges is learned
    from. ``extra`` pairs, such as those made by rule, are learned from in every round and judge nothing. ``labels`` says where ``pairs`` come
    from. Open the cache with ``AdaptedEmbedder(embedder, path=report.adapter)``: its card names the adapter, so entries of the plain model are
    never compared with new vectors (``SemanticCache.reembed`` makes them anew). One adapter helps one domain; train yours.

    Raises InvalidInputError for fewer than 20 pairs of either kind, and MissingDependencyError without torch.
    """
    began = time.process_time()
    many = sum(pair.same for pair in pairs)
    if many < LEAST or len(pairs) - many < LEAST:
        raise InvalidInputError(
            f"There are {many} pairs of one meaning and {len(pairs) - many} of two; at least {LEAST} of either are needed to learn and to judge."
        )
    if folds < 2:
        raise InvalidInputError(f"folds is {folds!r}; it is a whole number, at least 2.")
    every = [*pairs, *extra]
    left, right = pair_vectors(every, embedder)
    same = np.array([pair.same for pair in every], bool)
    texts, meaning = meanings(every)
    fold = np.random.default_rng(seed).permutation(int(meaning.max()) + 1)[meaning] % folds
    judging = np.arange(len(every)) < len(pairs)
    rounds: list[Scored] = []
    caches: list[Scored] = []
    for number in range(folds):
        held = np.flatnonzero(judging & (fold[texts[:, 0]] == number))
        seen = np.isin(texts, texts[held]).any(axis=1)
        learned = np.flatnonzero(~seen)
        if not same[learned].any() or same[learned].all() or not len(held):
            raise InvalidInputError(
                f"Round {number + 1} of {folds} has nothing to learn from or to judge: too many pairs share their prompts. Give more pairs, or fewer folds."
            )
        matrix = fit_pairs(left[learned], right[learned], same[learned], seed=seed, steps=steps)
        ways = [
            (_cosines(x, y), same[held])
            for x, y in ((left[held], right[held]), (turn(left[held], matrix), turn(right[held], matrix)))
        ]
        rounds.append(Scored(meaning[texts[held, 0]], *ways))
        names, first = np.unique(texts[held].T.ravel(), return_index=True)
        stored = np.concatenate([left[held], right[held]])[first]
        caches.append(Scored(meaning[names], nearest(stored, meaning[names]), nearest(turn(stored, matrix), meaning[names])))
    figures = {
        AVERAGE_PRECISION: compare(rounds, average_precision, seed=seed),
        AREA: compare(rounds, area, seed=seed),
        IN_A_CACHE: compare(caches, area, seed=seed),
    }
    matrix = fit_pairs(left, right, same, seed=seed, steps=steps)
    about = {"made for": "cache", "pairs": len(pairs), "same": many, "extra": len(extra), "labels": labels, "seed": seed}
    about |= {"figures": {name: asdict(one) | {"gain": one.gain._asdict()} for name, one in figures.items()}}
    return CacheReport(
        model=embedder.card.name,
        pairs=len(pairs),
        same=many,
        extra=len(extra),
        labels=labels,
        folds=folds,
        seed=seed,
        steps=steps,
        min_gain=min_gain,
        seconds=time.process_time() - began,
        figures=figures,
        adapter=Adapter(shares=Shares(), documents=matrix, queries=matrix, base=embedder.card, about=about),
    )


def _cosines(left: Vectors, right: Vectors) -> NDArray[np.float64]:
    found: NDArray[np.float64] = np.einsum("nd,nd->n", left, right).astype(np.float64)
    return found
