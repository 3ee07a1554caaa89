"""The final score of a candidate: what the compressed passage says, together with the arms' own scores."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ragkit.errors import InvalidInputError
from ragkit.vec import fit_scale

Floats = NDArray[np.float64]


class Blended(NamedTuple):
    """Final scores, float64 ``(n,)``, and what each source added to them; the shares of a row sum to its score."""

    scores: Floats
    late: Floats
    dense: Floats
    bm25: Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class Blend:
    """Weights of the z-scores of MaxSim and of both arms, each finite and at least 0, not all 0."""

    late: float = 1.0
    dense: float = 0.5
    bm25: float = 0.5

    def __post_init__(self) -> None:
        weights = (self.late, self.dense, self.bm25)
        if not all(0 <= weight < float("inf") for weight in weights) or not any(weights):
            raise InvalidInputError(
                f"The weights of the blend are {weights}; each is a finite number >= 0, and one of them more."
            )


DEFAULT_BLEND = Blend()


def blend(late: ArrayLike, *, dense: ArrayLike, bm25: ArrayLike, weights: Blend = DEFAULT_BLEND) -> Blended:
    """The final scores of one question's candidates: MaxSim, cosine and BM25 of each, all float ``(n,)`` and finite.

    The scales are drawn from these candidates, so give the same ones for the same result; their order is of no matter.
    """
    parts = [
        weight * fit_scale(values, "zscore")(values)
        for weight, values in ((weights.late, late), (weights.dense, dense), (weights.bm25, bm25))
    ]
    if len({len(part) for part in parts}) != 1:
        raise InvalidInputError(f"The scores have the lengths {[len(part) for part in parts]}; every candidate needs all three.")
    return Blended(parts[0] + parts[1] + parts[2], *parts)
