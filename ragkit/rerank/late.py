"""Full late interaction: every token of the question against every token of the text, uncompressed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ragkit.rerank.blend import DEFAULT_BLEND, Blend
from ragkit.rerank.reranker import CompressedReranker
from ragkit.rerank.states import unit
from ragkit.rerank.texts import TextReranker
from ragkit.rerank.types import Compressor
from ragkit.seams import TokenReader, TokenStates, Vectors
from ragkit.types import Hit

_AT_ONCE = 16


class LateInteractionReranker:
    """MaxSim of the model's own token states (ColBERT, 2004.12832), with the compressor's gates: what a compressor is compared with.

    Reads the text each time, and holds some 100 kilobytes a passage while it does. Arguments as in CompressedReranker.
    """

    def __init__(
        self,
        compressor: Compressor | None = None,
        *,
        weights: Blend = DEFAULT_BLEND,
        depth: int = 100,
        reader: TokenReader | None = None,
    ) -> None:
        self._compressed = CompressedReranker(compressor, reader=reader)
        self._reranker = TextReranker(self.scores, weights=weights, depth=depth)

    def __call__(self, query: str, hits: Sequence[Hit]) -> list[Hit]:
        """All the hits, the best ``depth`` in their new order; reads their text."""
        return self._reranker(query, hits)

    def scores(self, query: str, texts: Sequence[str]) -> NDArray[np.float64]:
        """The gated mean of each question token's best cosine in each text, float64 ``(n,)``, in [-1, 1]; -1 for an empty text."""
        reader, compressor = self._compressed.reader, self._compressed.compressor
        (states,) = reader.read_queries([query], layers=compressor.layers)
        gates = compressor.query(states).gates.astype(np.float64)
        asked = self._rows(states)
        total = float(gates.sum())
        scores = np.full(len(texts), -1.0 if total else 0.0)
        for first in range(0, len(texts), _AT_ONCE):
            for at, passes in enumerate(reader.read_texts(texts[first : first + _AT_ONCE], layers=compressor.layers), first):
                best = [(asked @ self._rows(one).T).max(axis=1) for one in passes if len(one.ids)]
                if best and total:
                    scores[at] = float(np.max(best, axis=0) @ gates) / total
        return scores

    def _rows(self, states: TokenStates) -> Vectors:
        """The first layer's states, unit rows."""
        return unit(states.states[:, : states.states.shape[1] // len(self._compressed.compressor.layers)])
