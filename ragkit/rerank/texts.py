"""Rerankers that read the text: anything that scores a question against passages."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ragkit.errors import InvalidInputError
from ragkit.rerank.blend import Blend
from ragkit.rerank.placing import place
from ragkit.types import Hit

#: Scores of passages for a question, one per passage, higher is better; or by the passage's number, where some have none.
Score = Callable[[str, Sequence[str]], "ArrayLike | Mapping[int, float]"]
#: The reranker alone decides.
ALONE = Blend(first=0.0, neighbours=0.0)


class TextReranker:
    """Hits in the order of ``score(question, texts)``, for ``index.search(..., rerank=...)``.

    ``weights`` blends the scores with the arms' own; as a rule the reranker alone decides. ``depth`` is how many of the best hits are
    read; the rest stays behind them. A hit that ``score`` leaves out keeps its place and has no part "rerank".
    """

    def __init__(self, score: Score, *, weights: Blend = ALONE, depth: int = 100) -> None:
        if not isinstance(depth, int) or isinstance(depth, bool) or depth < 1:
            raise InvalidInputError(f"depth is {depth!r}; it must be a whole number, at least 1.")
        self._score, self.weights, self.depth = score, weights, depth

    def __call__(self, query: str, hits: Sequence[Hit]) -> list[Hit]:
        """All the hits, the first ``depth`` in their new order."""
        # By id, so that neither the order of the hits nor one that comes twice changes what the model is asked.
        texts = dict(sorted((hit.chunk.id, hit.chunk.text) for hit in hits[: self.depth]))
        found = self.scores(query, list(texts.values()))
        return place(hits, {one: found[at] for at, one in enumerate(texts) if at in found}, self.weights)

    def scores(self, query: str, texts: Sequence[str]) -> dict[int, float]:
        """The score of each text by its number. Raises InvalidInputError for scores that are too many, too few or not finite."""
        if not texts:
            return {}
        found = self._score(query, texts)
        if not isinstance(found, Mapping):
            values: NDArray[np.float64] = np.asarray(found, np.float64).reshape(-1)
            if len(values) != len(texts):
                raise InvalidInputError(f"The reranker gave {len(values)} scores for {len(texts)} passages; one each is needed.")
            found = dict(enumerate(values.tolist()))
        if not set(found) <= set(range(len(texts))) or not np.isfinite(list(found.values())).all():
            raise InvalidInputError("The reranker gave scores of passages it was not asked about, or scores that are not finite.")
        return {at: float(score) for at, score in found.items()}


def reranker_from(model: Any, *, weights: Blend = ALONE, depth: int = 100) -> TextReranker:
    """A reranker of another library, as one of ragkit's: told by its methods, so that no library has to be there.

    - ``model.predict(pairs)``: sentence-transformers' CrossEncoder and its relatives.
    - ``model.rank(query, docs, doc_ids)``: the ``rerankers`` library. What it returns without scores counts by rank.
    - a function of (question, texts) that returns scores.

    LangChain's compressors are for ``ragkit.langchain.reranker_from``. Raises InvalidInputError for anything else.
    """
    if callable(getattr(model, "predict", None)):
        return TextReranker(lambda query, texts: model.predict([(query, text) for text in texts]), weights=weights, depth=depth)
    if callable(getattr(model, "rank", None)):
        return TextReranker(lambda query, texts: _ranked(model, query, texts), weights=weights, depth=depth)
    if callable(model):
        return TextReranker(model, weights=weights, depth=depth)
    raise InvalidInputError(
        f"{type(model).__name__} is no reranker that is known: it has neither predict(pairs) nor rank(query, docs, doc_ids), and cannot be "
        "called. Give a function of (question, texts) that returns scores."
    )


def _ranked(model: Any, query: str, texts: Sequence[str]) -> dict[int, float]:
    results: list[Any] = list(model.rank(query=query, docs=list(texts), doc_ids=list(range(len(texts)))).results)
    owners: list[Any] = [result if hasattr(result, "doc_id") else result.document for result in results]
    numbers = [int(owner.doc_id) for owner in owners]
    scores = [getattr(result, "score", None) for result in results]
    if any(score is None for score in scores):
        scores = [-float(rank) for rank in range(len(results))]
    return {number: float(score) for number, score in zip(numbers, scores, strict=True) if score is not None}
