"""Figures of pairs, against counting by hand."""

from __future__ import annotations

import gzip
import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragkit.cache import check, evaluate_pairs, evaluate_traps, load_suite
from ragkit.errors import InvalidInputError

PAIRS = st.lists(st.tuples(st.integers(0, 8), st.booleans(), st.booleans()), min_size=1, max_size=40)


@given(PAIRS)
def test_figures_are_those_of_counting_by_hand(pairs):
    scores, same, allowed = (np.array(part) for part in zip(*pairs, strict=True))
    report = evaluate_pairs(scores / 8, same, allowed=allowed, resamples=3)
    positive, before, average, area, best = same.sum(), 0.0, 0.0, 0.0, 0.0
    last = 0
    for threshold in sorted({*scores[allowed]}, reverse=True):
        served = allowed & (scores >= threshold)
        right = int((served & same).sum())
        precision = right / served.sum()
        area += precision * (served.sum() - last) / len(pairs)
        if positive:
            average += precision * (right - before) / positive
        best = max(best, 2 * right / (served.sum() + positive))
        before, last = right, served.sum()
    assert report.average_precision.value == pytest.approx(average)
    assert report.area.value == pytest.approx(area)
    assert report.f1.value == pytest.approx(best)
    assert report.reach == pytest.approx(allowed.mean())
    json.dumps(report.to_dict())


def test_perfect_scores_are_perfect_and_a_policy_is_recommended():
    same = np.arange(1000) < 400
    report = evaluate_pairs(np.where(same, 0.9, 0.2), same)
    assert report.average_precision.value == report.f1.value == report.recall_at["0.98"] == 1.0
    assert report.policy["policy"] == "calibrated"
    assert report.curve.wrong_per_100[0] == 0
    assert report.average_precision.low <= 1.0 <= report.average_precision.high


def test_useless_scores_get_shadow_mode():
    random = np.random.default_rng(0)
    report = evaluate_pairs(random.random(1000), random.random(1000) < 0.3)
    assert report.policy["policy"] == "certified"
    assert report.recall_at["0.95"] == 0.0
    assert report.average_precision.low < report.average_precision.value < report.average_precision.high < 0.5


def test_twenty_hits_are_needed_before_a_precision_counts():
    assert evaluate_pairs([1.0] * 19 + [0.0] * 10, [True] * 19 + [False] * 10, resamples=3).recall_at["0.98"] == 0
    assert evaluate_pairs([1.0] * 20 + [0.0] * 10, [True] * 20 + [False] * 10, resamples=3).recall_at["0.98"] == 1


def test_arrays_that_do_not_fit_are_errors():
    for scores, same in (([], []), ([0.1], [True, False]), ([math.nan], [True])):
        with pytest.raises(InvalidInputError):
            evaluate_pairs(scores, same)
    with pytest.raises(InvalidInputError):
        evaluate_traps(load_suite(), [0.5], 0.8)


def test_guards_raise_precision_on_real_pairs(data_folder: Path, minilm):
    with gzip.open(data_folder / "cache_pairs" / "pairs.jsonl.gz", "rt", encoding="utf-8") as file:
        rows = [json.loads(line) for line in file][::25]
    left, right = minilm.embed_texts([row["text_a"] for row in rows]), minilm.embed_texts([row["text_b"] for row in rows])
    scores, same = (left * right).sum(1), np.array([row["label"] == 1 for row in rows])
    passed = np.array([not check(row["text_a"], row["text_b"], first=True) for row in rows])
    near = scores >= 0.8
    assert same[near & passed].mean() > same[near].mean() + 0.03
    assert (near & passed & same).sum() > 0.4 * (near & same).sum()
