"""What an evaluation found, as data and as a table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from ragkit.evaluate.metrics import Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """The mean of one metric under one mode over ``n`` questions, with its 95 % bootstrap interval ``[low, high]``."""

    mode: str
    metric: str
    mean: float
    low: float
    high: float
    n: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """``mode`` minus ``other`` in ``metric``, question by question; "no winner" when the interval holds 0."""

    mode: str
    other: str
    metric: str
    mean: float
    low: float
    high: float
    verdict: Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class EvalReport:
    """Scores of a collection and the settings that made them.

    ``unit`` is what the rank metrics judge, "document" or "passage"; ``unjudgeable`` counts judgements of ids that the
    collection lacks (they count as not found).
    """

    collection: str
    unit: str
    documents: int
    chunks: int
    queries: int
    unjudgeable: int
    model: str
    chunker: str
    analyzer: str
    k: int
    fetch_k: int
    scores: tuple[Score, ...]
    comparisons: tuple[Comparison, ...]

    def score(self, mode: str, metric: str) -> Score:
        """The score of that mode and metric; KeyError when it was not measured."""
        for score in self.scores:
            if (score.mode, score.metric) == (mode, metric):
                return score
        raise KeyError(f"{mode}, {metric}; measured are {', '.join(sorted({f'{one.mode} {one.metric}' for one in self.scores}))}")

    def to_dict(self) -> dict[str, Any]:
        """Everything, ready for JSON."""
        return asdict(self)

    @property
    def modes(self) -> list[str]:
        """The modes measured, in order."""
        return list(dict.fromkeys(score.mode for score in self.scores))

    @property
    def metrics(self) -> list[str]:
        """The metrics measured, in order."""
        return list(dict.fromkeys(score.metric for score in self.scores))

    def table(self) -> tuple[list[str], list[list[str]]]:
        """A header and one row per metric: ``mean [low, high]`` for each mode."""
        rows = [[metric, *(_cell(self.score(mode, metric)) for mode in self.modes)] for metric in self.metrics]
        return ["metric", *self.modes], rows


def _cell(score: Score) -> str:
    return f"{score.mean:.3f} [{score.low:.3f}, {score.high:.3f}]"


def markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
