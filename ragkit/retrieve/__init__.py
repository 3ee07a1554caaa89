"""Hybrid search: candidates from a dense and a BM25 arm, scored exactly by both, fused, and explained."""

from __future__ import annotations

from ragkit.retrieve.adaptive import Adaptive
from ragkit.retrieve.arms import Arms, Ask, Pool
from ragkit.retrieve.assemble import Context, Order, Passage, assemble
from ragkit.retrieve.expand import Stretch, expand_hits
from ragkit.retrieve.fit import FusionReport, Judged, fit_fusion, fusion_from_json
from ragkit.retrieve.fusion import DEFAULT_FUSION, Convex, Fusion, Rrf, Scored
from ragkit.retrieve.phrasings import Cost, Phrasings, Rewriter, fuse, fuse_deep, rewritten
from ragkit.retrieve.runs import Run, find_runs
from ragkit.retrieve.search import DEFAULT_BM25, DEFAULT_FETCH_K, Candidates, candidates, search, search_many
from ragkit.retrieve.select import cap_documents, fold_copies, mmr
from ragkit.retrieve.shape import Expand, Shape, choose
from ragkit.retrieve.thresholds import Precision, Threshold, at_least, fit_threshold, threshold_from_json
from ragkit.retrieve.tiers import Mode

__all__ = [
    "DEFAULT_BM25",
    "DEFAULT_FETCH_K",
    "DEFAULT_FUSION",
    "Adaptive",
    "Arms",
    "Ask",
    "Candidates",
    "Context",
    "Convex",
    "Cost",
    "Expand",
    "Fusion",
    "FusionReport",
    "Judged",
    "Mode",
    "Order",
    "Passage",
    "Phrasings",
    "Pool",
    "Precision",
    "Rewriter",
    "Rrf",
    "Run",
    "Scored",
    "Shape",
    "Stretch",
    "Threshold",
    "assemble",
    "at_least",
    "candidates",
    "cap_documents",
    "choose",
    "expand_hits",
    "find_runs",
    "fit_fusion",
    "fit_threshold",
    "fold_copies",
    "fuse",
    "fuse_deep",
    "fusion_from_json",
    "mmr",
    "rewritten",
    "search",
    "search_many",
    "threshold_from_json",
]
