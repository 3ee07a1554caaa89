"""A store in memory that searches by brute force: what the driver is tested over."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ragkit.lexical import ExactBm25, bm25_scores, term_stats
from ragkit.types import Chunk, Span, TermStats


@dataclass(frozen=True)
class Row:
    chunk: Chunk
    lines: tuple[int, int]
    vector: np.ndarray
    lex: list[str]


def row(doc_id: str, vector: Sequence[float], lex: str, *, start: int = 0) -> Row:
    chunk = Chunk(id=f"{doc_id}/{start}", doc_id=doc_id, start=start, end=start + 1, text="x", window=Span(start, start + 1), index=0, n_tokens=1)
    return Row(chunk, (1, 1), np.asarray(vector, dtype=np.float32), lex.split())


class MemoryArms:
    """Both arms over a list of rows; ``where`` is ``{"ids": {...}}``."""

    def __init__(self, rows: Sequence[Row]) -> None:
        self.rows = list(rows)
        self.stats = term_stats([row.lex for row in rows])
        self.limits: list[tuple[str, int]] = []

    def _allowed(self, where: Mapping[str, Any] | None) -> list[Row]:
        return [row for row in self.rows if where is None or row.chunk.doc_id in where["ids"]]

    def nearest(self, vector: np.ndarray, /, *, limit: int, where: Mapping[str, Any] | None = None) -> list[Row]:
        self.limits.append(("dense", limit))
        return sorted(self._allowed(where), key=lambda row: -float(row.vector @ vector))[:limit]

    def matching(self, tokens: Sequence[str], /, *, limit: int, where: Mapping[str, Any] | None = None) -> list[Row]:
        self.limits.append(("bm25", limit))
        rows = [row for row in self._allowed(where) if set(row.lex) & set(tokens)]
        scores = bm25_scores(tokens, [row.lex for row in rows], self.stats)
        return [rows[place] for place in np.argsort(-scores, kind="stable")][:limit]

    def term_stats(self) -> TermStats:
        return self.stats

    def exact_bm25(self, tokens: Sequence[str]) -> np.ndarray:
        return ExactBm25([row.lex for row in self.rows]).scores(tokens)
