"""A reranker as a verifier: near prompts that ask for the same pass, others do not."""

from __future__ import annotations

import pytest

from ragkit.cache import Candidate, Scope, Static, reranked
from ragkit.errors import InvalidInputError
from ragkit.rerank import CompressedReranker, LateInteractionReranker, TokenCompressor
from ragkit.testing.embedders import HashReader

HERE = Scope("acme", "m")
STORED, SAME, MORE = "reset my password", "reset my password please", "reset my password and delete my router and account"


@pytest.fixture(scope="module")
def rerankers():
    reader = HashReader(dim=64)
    compressor = TokenCompressor.untrained(reader, [STORED, SAME, MORE], layers=(1,), vectors=8, bits=64)
    return [CompressedReranker(compressor, reader=reader), LateInteractionReranker(compressor, reader=reader)]


@pytest.mark.parametrize("place", [0, 1])
def test_what_asks_for_more_is_refused_whichever_was_stored(rerankers, place):
    reranker = rerankers[place]
    least = float(reranker.scores(MORE, [STORED])[0]) + 0.01
    verify = reranked(reranker, least=least)
    for prompt, stored, passes in ((STORED, STORED, True), (MORE, STORED, False), (STORED, MORE, False)):
        assert verify(prompt, Candidate(entry="e", prompt=stored, answer="a", similarity=0.9)) is passes


def test_by_the_answer(rerankers):
    good, bad = "to reset my password click here", "dogs bark at night"
    verify = reranked(rerankers[0], least=float(rerankers[0].scores(STORED, [good, bad]).mean()), by="answer")
    assert verify(STORED, Candidate(entry="e", prompt="?", answer=good, similarity=0.9))
    assert not verify(STORED, Candidate(entry="e", prompt=STORED, answer=bad, similarity=0.9))


def test_a_cache_says_who_refused(opened, rerankers):
    cache = opened(policy=Static(0.2), verifier=reranked(rerankers[0], least=0.99))
    cache.put(STORED, "Click on forgot.", scope=HERE)
    assert cache.lookup(STORED, scope=HERE).kind == "hit"
    refused = cache.lookup(SAME, scope=HERE)
    assert refused.answer is None
    assert [one.tier for one in refused.refusals] == ["verifier"]


@pytest.mark.parametrize("wrong", [{"least": float("nan")}, {"least": 0.5, "by": "vector"}])
def test_settings_that_make_no_sense(rerankers, wrong):
    with pytest.raises(InvalidInputError):
        reranked(rerankers[0], **wrong)
