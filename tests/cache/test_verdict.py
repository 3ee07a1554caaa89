"""From candidates to verdicts: order of the tiers, reasons, and failing closed."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragkit.cache import Candidate, Certified, Exact, Static, decide, score

PROMPT = "How do I reset my password?"


def near(entry: str, prompt: str, similarity: float, **more) -> Candidate:
    return Candidate(entry=entry, prompt=prompt, answer="answer " + entry, similarity=similarity, **more)


SAME = near("same", "How can I reset my password?", 0.95, group="g")
OTHER = near("other", "How do I reset my router 5500?", 0.97, group="h")


def test_an_exact_repetition_needs_neither_guards_nor_policy():
    verdict = decide("yes", policy=Exact(), coin=0.5, exact=near("e", "yes", 1.0))
    assert (verdict.kind, verdict.answer, verdict.tier, verdict.similarity) == ("hit", "answer e", "exact", 1.0)


@pytest.mark.parametrize("prompt", ["yes", "", "why is that?", None, ["image"]])
def test_prompts_that_mean_nothing_alone_bypass(prompt: object):
    verdict = decide(prompt, policy=Static(-1.0), coin=0.5, candidates=[SAME])
    assert (verdict.kind, verdict.answer) == ("bypass", None)
    assert "exact only" in verdict.reason


def test_a_guarded_candidate_is_passed_over_for_the_next():
    verdict = decide(PROMPT, policy=Static(0.8), coin=0.5, candidates=[SAME, OTHER])
    assert (verdict.kind, verdict.entry, verdict.answer) == ("hit", "same", "answer same")
    assert [(one.entry, one.tier) for one in verdict.refusals] == [("other", "guard")]
    assert "5500" in verdict.refusals[0].reason


def test_near_says_who_was_refused_and_why():
    verdict = decide(PROMPT, policy=Exact(), coin=0.5, candidates=[SAME])
    assert (verdict.kind, verdict.answer, verdict.entry) == ("near", None, "same")
    assert verdict.refusals[0].tier == "policy"
    only_guarded = decide(PROMPT, policy=Static(0.8), coin=0.5, candidates=[OTHER])
    assert (only_guarded.kind, only_guarded.entry, only_guarded.similarity) == ("near", None, 0.97)
    assert decide(PROMPT, policy=Static(0.8), coin=0.5).kind == "miss"


def test_the_verifier_fails_closed():
    def broken(prompt: str, candidate: Candidate) -> bool:
        raise TimeoutError("no answer")

    for verifier in (broken, lambda *_: False, lambda *_: "no", lambda *_: None, lambda *_: 0.9):
        verdict = decide(PROMPT, policy=Static(0.8), coin=0.5, candidates=[SAME], verifier=verifier)
        assert (verdict.kind, verdict.answer) == ("near", None)
        assert verdict.refusals[0].tier == "verifier"
    for verifier in (lambda *_: True, lambda *_: np.True_):
        assert decide(PROMPT, policy=Static(0.8), coin=0.5, candidates=[SAME], verifier=verifier).kind == "hit"


def test_a_shadowed_policy_asks_for_a_judgement():
    verdict = decide(PROMPT, policy=Certified(), coin=0.5, candidates=[SAME])
    assert (verdict.kind, verdict.judge, verdict.weight) == ("near", True, 1.0)


@given(st.lists(st.floats(-1, 1), min_size=1, max_size=6), st.randoms(), st.floats(0, 0.999))
def test_the_order_of_candidates_does_not_matter_and_nothing_below_the_threshold_is_served(sims, random, coin):
    candidates = [near(str(place), "How can I reset my password?", value) for place, value in enumerate(sims)]
    shuffled = candidates.copy()
    random.shuffle(shuffled)
    first = decide(PROMPT, policy=Static(0.5), coin=coin, candidates=candidates)
    assert first == decide(PROMPT, policy=Static(0.5), coin=coin, candidates=shuffled)
    assert (first.kind == "hit") == (first.score >= 0.5)
    assert (first.answer is None) == (first.kind != "hit")


def test_an_agreeing_runner_up_raises_the_score_and_a_bad_record_lowers_it():
    best = near("a", "x", 0.9, group="g")
    assert score(best) == 0.9
    assert score(best, [best, near("b", "y", 0.88, group="g")]) > 0.9
    assert score(best, [best, near("b", "y", 0.88, group="h")]) < 0.9
    assert score(best, [near("b", "y", 0.5, group="h")]) == 0.9
    assert score(near("a", "x", 0.9, wrong=1)) < 0.9
    assert score(near("a", "x", 0.9), [near("b", "y", 0.9)]) < 0.9
