"""Hybrid search: candidates from a dense and a BM25 arm, scored exactly by both, fused, and explained."""

from __future__ import annotations

from ragkit.retrieve.arms import Arms, BatchArms, Candidate
from ragkit.retrieve.assemble import Context, Passage, assemble
from ragkit.retrieve.fusion import DEFAULT_FUSION, Convex, Fusion, Rrf
from ragkit.retrieve.runs import Run, find_runs
from ragkit.retrieve.search import DEFAULT_FETCH_K, Mode, search, search_many
from ragkit.retrieve.select import cap_documents, fold_copies, mmr

__all__ = [
    "DEFAULT_FETCH_K",
    "DEFAULT_FUSION",
    "Arms",
    "BatchArms",
    "Candidate",
    "Context",
    "Convex",
    "Fusion",
    "Mode",
    "Passage",
    "Rrf",
    "Run",
    "find_runs",
    "assemble",
    "cap_documents",
    "fold_copies",
    "mmr",
    "search",
    "search_many",
]
