"""From a prompt and the entries near it to a verdict: guards, verifier, policy, in that order, and every refusal on record."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from ragkit.cache.candidate import Candidate, score
from ragkit.cache.guards import check
from ragkit.cache.policies.decision import Decider
from ragkit.cache.prompts import exact_only

#: Says whether the stored answer of the second prompt answers the first.
Verifier = Callable[[str, Candidate], bool]


@dataclass(frozen=True, slots=True)
class Refusal:
    """A candidate that was not served: which entry, how near, which tier refused ("guard", "verifier", "policy"), why."""

    entry: str
    similarity: float
    tier: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What the cache says about a request.

    "hit": ``answer`` is served. "near": entries came near and none was served; ``entry`` is the nearest that only the policy
    refused, if there is one. "miss": nothing came near. "bypass": meaning was not compared, for the reason given.
    ``similarity`` is the cosine of ``entry``, 1.0 for an exact repetition; ``score`` what the policy decided by.
    ``judge``: compare a fresh answer with the entry's and hand the result to the policy with ``weight``. Of a hit, ``age`` and
    ``ttl`` are the seconds since its answer was begun and those that it has left (None: for ever), where the caller has a clock.
    """

    kind: Literal["hit", "near", "miss", "bypass"]
    answer: str | None = None
    similarity: float | None = None
    reason: str = ""
    entry: str | None = None
    tier: str = ""
    score: float | None = None
    judge: bool = False
    weight: float = 0.0
    wrong: float | None = None
    refusals: tuple[Refusal, ...] = ()
    age: float | None = None
    ttl: float | None = None


def decide(
    prompt: object,
    *,
    policy: Decider,
    coin: float,
    exact: Candidate | None = None,
    candidates: Sequence[Candidate] = (),
    guards: Collection[str] | None = None,
    verifier: Verifier | None = None,
) -> Verdict:
    """The verdict on a prompt. Pure: entries were found, and ``coin`` in [0, 1) was drawn, by the caller.

    ``exact`` is the stored repetition of this very prompt in this scope, ``candidates`` the nearest entries of the scope in any
    order. Candidates are walked from the nearest: one that a guard or the verifier objects to is passed over, the first that is
    left goes to the policy, which has the last word. A verifier that raises has objected. Nothing is counted: call
    ``policy.record(verdict.score, served=...)`` once for each verdict that is neither a bypass nor an exact hit.
    """
    if exact is not None:
        return Verdict(
            kind="hit", answer=exact.answer, similarity=1.0, reason="exact repetition", entry=exact.entry, tier="exact", wrong=0.0
        )
    alone = exact_only(prompt)
    if alone or not isinstance(prompt, str):
        return Verdict(kind="bypass", reason=f"exact only: {alone}")
    refusals: list[Refusal] = []
    ranked = sorted(candidates, key=lambda one: (-one.similarity, one.entry))
    for candidate in ranked:
        objection = _objection(prompt, candidate, guards, verifier)
        if objection is not None:
            refusals.append(Refusal(candidate.entry, candidate.similarity, *objection))
            continue
        value = score(candidate, ranked) if policy.by_score else candidate.similarity
        said = policy.decide(value, coin)
        if not said.serve:
            refusals.append(Refusal(candidate.entry, candidate.similarity, "policy", said.reason))
        return Verdict(
            kind="hit" if said.serve else "near",
            answer=candidate.answer if said.serve else None,
            similarity=candidate.similarity,
            reason=said.reason,
            entry=candidate.entry,
            tier="semantic",
            score=value,
            judge=said.judge,
            weight=said.weight,
            wrong=said.wrong,
            refusals=tuple(refusals),
        )
    if refusals:
        return Verdict(kind="near", similarity=ranked[0].similarity, reason=refusals[0].reason, refusals=tuple(refusals))
    return Verdict(kind="miss", reason="nothing near is stored in this scope")


def _objection(
    prompt: str, candidate: Candidate, guards: Collection[str] | None, verifier: Verifier | None
) -> tuple[str, str] | None:
    """The tier that objects, and why."""
    found = check(prompt, candidate.prompt, guards=guards, first=True)
    if found:
        return "guard", found[0].reason
    if verifier is not None:
        try:
            same = verifier(prompt, candidate)
        except Exception as error:
            return "verifier", f"verifier failed: {type(error).__name__}: {error}"
        # A verifier that answers with words or scores has not said yes.
        if not isinstance(same, (bool, np.bool_)) or not same:
            return "verifier", "verifier: not the same question"
    return None
