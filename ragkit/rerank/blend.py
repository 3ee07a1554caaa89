"""The final score of a candidate: what the compressed passage says, what the first stage said, and what is said of its likes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ragkit.errors import InvalidInputError
from ragkit.vec import fit_scale
from ragkit.vec.product import product

Floats = NDArray[np.float64]
#: How fast a neighbour's vote falls with its likeness.
_STEEPNESS = 5.0


class Blended(NamedTuple):
    """Final scores, float64 ``(n,)``, and what each source added to them; a candidate's shares sum to its score."""

    scores: Floats
    late: Floats
    first: dict[str, Floats]


@dataclass(frozen=True, slots=True, kw_only=True)
class Blend:
    """How much MaxSim and the first stage count, and how much a candidate's likes do.

    ``late`` and ``first`` are weights of scores with mean 0 and deviation 1, each finite and at least 0, not both 0. ``neighbours`` in
    [0, 1) is the part of a candidate's score that comes from the ``nearest`` candidates of other documents most like it, an answer
    seldom standing alone; the first candidate keeps its own. After Diaz, "Regularizing ad hoc retrieval scores" (2005). The defaults were chosen on the training side alone.
    """

    late: float = 1.0
    first: float = 1.0
    neighbours: float = 0.4
    nearest: int = 5

    def __post_init__(self) -> None:
        weights = (self.late, self.first)
        if not all(0 <= weight < float("inf") for weight in weights) or not any(weights):
            raise InvalidInputError(
                f"The weights of the blend are {weights}; each is a finite number >= 0, and one of them more."
            )
        if not 0 <= self.neighbours < 1:
            raise InvalidInputError(
                f"neighbours is {self.neighbours!r}; it is the share of a candidate's likes, from 0 to below 1."
            )
        if not isinstance(self.nearest, int) or isinstance(self.nearest, bool) or self.nearest < 1:
            raise InvalidInputError(f"nearest is {self.nearest!r}; it must be a whole number, at least 1.")


DEFAULT_BLEND = Blend()


def blend(
    late: ArrayLike,
    *,
    first: Mapping[str, ArrayLike],
    sketches: NDArray[np.float32] | None = None,
    documents: Sequence[str] | None = None,
    weights: Blend = DEFAULT_BLEND,
) -> Blended:
    """The final scores of one question's candidates, each source float ``(n,)`` and finite.

    ``late`` are MaxSim's scores, read as a distribution over the candidates ("softmax"), so that a few that stand out count for more
    than many that differ a little. ``first`` holds what each arm added to the first stage's score. ``sketches``,
    float ``(n, d)``, say which candidates are alike; without them everyone stands alone. ``documents`` names the document each comes
    from: chunks of one document are alike because they are neighbours, the first stage has counted that already, and they have no
    vote for each other. Scales are drawn from these candidates: the same ones in another order have the same scores.
    """
    arms = {name: np.asarray(values, np.float64) for name, values in first.items()}
    lengths = {len(np.asarray(late)), *map(len, arms.values()), *(len(one) for one in (sketches, documents) if one is not None)}
    if len(lengths) != 1 or (sketches is not None and sketches.ndim != 2):
        raise InvalidInputError(
            f"The sources of the scores have the lengths {sorted(lengths)}; every candidate needs all of them."
        )
    stood_out = fit_scale(late, "softmax")(late)
    parts = {"": weights.late * fit_scale(stood_out, "zscore")(stood_out)} | _standard(arms, weights.first)
    if sketches is not None and weights.neighbours and len(sketches) > 1:
        places, votes = _votes(np.asarray(sketches, np.float64), documents, weights.nearest)
        scores = np.sum(list(parts.values()), axis=0)
        # The first is not pulled down to its likes: a question may have one answer.
        votes[scores >= scores.max() - 1e-9] = 0.0
        own = 1 - weights.neighbours * votes.sum(axis=1)
        parts = {
            name: own * part + weights.neighbours * np.einsum("nk,nk->n", votes, part[places]) for name, part in parts.items()
        }
    return Blended(np.sum(list(parts.values()), axis=0), parts.pop(""), parts)


def _standard(arms: Mapping[str, Floats], weight: float) -> dict[str, Floats]:
    """The arms' shares on the scale on which their sum has mean 0 and deviation 1."""
    total = np.sum(list(arms.values()), axis=0) if arms else np.zeros(0)
    if not len(total) or not np.any(fit_scale(total, "zscore")(total)):
        return {name: np.zeros(len(values)) for name, values in arms.items()}
    return {name: weight * (values - values.mean()) / total.std() for name, values in arms.items()}


def _votes(sketches: Floats, documents: Sequence[str] | None, nearest: int) -> tuple[NDArray[np.int64], Floats]:
    """Each candidate's likes, ``(n, nearest)``, and what part of its vote each has; all 0 where every other is of its own document."""
    centred = sketches - sketches.mean(axis=0)
    centred /= np.maximum(np.sqrt(np.einsum("nd,nd->n", centred, centred)), 1e-12)[:, None]
    # Rounded, so that the order of the candidates cannot decide between equal likes.
    likeness = np.round(product(centred, centred.T), 9)
    np.fill_diagonal(likeness, -np.inf)
    if documents is not None:
        _, numbers = np.unique(np.asarray(documents), return_inverse=True)
        likeness[numbers[:, None] == numbers] = -np.inf
    places, best = _first_of_each(likeness, min(nearest, len(likeness) - 1))
    votes = np.exp(_STEEPNESS * best)
    return places, votes / np.maximum(votes.sum(axis=1, keepdims=True), np.finfo(np.float64).tiny)


def _first_of_each(values: Floats, k: int) -> tuple[NDArray[np.int64], Floats]:
    """The places of each row's ``k`` largest values, the first of equal ones first, and these values; takes ``values`` apart.

    For the few that are wanted that is several times faster than sorting.
    """
    rows = np.arange(len(values))
    places, best = np.empty((len(values), k), np.int64), np.empty((len(values), k))
    for at in range(k):
        places[:, at] = values.argmax(axis=1)
        best[:, at] = values[rows, places[:, at]]
        values[rows, places[:, at]] = -np.inf
    return places, best
