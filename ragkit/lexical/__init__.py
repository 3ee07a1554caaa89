"""Words for BM25: one analyzer for documents and queries, and exact BM25 scores of candidates."""

from __future__ import annotations

from ragkit.lexical.analyzer import Analyzer
from ragkit.lexical.bare import bare_question
from ragkit.lexical.bm25 import Bm25, ExactBm25, bm25_ceiling, bm25_counted, bm25_scores, boosts, term_stats
from ragkit.lexical.queries import AllOf, AnyOf, Fuzzy, Not, Phrase, Prefix, TextQuery, Words, read
from ragkit.lexical.stop_words import ENGLISH_STOP_WORDS, STOP_WORDS

__all__ = [
    "ENGLISH_STOP_WORDS",
    "STOP_WORDS",
    "AllOf",
    "Analyzer",
    "AnyOf",
    "Bm25",
    "ExactBm25",
    "Fuzzy",
    "Not",
    "Phrase",
    "Prefix",
    "TextQuery",
    "Words",
    "bare_question",
    "bm25_ceiling",
    "bm25_counted",
    "bm25_scores",
    "boosts",
    "read",
    "term_stats",
]
