"""How the two arms' opinions become one score: pure settings and formulas, no input or output."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, Protocol, get_args

import numpy as np
from numpy.typing import NDArray

from ragkit.errors import InvalidInputError
from ragkit.vec import Normalize, fit_scale, reciprocal_ranks

Floats = NDArray[np.float64]
Ranks = NDArray[np.int64]


class Scored(NamedTuple):
    """Candidates as fusion sees them; all arrays are ``(n,)``. A rank of 0: that arm did not return the candidate.

    ``document`` numbers the documents the candidates come from. ``ceiling`` is the BM25 score that no chunk can exceed for this
    question, 0 where it is not known.
    """

    dense: Floats
    dense_rank: Ranks
    bm25: Floats
    bm25_rank: Ranks
    document: Ranks
    ceiling: float = 0.0


class Shares(NamedTuple):
    """What each arm adds to each candidate's final score, float64 ``(n,)`` each."""

    dense: Floats
    bm25: Floats


class Fusion(Protocol):
    """Settings of a fusion. ``fit`` sees the first ``fetch_k`` candidates per arm and returns the formula for all."""

    def fit(self, first: Scored, /) -> Callable[[Scored], Shares]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Convex:
    """``dense`` x the normalised cosine + (1 - ``dense``) x the normalised BM25 score; ``dense`` in [0, 1].

    ``normalize`` looks at the exact scores of the union of both arms' first candidates. "softmax", the default, reads each
    arm's scores as a distribution over the candidates: an arm whose best candidates stand out gets most of the vote for
    that question, an arm that sees them all alike moves nothing, so each question decides whom to trust. "zscore" gives mean 0
    and deviation 1, "minmax" sends the least to 0 and the best to 1, "tmm" starts at the least value in theory (-1 for
    the cosine, 0 for BM25), "dbsf" sends three deviations to either side of the mean to 0 and 1 and cuts what is beyond
    (distribution-based score fusion). An arm whose scores are all equal adds nothing. After Bruch, Gai and Ingber, "An Analysis of
    Fusion Functions for Hybrid Retrieval" (2023).

    ``document``, at least 0, is how much of the score of its document's best candidate a chunk gets on top: where one chunk
    answers well, its neighbours are likelier to. Documents of one chunk keep their order. After Bendersky and Kurland,
    "Utilizing passage-based language models for document retrieval" (2008), read the other way round.
    """

    dense: float = 0.6
    normalize: Normalize = "softmax"
    document: float = 0.25

    def __post_init__(self) -> None:
        check_share("Convex dense", self.dense)
        if not is_number(self.document, most=sys.float_info.max):
            raise InvalidInputError(f"Convex document is {self.document!r}; it must be a finite number >= 0 (0: chunks alone).")
        if self.normalize not in get_args(Normalize):
            raise InvalidInputError(f"Convex normalize is {self.normalize!r}; allowed are {', '.join(get_args(Normalize))}.")

    def fit(self, first: Scored, /) -> Callable[[Scored], Shares]:
        """The formula on the scales of these candidates."""
        dense_scale = fit_scale(first.dense, self.normalize, floor=-1.0)
        bm25_scale = fit_scale(first.bm25, self.normalize, floor=0.0)

        def shares(scored: Scored) -> Shares:
            own = Shares(self.dense * dense_scale(scored.dense), (1 - self.dense) * bm25_scale(scored.bm25))
            return _with_documents(own, scored.document, self.document) if self.document else own

        return shares


def _with_documents(own: Shares, document: Ranks, weight: float) -> Shares:
    """Each candidate's shares plus ``weight`` times those of its document's best candidate."""
    falling = np.argsort(-(own.dense + own.bm25), kind="stable")
    numbers, first = np.unique(document[falling], return_index=True)
    leader = falling[first[np.searchsorted(numbers, document)]]
    return Shares(own.dense + weight * own.dense[leader], own.bm25 + weight * own.bm25[leader])


@dataclass(frozen=True, slots=True, kw_only=True)
class Rrf:
    """Reciprocal rank fusion: each arm that returned a candidate at rank r adds its weight / (``c`` + r).

    ``dense`` in [0, 1] is the dense arm's weight and 1 - ``dense`` that of BM25; 0.5 is the usual equal vote. Ranks
    forget how far apart scores are, so a perfect arm is outvoted by a poor one: prefer ``Convex``, keep this to compare.
    After Cormack, Clarke and Buettcher (SIGIR 2009).
    """

    c: float = 60.0
    dense: float = 0.5

    def __post_init__(self) -> None:
        check_share("Rrf dense", self.dense)
        if not is_number(self.c, most=sys.float_info.max):
            raise InvalidInputError(f"Rrf c is {self.c!r}; it must be a finite number >= 0 (60 is usual).")

    def fit(self, first: Scored, /) -> Callable[[Scored], Shares]:
        """The formula; ranks need no scale, so ``first`` is not looked at."""

        def shares(scored: Scored) -> Shares:
            return Shares(
                self.dense * reciprocal_ranks(scored.dense_rank, c=self.c),
                (1 - self.dense) * reciprocal_ranks(scored.bm25_rank, c=self.c),
            )

        return shares


def is_number(value: object, *, most: float) -> bool:
    """Whether ``value`` is a number from 0 to ``most``."""
    return bool(isinstance(value, (int, float, np.number)) and not isinstance(value, bool) and 0 <= value <= most)


def check_share(name: str, value: float) -> None:
    """Raise InvalidInputError unless ``value`` is a share of the vote."""
    if not is_number(value, most=1):
        raise InvalidInputError(f"{name} is {value!r}; it is the dense arm's part of the vote, between 0 and 1.")


DEFAULT_FUSION = Convex()
