"""Train small parts on your own documents: a context adapter for a frozen embedder."""

from __future__ import annotations

from ragkit.train.context import DEFAULT_CHUNKER, train_context
from ragkit.train.fusion import load_fusion, save_fusion, train_fusion
from ragkit.train.labels import Label, labels_by_rule, load_labels
from ragkit.train.report import ContextReport, Difference

__all__ = [
    "DEFAULT_CHUNKER",
    "ContextReport",
    "Difference",
    "Label",
    "labels_by_rule",
    "load_fusion",
    "load_labels",
    "save_fusion",
    "train_context",
    "train_fusion",
]
