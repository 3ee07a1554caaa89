"""Policies keep their budgets: bounds in many simulated runs, and state that survives a trip through JSON."""

from __future__ import annotations

import json
import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from ragkit.cache import Calibrated, Certified, CertifiedSettings, Exact, Policy, Static, calibrate, load_policy, make_policy
from ragkit.cache.policies.per_entry import fit_curves, serve_chance
from ragkit.cache.policies.risk import GAINS, anytime_upper, costs, exact_upper
from ragkit.cache.policies.trail import Point, Trail
from ragkit.errors import InvalidInputError

RUNS = 200


def world(seed: int, requests: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Scores, whether the candidate is wrong (more often at low scores), and coins."""
    random = np.random.default_rng(seed)
    scores = random.beta(5, 2, requests)
    wrong = random.random(requests) < 0.005 + 0.995 / (1 + np.exp(14 * (scores - 0.55)))
    return scores, wrong, random.random(requests)


def run(policy: Policy, scores: np.ndarray, wrong: np.ndarray, coins: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What was served, and served wrong."""
    hits, errors = np.zeros(len(scores), dtype=bool), np.zeros(len(scores), dtype=bool)
    for at, (score, bad, coin) in enumerate(zip(scores.tolist(), wrong.tolist(), coins.tolist(), strict=True)):
        said = policy.decide(score, coin)
        policy.record(score, served=said.serve)
        if said.judge:
            policy.learn(score, wrong=bad, weight=said.weight, served=said.serve)
        hits[at], errors[at] = said.serve, said.serve and bad
    return hits, errors


@pytest.mark.parametrize("budget", [0.02, 0.05])
def test_certified_runs_stay_within_their_budget_at_every_time(budget: float):
    requests, exceeded, served = 800, 0, 0.0
    for seed in range(RUNS):
        hits, errors = run(Certified(CertifiedSettings(budget=budget)), *world(seed, requests))
        exceeded += bool((errors.cumsum() > budget * np.arange(1, requests + 1)).any())
        served += hits.mean() / RUNS
    assert exceeded <= 0.05 * RUNS
    # A policy that never serves would pass the first check.
    assert served > (0.06 if budget == 0.02 else 0.2)


def test_certified_per_hit_bounds_the_share_of_wrong_hits():
    wrong_hits, all_hits = 0, 0
    for seed in range(20):
        hits, errors = run(Certified(CertifiedSettings(budget=0.05, per="hit")), *world(seed, 2500))
        wrong_hits, all_hits = wrong_hits + int(errors.sum()), all_hits + int(hits.sum())
    assert all_hits > 5000
    assert wrong_hits <= 0.05 * all_hits


def test_certified_starts_in_shadow_mode_and_judges_what_it_does_not_serve():
    policy = Certified()
    assert policy.shadow
    assert policy.threshold == math.inf
    said = policy.decide(0.999, 0.5)
    assert (said.serve, said.judge, said.weight) == (False, True, 1.0)
    assert "shadow" in said.reason


def test_certified_never_serves_where_every_second_candidate_is_wrong():
    random = np.random.default_rng(3)
    hits, _ = run(Certified(), random.beta(5, 2, 4000), random.random(4000) < 0.5, random.random(4000))
    assert not hits.any()


def test_certified_notices_when_hits_turn_wrong():
    scores, wrong, coins = world(1, 6000)
    policy = Certified(CertifiedSettings(budget=0.05))
    run(policy, scores, wrong, coins)
    assert not policy.shadow
    hits, _ = run(policy, scores, np.ones(6000, dtype=bool), coins)
    assert policy.alarms >= 1
    assert not hits[1500:].any()


@given(st.integers(0, 400), st.lists(st.tuples(st.floats(0, 1), st.booleans()), max_size=30))
def test_certified_continues_exactly_where_it_was(warm: int, more: list[tuple[float, bool]]):
    policy = Certified(CertifiedSettings(budget=0.3))
    run(policy, *(part[:warm] for part in world(5, 400)))
    again = load_policy(json.loads(json.dumps(policy.to_dict())))
    for score, bad in more:
        assert policy.decide(score, 0.01) == again.decide(score, 0.01)
        for one in (policy, again):
            said = one.decide(score, 0.01)
            one.record(score, served=said.serve)
            one.learn(score, wrong=bad, weight=said.weight, served=said.serve)
    assert policy.to_dict() == again.to_dict()


def test_a_certified_policy_can_be_drawn_from_its_first_request_on():
    scores, wrong, coins = world(1, 6000)
    policy = Certified(CertifiedSettings(budget=0.05))
    run(policy, scores, wrong, coins)
    points = list(policy.trail)
    assert points[0].requests == 25
    assert points[-1].requests == policy.requests == 6000
    assert points[-1].hits == policy.hits > points[-1].audited > points[-1].wrong
    assert all(one.bound <= 0.05 for one in points)
    per_hit = Certified(CertifiedSettings(budget=0.05, per="hit"))
    run(per_hit, scores, wrong, coins)
    assert {one.bound <= 0.05 for one in per_hit.trail} == {True}
    # What an earlier version stored has no trail yet.
    old = policy.to_dict()
    del old["trail"], old["judged"]
    again = Certified.from_dict(old)
    assert len(again.trail) == 0
    run(again, scores[:25], wrong[:25], coins[:25])
    (point,) = again.trail
    assert point.audited >= point.wrong > 0
    del old["paid"]
    with pytest.raises(KeyError):
        Certified.from_dict(old)


@given(st.integers(1, 9), st.integers(0, 4000))
def test_a_trail_is_bounded_even_and_reaches_from_the_beginning_to_now(every: int, requests: int):
    trail = Trail(every)
    for number in range(every, requests + 1, every):
        trail.pass_by(Point(number, 0, 0, 0, 0.0))
    places = [point.requests for point in trail]
    steps = {later - sooner for sooner, later in pairwise(places)}
    assert len(trail) <= 256
    assert len(steps) <= 1
    assert not places or places[0] == every
    assert not places or requests - places[-1] < max([every, *steps])
    again = Trail.from_dict(json.loads(json.dumps(trail.to_dict())))
    for one in (trail, again):
        one.pass_by(Point(requests + 5000, 1, 1, 0, 0.1))
    assert list(again) == list(trail)


def test_a_decision_changes_nothing():
    policy = Certified(CertifiedSettings(budget=0.3))
    run(policy, *world(5, 400))
    before = policy.to_dict()
    assert policy.decide(0.99, 0.0) == policy.decide(0.99, 0.0)
    assert policy.to_dict() == before


def test_the_anytime_bound_holds_at_all_times_together():
    broken = 0
    for seed in range(RUNS):
        random = np.random.default_rng(seed)
        chance, many = 0.05, 1500
        weights = np.where(random.random(many) < 0.5, 1.0, 0.1)
        wrong = random.random(many) < chance
        cost = np.cumsum(wrong[:, None] * np.stack([costs(weight) for weight in (0.1, 1.0)])[(weights == 1.0).astype(int)], 0)
        uppers = anytime_upper(weights.cumsum()[::10], cost[::10], 0.05 * len(cost[::10]))
        broken += bool((uppers < chance).any())
    # Every row above stands for the same region at another time, so none of them shares alpha.
    assert broken <= 0.05 * RUNS
    assert anytime_upper(np.array([0.0]), np.zeros((1, len(GAINS))), 0.05)[0] == pytest.approx(1.0, abs=1e-4)
    assert anytime_upper(np.array([3000.0]), np.zeros((1, len(GAINS))), 0.05)[0] < 0.003


@given(st.integers(1, 300), st.data())
def test_the_exact_bound_is_clopper_and_pearson(total: int, data: st.DataObject):
    wrong = data.draw(st.integers(0, total - 1))
    upper = exact_upper(wrong, total)
    assert binom.cdf(wrong, total, upper) == pytest.approx(0.05, rel=1e-6)
    assert exact_upper(wrong + 1, total) >= upper


@pytest.mark.parametrize("per", ["request", "hit"])
def test_calibrated_thresholds_keep_their_budget_on_new_traffic(per: str):
    fresh, bad, _ = world(10_000, 400_000)
    order = np.argsort(fresh)
    ascending, wrong_above = fresh[order], bad[order][::-1].cumsum()[::-1]
    broken, found, runs = 0, 0, 100
    for seed in range(runs):
        scores, wrong, _ = world(seed, 3000)
        policy = calibrate(scores, ~wrong, budget=0.05, per=per)
        if policy.certified is None:
            continue
        found += 1
        place = int(np.searchsorted(ascending, policy.threshold))
        broken += wrong_above[place] / (len(fresh) if per == "request" else len(fresh) - place) > 0.05
    assert found > 0.6 * runs
    # 5 are expected at most; 10 or more would come by chance about once in forty.
    assert broken < 10


def test_calibration_per_request_starts_at_the_closest_score():
    """The first hundred are right and all others wrong: what is served up to there is within any budget per request."""
    scores = np.linspace(1, 0, 2000)
    found = calibrate(scores, np.arange(2000) < 100, budget=0.02)
    assert found.certified is not None
    assert found.wrong <= 40
    assert 100 <= found.hits < 149
    assert calibrate(scores, np.arange(2000) < 100, budget=0.02, per="hit").certified is None


def test_calibration_refuses_rather_than_guesses():
    random = np.random.default_rng(0)
    scores = random.random(2000)
    hopeless = calibrate(scores, random.random(2000) < 0.5, budget=0.02, per="hit")
    assert hopeless.certified is None
    assert hopeless.threshold == math.inf
    assert not hopeless.decide(1.0, 0.0).serve
    assert "no threshold" in hopeless.decide(1.0, 0.0).reason
    assert calibrate([0.9] * 20, [True] * 20).certified is None
    assert calibrate([-math.inf] * 500, [True] * 500).certified is None
    perfect = calibrate(scores, np.ones(2000, dtype=bool), budget=0.02)
    assert perfect.certified == scores.min()
    with pytest.raises(InvalidInputError):
        calibrate([0.1, 0.2], [True])


def test_policies_by_name_and_from_dicts():
    assert isinstance(make_policy("exact"), Exact)
    assert not make_policy("exact").decide(1.0, 0.0).serve
    assert not make_policy("calibrated").decide(1.0, 0.0).serve
    assert isinstance(make_policy("certified"), Certified)
    static = Static(0.9)
    assert make_policy(static) is static
    assert static.decide(0.9, 0.0).serve
    assert not static.decide(0.899, 0.0).serve
    for policy in (Exact(), static, Calibrated(certified=0.8, upper=0.01), Calibrated()):
        assert load_policy(json.loads(json.dumps(policy.to_dict()))) == policy
        assert isinstance(policy, Policy)
    assert isinstance(Certified(), Policy)
    for wrong in (lambda: make_policy("vcache"), lambda: load_policy({}), lambda: Static(1.5)):
        with pytest.raises(InvalidInputError):
            wrong()


@pytest.mark.parametrize(
    "wrong",
    [{"budget": 0}, {"alpha": 1}, {"worst": 0}, {"audit": 0}, {"per": "day"}, {"edges": ()}, {"edges": (0.9, 0.8)}, {"block": 0}],
)
def test_settings_out_of_range_are_errors(wrong: dict):
    with pytest.raises(InvalidInputError):
        CertifiedSettings(**wrong)


def test_curves_of_separable_one_sided_and_constant_entries_are_finite():
    x = np.array(
        [[0, 1, 0.7, 0.8, 0.9, 0.95], [0, 1, 0.9, 0.9, 0.9, 0.9], [0, 1, 0.5, 0.6, 0.7, 0.8], [0, 1, 0.6, 0.7, 0.8, 0.9]]
    )
    y = np.array([[0, 1, 0, 0, 1, 1], [0, 1, 1, 1, 1, 1], [0, 1, 0, 0, 0, 0], [0, 1, 0, 1, 0, 1]], dtype=float)
    slope, middle, error = fit_curves(x, y, np.ones_like(x))
    assert np.isfinite([slope, middle, error]).all()
    assert (abs(middle - 0.5) <= 0.5).all()
    assert 0.8 < middle[0] < 0.9
    chance = serve_chance([0.99] * 4, slope, middle, error, budget=0.02)
    assert (abs(chance - 0.5) <= 0.5).all()
    assert serve_chance([0.2], slope[:1], middle[:1], error[:1], budget=0.02)[0] < 0.05
