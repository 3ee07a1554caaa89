"""Words for BM25: one analyzer for documents and queries, and exact BM25 scores of candidates."""

from __future__ import annotations

from ragkit.lexical.analyzer import ENGLISH_STOP_WORDS, Analyzer
from ragkit.lexical.bm25 import ExactBm25, bm25_scores, term_stats

__all__ = ["ENGLISH_STOP_WORDS", "Analyzer", "ExactBm25", "bm25_scores", "term_stats"]
