"""A reranker as the verifier of a cache: a second opinion on candidates that are near by their vectors."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, Protocol

import numpy as np
from numpy.typing import ArrayLike

from ragkit.cache.candidate import Candidate
from ragkit.cache.verdict import Verifier
from ragkit.errors import InvalidInputError


class Scores(Protocol):
    """What of a reranker is needed: CompressedReranker, LateInteractionReranker and CrossEncoderReranker have it."""

    def scores(self, query: str, texts: Sequence[str], /) -> ArrayLike:
        """One score a text, higher is better."""
        ...


def reranked(reranker: Scores, *, least: float, by: Literal["prompt", "answer"] = "prompt") -> Verifier:
    """A verifier that lets candidates pass whose score is at least ``least``, in the reranker's own unit.

    By "prompt" the new prompt and the stored one are scored for each other and the lower score counts, so that neither may ask for more
    than the other; by "answer" the stored answer is scored for the new prompt, as a passage would be. Find ``least`` on pairs of
    yours: scores of near prompts that may share an answer, and of those that may not. Raises InvalidInputError for a
    ``least`` that is not finite or another ``by``.
    """
    if not math.isfinite(least):
        raise InvalidInputError(f"least is {least!r}; it is a finite score of the reranker.")
    if by not in ("prompt", "answer"):
        raise InvalidInputError(f"by is {by!r}; it is 'prompt' or 'answer'.")

    def verify(prompt: str, candidate: Candidate) -> bool:
        if by == "answer":
            return _score(reranker, prompt, candidate.answer) >= least
        return min(_score(reranker, prompt, candidate.prompt), _score(reranker, candidate.prompt, prompt)) >= least

    return verify


def _score(reranker: Scores, query: str, text: str) -> float:
    return float(np.asarray(reranker.scores(query, [text]), np.float64).item())
