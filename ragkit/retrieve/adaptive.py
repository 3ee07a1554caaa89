"""Fusion that decides for each question how far to believe the words."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ragkit.errors import InvalidInputError
from ragkit.retrieve.fusion import Convex, Scored, Shares, check_share, is_number
from ragkit.vec import Normalize


@dataclass(frozen=True, slots=True, kw_only=True)
class Adaptive:
    """``Convex`` whose BM25 arm loses votes where even its best chunk covers little of the question.

    Coverage is BM25's best score divided by the highest that these words could have: every word of the question weighed by
    its rarity, words that no chunk has included. Questions asked in the words of the collection have coverages around 0.4,
    and below ``coverage`` (a quarter) the arm's vote shrinks in proportion: its words stand for something else, are spelt
    otherwise, or surround the question and are not what it asks. How peaked each arm's scores are is weighed already by the
    softmax. Where the ceiling is not known, or ``coverage`` is 0, this is ``Convex`` with the same settings.

    Raises InvalidInputError for settings out of range.
    """

    dense: float = 0.6
    normalize: Normalize = "softmax"
    document: float = 0.25
    coverage: float = 0.25

    def __post_init__(self) -> None:
        check_share("Adaptive dense", self.dense)
        self._convex(1.0)
        if not is_number(self.coverage, most=1):
            raise InvalidInputError(
                f"Adaptive coverage is {self.coverage!r}; it is the share of a question's words below which BM25 loses votes, 0 to 1."
            )

    def trust(self, first: Scored) -> float:
        """What BM25's vote is multiplied by for this question, in [0, 1]."""
        best = float(first.bm25.max(initial=0.0))
        if first.ceiling <= 0 or self.coverage == 0:
            return 1.0
        return max(0.0, min(1.0, best / first.ceiling / self.coverage))

    def fit(self, first: Scored, /) -> Callable[[Scored], Shares]:
        """The formula on the scales of these candidates, with this question's vote."""
        return self._convex(self.trust(first)).fit(first)

    def _convex(self, trust: float) -> Convex:
        return Convex(dense=1 - (1 - self.dense) * trust, normalize=self.normalize, document=self.document)
