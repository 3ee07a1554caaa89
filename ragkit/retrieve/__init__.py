"""Hybrid search: candidates from a dense and a BM25 arm, scored exactly by both, fused, and explained."""

from __future__ import annotations

from ragkit.retrieve.adaptive import Adaptive
from ragkit.retrieve.arms import Arms, BatchArms, Candidate
from ragkit.retrieve.assemble import Context, Order, Passage, assemble
from ragkit.retrieve.expand import Stretch, expand_hits
from ragkit.retrieve.fusion import DEFAULT_FUSION, Convex, Fusion, Rrf, Scored
from ragkit.retrieve.phrasings import Cost, Phrasings, Rewriter, fuse, fuse_deep, rewritten
from ragkit.retrieve.runs import Run, find_runs
from ragkit.retrieve.search import DEFAULT_BM25, DEFAULT_FETCH_K, Candidates, Mode, candidates, search, search_many
from ragkit.retrieve.select import cap_documents, fold_copies, mmr
from ragkit.retrieve.shape import Expand, Shape, choose

__all__ = [
    "DEFAULT_BM25",
    "DEFAULT_FETCH_K",
    "DEFAULT_FUSION",
    "Adaptive",
    "Arms",
    "BatchArms",
    "Candidate",
    "Candidates",
    "Context",
    "Convex",
    "Cost",
    "Expand",
    "Fusion",
    "Mode",
    "Order",
    "Passage",
    "Phrasings",
    "Rewriter",
    "Rrf",
    "Run",
    "Scored",
    "Shape",
    "Stretch",
    "assemble",
    "candidates",
    "cap_documents",
    "choose",
    "expand_hits",
    "find_runs",
    "fold_copies",
    "fuse",
    "fuse_deep",
    "mmr",
    "rewritten",
    "search",
    "search_many",
]
