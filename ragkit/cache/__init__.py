"""The decisions of a semantic cache, without any input or output: scope, guards, policies, verdicts."""

from __future__ import annotations

from ragkit.cache.admission import Outcome, refuse_storing
from ragkit.cache.candidate import Candidate, score
from ragkit.cache.evaluation import PairReport, TrapReport, evaluate_pairs, evaluate_traps
from ragkit.cache.guards import GUARDS, Rejection, asks_about_now, check
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
from ragkit.cache.scope import Scope, required
from ragkit.cache.suite import Pair, load_suite
from ragkit.cache.verdict import Refusal, Verdict, Verifier, decide

__all__ = [
    "GUARDS", "Calibrated", "Candidate", "Certified", "CertifiedSettings", "Decision", "Exact", "Outcome", "Pair", "PairReport", "Policy",
    "Refusal", "Rejection", "Scope", "Static", "TrapReport", "Verdict", "Verifier", "asks_about_now", "calibrate", "check", "decide", "evaluate_pairs", "evaluate_traps", "exact_only",
    "load_policy", "load_suite", "make_policy", "normalised", "refuse_storing", "required", "score",
]  # fmt: skip
