"""Measure retrieval on labelled collections: rank metrics with intervals, and span metrics at equal returned tokens."""

from __future__ import annotations

from ragkit.evaluate.bias import BiasReport, bias_probe
from ragkit.evaluate.collections import Collection, Passage, Query, load_collection
from ragkit.evaluate.metrics import Estimate, compare, estimate, rank_metrics, span_metrics
from ragkit.evaluate.needles import first_hits, first_hits_by_parts, needles, passkeys
from ragkit.evaluate.report import Comparison, EvalReport, Score
from ragkit.evaluate.run import evaluate

__all__ = [
    "BiasReport",
    "Collection",
    "Comparison",
    "Estimate",
    "EvalReport",
    "Passage",
    "Query",
    "Score",
    "bias_probe",
    "compare",
    "estimate",
    "evaluate",
    "first_hits",
    "first_hits_by_parts",
    "load_collection",
    "needles",
    "passkeys",
    "rank_metrics",
    "span_metrics",
]
