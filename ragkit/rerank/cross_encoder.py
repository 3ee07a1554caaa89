"""CrossEncoderReranker: a model that reads question and passage together. Slow, and what the others are measured against."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ragkit.embed import PairScorer
from ragkit.rerank.blend import Blend
from ragkit.rerank.texts import ALONE, TextReranker
from ragkit.types import Hit


class CrossEncoderReranker:
    """Hits in the order of a cross-encoder's scores: any sequence-classification model of transformers with one or two outputs.

    ``model`` is a name or folder, or a PairScorer with settings of its own. A passage beyond the model's window is read in windows and its
    best one counts; a question that leaves no room for one raises TextTooLongError. ``weights`` and ``depth`` as in TextReranker;
    ``hit.parts["rerank"].score`` is the model's raw output.
    """

    def __init__(self, model: str | PairScorer, *, weights: Blend = ALONE, depth: int = 100) -> None:
        self.scorer = PairScorer(model) if isinstance(model, str) else model
        self._reranker = TextReranker(self.scorer.score, weights=weights, depth=depth)

    def __repr__(self) -> str:
        return f"CrossEncoderReranker({self.scorer.name!r})"

    def __call__(self, query: str, hits: Sequence[Hit]) -> list[Hit]:
        """All the hits, the best ``depth`` in their new order; reads their text."""
        return self._reranker(query, hits)

    def scores(self, query: str, texts: Sequence[str]) -> NDArray[np.float64]:
        """The model's raw outputs for plain texts, float64 ``(n,)``."""
        return self.scorer.score(query, texts)
