"""A fitted fusion wins on questions it has not seen, or the default stays."""

from __future__ import annotations

import json

import numpy as np
import pytest

from ragkit.errors import InvalidInputError
from ragkit.retrieve import DEFAULT_FUSION, Adaptive, Convex, Judged, Rrf, Scored, fit_fusion, fusion_from_json
from ragkit.retrieve.fit import ndcg
from ragkit.vec import order, ranks

FEW = (Convex(dense=0.0), Convex(dense=1.0), Adaptive(), Rrf())


def questions(n: int, *, dense_knows: bool, seed: int = 0) -> list[Judged]:
    """Thirty candidates each, one of them relevant; one arm has it first, or neither knows anything."""
    rng = np.random.default_rng(seed)
    made = []
    for number in range(n):
        dense, bm25 = rng.normal(0.3, 0.1, 30), rng.gamma(2.0, 3.0, 30)
        gains = np.zeros(30)
        gains[int(dense.argmax()) if dense_knows else int(rng.integers(30))] = 1.0
        scored = Scored(dense, ranks(order(dense)), bm25, ranks(order(bm25)), np.arange(30))
        made.append(Judged(scored=scored, gains=gains, ideal=(1.0,), group=str(number % 20)))
    return made


def test_a_setting_that_wins_on_unseen_questions_is_taken():
    report = fit_fusion(questions(100, dense_knows=True), choices=FEW)
    assert report.won
    assert report.fusion == report.best == Convex(dense=1.0)
    assert report.ndcg == pytest.approx(1.0)
    assert report.gain.low > 0
    assert "wins" in report.verdict


def test_noise_seldom_changes_anything():
    reports = [fit_fusion(questions(60, dense_knows=False, seed=seed), choices=FEW) for seed in range(20)]
    kept = [report for report in reports if not report.won]
    assert len(kept) >= 18
    assert all(report.fusion == DEFAULT_FUSION and "kept" in report.verdict for report in kept)


def test_equal_seeds_give_equal_reports_and_ties_go_to_the_default():
    some = questions(60, dense_knows=True)
    assert fit_fusion(some, choices=FEW, seed=3) == fit_fusion(some, choices=FEW, seed=3)
    same = fit_fusion(some, choices=[Convex(dense=0.999999), Convex(dense=1.0)], default=Convex(dense=1.0))
    assert same.fusion == Convex(dense=1.0)


def test_a_report_goes_through_json_and_damage_is_found():
    report = fit_fusion(questions(60, dense_knows=True), choices=FEW, made_for="model, words")
    text = report.to_json()
    assert fusion_from_json(text) == fusion_from_json(text, made_for="model, words") == report.fusion
    with pytest.raises(InvalidInputError, match="fitted to"):
        fusion_from_json(text, made_for="another model")
    body = json.loads(text)
    body["fusion"]["dense"] = 0.5
    for bad in (json.dumps(body), "", "[]", "{}", text.replace('"Convex"', '"Eval"')):
        with pytest.raises(InvalidInputError, match="fus"):
            fusion_from_json(bad)


def test_settings_and_questions_that_make_no_sense():
    some = questions(30, dense_knows=True)
    for settings in ({"k": 0}, {"held_out": 1.0}, {"choices": ()}, {"k": True}):
        with pytest.raises(InvalidInputError, match=next(iter(settings))):
            fit_fusion(some, **settings)
    with pytest.raises(InvalidInputError, match="at least 20"):
        fit_fusion(some[:5])
    scored = some[0].scored
    for gains, ideal in (
        (np.ones(3), (1.0,)),
        (np.full(30, np.nan), (1.0,)),
        (-np.ones(30), (1.0,)),
        (np.ones(30), ()),
        (np.ones(30), (0.0,)),
    ):
        with pytest.raises(InvalidInputError, match=r"gains|ideal"):
            Judged(scored=scored, gains=gains, ideal=ideal)


def test_questions_without_candidates_count_as_nothing_found():
    none = np.zeros(0)
    empty = Judged(scored=Scored(none, none.astype(int), none, none.astype(int), none.astype(int)), gains=none, ideal=(1.0,))
    assert ndcg(empty, DEFAULT_FUSION) == 0.0
    assert not fit_fusion([empty] * 30, choices=FEW).won
