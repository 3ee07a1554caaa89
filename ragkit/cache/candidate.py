"""A stored answer that came near, and the one number a policy decides by."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

#: How much an agreeing or disagreeing runner-up moves the score, at most; how far behind it may lie to count; what an
#: earlier wrong answer costs. Round numbers: what they are worth is learned from judgements, whatever they are.
_AGREEMENT, _REACH, _RECORD = 0.1, 0.2, 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """An entry near the prompt: its own prompt and answer, and the cosine between the two prompts in [-1, 1].

    ``group`` names the answer: entries whose answers were judged the same share it; empty means an answer of its own.
    ``wrong`` counts how often the entry was judged wrong for a near prompt.
    """

    entry: str
    prompt: str
    answer: str
    similarity: float
    group: str = ""
    wrong: int = 0


def score(best: Candidate, others: Sequence[Candidate] = ()) -> float:
    """The similarity of ``best``, moved by what else is known: its record, and whether the next nearest has the same answer.

    A runner-up as near as the best one counts fully, one that is 0.2 of cosine behind not at all. Higher is surer; the
    scale is that of the cosine, but a score may leave [-1, 1].
    """
    runner = max((other for other in others if other.entry != best.entry), key=lambda other: other.similarity, default=None)
    moved = best.similarity - (_RECORD if best.wrong else 0.0)
    if runner is not None:
        near = max(0.0, 1 - max(0.0, best.similarity - runner.similarity) / _REACH)
        moved += (_AGREEMENT if best.group and best.group == runner.group else -_AGREEMENT) * near
    return moved
