"""Train small parts on your own documents and prompts, and keep them only where held-out ones gain."""

from __future__ import annotations

from ragkit.train.cache import CacheReport, train_cache
from ragkit.train.cache_made import pairs_by_model, pairs_by_rule
from ragkit.train.context import DEFAULT_CHUNKER, train_context
from ragkit.train.fusion import load_fusion, save_fusion, train_fusion
from ragkit.train.labels import Label, labels_by_rule, load_labels
from ragkit.train.report import ContextReport, Difference
from ragkit.train.tuning import TUNED_CHUNKER, tune_context
from ragkit.train.tuning_fit import TuneSettings

__all__ = [
    "DEFAULT_CHUNKER",
    "CacheReport",
    "ContextReport",
    "Difference",
    "Label",
    "TUNED_CHUNKER",
    "TuneSettings",
    "labels_by_rule",
    "load_fusion",
    "load_labels",
    "pairs_by_model",
    "pairs_by_rule",
    "save_fusion",
    "train_cache",
    "train_context",
    "train_fusion",
    "tune_context",
]
