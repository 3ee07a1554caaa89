"""A semantic cache: its decisions, without any input or output (scope, guards, policies, verdicts), and the cache that stores."""

from __future__ import annotations

from ragkit.cache.admission import Outcome, refuse_storing
from ragkit.cache.candidate import Candidate, score
from ragkit.cache.entry import Entry
from ragkit.cache.evaluation import PairReport, TrapReport, evaluate_pairs, evaluate_traps
from ragkit.cache.eviction import Limits
from ragkit.cache.guards import GUARDS, Rejection, asks_about_now, check
from ragkit.cache.made import Judge, Made
from ragkit.cache.policies import (
    Calibrated,
    Certified,
    CertifiedSettings,
    Decision,
    Exact,
    Policy,
    Static,
    calibrate,
    load_policy,
    make_policy,
)
from ragkit.cache.prompts import exact_only, normalised
from ragkit.cache.recorder import Recorder
from ragkit.cache.reports import CacheStats, Stored
from ragkit.cache.reranked import reranked
from ragkit.cache.scope import Scope, required
from ragkit.cache.semantic import SemanticCache
from ragkit.cache.sources import DocumentVersions, Source
from ragkit.cache.suite import Pair, load_suite
from ragkit.cache.trust import Trust
from ragkit.cache.verdict import Refusal, Verdict, Verifier, decide

__all__ = [
    "GUARDS", "CacheStats", "Calibrated", "Candidate", "Certified", "CertifiedSettings", "Decision", "DocumentVersions", "Entry", "Exact",
    "Judge", "Limits", "Made", "Outcome", "Pair", "PairReport", "Policy", "Recorder", "Refusal", "Rejection", "Scope", "SemanticCache", "Source",
    "Static", "Stored", "TrapReport", "Trust", "Verdict", "Verifier", "asks_about_now", "calibrate", "check", "decide", "evaluate_pairs",
    "evaluate_traps", "exact_only", "load_policy", "load_suite", "make_policy", "normalised", "refuse_storing", "required", "reranked", "score",
]  # fmt: skip
