"""Measure retrieval on labelled collections: rank metrics with intervals, and span metrics at equal returned tokens."""

from __future__ import annotations

from ragkit.evaluate.bias import BiasReport, bias_probe
from ragkit.evaluate.collections import Collection, Passage, Query, load_collection
from ragkit.evaluate.metrics import Estimate, compare, estimate, rank_metrics, span_metrics
from ragkit.evaluate.needles import first_hits, first_hits_by_parts, needles, passkeys
from ragkit.evaluate.questions import LeftOut, Questions, given_questions
from ragkit.evaluate.questions_headings import heading_questions
from ragkit.evaluate.questions_written import written_questions
from ragkit.evaluate.report import Comparison, EvalReport, Score
from ragkit.evaluate.robustness import RobustnessReport, robustness
from ragkit.evaluate.run import evaluate
from ragkit.evaluate.study import Study, limited, plan_study, study_chunks
from ragkit.evaluate.study_bias import bias_of
from ragkit.evaluate.study_compare import Difference
from ragkit.evaluate.study_page import study_page
from ragkit.evaluate.study_plan import CONTEXTS, Recipe, recipe_grid
from ragkit.evaluate.study_report import StudyReport
from ragkit.evaluate.study_run import Outcome
from ragkit.evaluate.study_verdict import Verdict

__all__ = [
    "CONTEXTS",
    "BiasReport",
    "Collection",
    "Comparison",
    "Difference",
    "Estimate",
    "EvalReport",
    "LeftOut",
    "Outcome",
    "Passage",
    "Query",
    "Questions",
    "Recipe",
    "RobustnessReport",
    "Score",
    "Study",
    "StudyReport",
    "Verdict",
    "bias_of",
    "bias_probe",
    "compare",
    "estimate",
    "evaluate",
    "first_hits",
    "first_hits_by_parts",
    "given_questions",
    "heading_questions",
    "limited",
    "load_collection",
    "needles",
    "passkeys",
    "plan_study",
    "rank_metrics",
    "recipe_grid",
    "robustness",
    "span_metrics",
    "study_chunks",
    "study_page",
    "written_questions",
]
