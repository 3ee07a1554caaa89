"""Measure retrieval on labelled collections: rank metrics with intervals, and span metrics at equal returned tokens."""

from __future__ import annotations

from ragkit.evaluate.collections import Collection, Passage, Query, load_collection
from ragkit.evaluate.metrics import Estimate, compare, estimate, rank_metrics, span_metrics
from ragkit.evaluate.report import Comparison, EvalReport, Score
from ragkit.evaluate.run import evaluate

__all__ = [
    "Collection",
    "Comparison",
    "Estimate",
    "EvalReport",
    "Passage",
    "Query",
    "Score",
    "compare",
    "estimate",
    "evaluate",
    "load_collection",
    "rank_metrics",
    "span_metrics",
]
