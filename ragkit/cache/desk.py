"""Looking up and judging: where scopes, entries, sources, trust and the policy meet."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import replace
from threading import Lock

from ragkit.cache.behind import Behind
from ragkit.cache.candidate import Candidate
from ragkit.cache.entry import Drop, Entry
from ragkit.cache.filing import Filing
from ragkit.cache.learning import Counted, Learning
from ragkit.cache.policies.decision import Decider
from ragkit.cache.questions import Encoder, Question
from ragkit.cache.rules import Rules
from ragkit.cache.sources import Sources
from ragkit.cache.trust import Trust
from ragkit.cache.vault import Vault
from ragkit.cache.verdict import Verdict, Verifier, decide
from ragkit.errors import InvalidInputError
from ragkit.store.entries import LogRow

_ALWAYS = -math.inf
#: Served entries whose score is remembered, for feedback that comes later.
_REMEMBERED = 10_000


class Desk(Filing):
    """What ``SemanticCache`` does with a question, once it is one. Safe for several threads."""

    def __init__(
        self,
        vault: Vault,
        *,
        encoder: Encoder,
        learning: Learning,
        sources: Sources,
        rules: Rules,
        trust: Trust,
        verifier: Verifier | None,
        later: Verifier | None,
        clock: Callable[[], float],
    ) -> None:
        super().__init__(vault, encoder=encoder, sources=sources, rules=rules, trust=trust, clock=clock)
        self.learning, self._verifier, self._later = learning, verifier, later
        self.behind = Behind()
        self._lock = Lock()
        self._scores: OrderedDict[str, float] = OrderedDict()

    # Looking up

    def look(self, asked: Question, *, principal: str, max_age: float | None) -> Verdict:
        """The verdict on a question, counted. Sets the question's vector where it needs one."""
        return self._counted(asked, self.decide(asked, Counted(self.learning), principal=principal, max_age=max_age))

    def recall(self, asked: Question, *, principal: str, max_age: float | None) -> Verdict | None:
        """``look`` where what is in memory tells; None, uncounted, where something would have to be read, embedded or waited for."""
        known, found = self.vault.glance(asked.key, principal, oldest=self._oldest(max_age))
        if not known or (found is not None and found.documents):
            return None
        verdict = self._unmeant(asked, found)
        return None if verdict is None else self._counted(asked, verdict)

    def _counted(self, asked: Question, verdict: Verdict) -> Verdict:
        self.tally.saw(verdict.kind)
        if verdict.kind == "hit":
            self._served(verdict)
        elif self._later is not None and verdict.refusals and verdict.refusals[-1].tier == "policy":
            self._verify_later(asked, verdict, self._later)
        self.vault.count()
        return verdict

    def decide(self, asked: Question, policy: Decider, *, principal: str, max_age: float | None) -> Verdict:
        """The verdict on a question by ``policy``, which does the counting if it is ``Counted``."""
        plain = self._unmeant(asked, self.repetition(asked, principal=principal, max_age=max_age))
        if plain is not None:
            return plain
        self.encoder.encode(asked)
        if asked.vector is None:
            return Verdict(kind="bypass", reason=f"exact only: {asked.alone}")
        near = self.vault.near(
            asked.scope,
            asked.vector,
            k=self._rules.k,
            floor=min(self._rules.floor, self.learning.policy.threshold),
            principal=principal,
            oldest=self._oldest(max_age),
        )
        standing = self._standing([entry for _, entry in near])
        near = [(cosine, entry) for cosine, entry in near if entry in standing]
        verdict = decide(
            asked.prompt,
            policy=policy,
            coin=self._coin.random(),
            candidates=[_candidate(entry, cosine) for cosine, entry in near],
            guards=self._rules.guards,
            verifier=self._verifier,
        )
        if isinstance(policy, Counted) and not policy.asked:
            self.learning.record(None, served=False)
        if verdict.kind != "hit":
            return verdict
        # A verifier may have taken its time.
        self.vault.sync()
        entry = next(one for one in standing if one.id == verdict.entry)
        if entry.alive and self._standing([entry]):
            return self._aged(verdict, entry)
        return replace(verdict, kind="near", answer=None, entry=None, judge=False, reason="removed while it was looked at")

    def _unmeant(self, asked: Question, found: Entry | None) -> Verdict | None:
        """The verdict on a question whose repetition was looked for, where no meaning is compared; None where it has to be."""
        policy = self.learning.policy
        if found is not None:
            return self._aged(decide(asked.prompt, policy=policy, coin=0.0, exact=_candidate(found, 1.0)), found)
        if policy.name == "exact":
            return Verdict(kind="bypass", reason="exact: only exact repetitions are served")
        return None if asked.alone is None else Verdict(kind="bypass", reason=f"exact only: {asked.alone}")

    def repetition(self, asked: Question, *, principal: str, max_age: float | None) -> Entry | None:
        """The stored entry of this very prompt that may be served."""
        self.vault.sync()
        entry = self.vault.exact(asked.key, principal, oldest=self._oldest(max_age))
        return entry if entry is not None and self._standing([entry]) else None

    def _oldest(self, max_age: float | None) -> float:
        return _ALWAYS if max_age is None else self.clock() - max_age

    def _standing(self, entries: list[Entry]) -> list[Entry]:
        """Those whose documents are still what they were; the others are removed for all."""
        gone = self._sources.stale(entries)
        if gone:
            self.vault.drop(Drop(at=self.vault.now(), entries=frozenset(gone)))
            self.tally.removed(len(gone))
        return [entry for entry in entries if entry.id not in gone]

    def _aged(self, verdict: Verdict, entry: Entry) -> Verdict:
        now = self.clock()
        return replace(verdict, age=now - entry.created, ttl=None if math.isinf(entry.expires) else entry.expires - now)

    def _served(self, verdict: Verdict) -> None:
        name = str(verdict.entry)
        entry = self.vault.hot.entries.get(name)
        if entry is not None:
            entry.hits += 1
            entry.used = self.clock()
        if verdict.score is not None:
            with self._lock:
                self._scores[name] = verdict.score
                self._scores.move_to_end(name)
                if len(self._scores) > _REMEMBERED:
                    self._scores.popitem(last=False)

    # Judging

    def judged(self, verdict: Verdict, *, same: bool) -> None:
        """Tell the policy, and the entry's record, whether a fresh answer said the same."""
        if verdict.score is None or verdict.entry is None:
            raise InvalidInputError(f"The verdict {verdict.kind!r} asks for no judgement; look at verdict.judge.")
        self.learning.learn(verdict.score, wrong=not same, weight=verdict.weight, served=verdict.kind == "hit")
        if not same:
            self.note(verdict.entry, wait=False, wrong=1)

    def wrong(self, entry: str, score: float | None) -> None:
        """Remove an entry that was found wrong, and tell the policy, by the score it was served with last."""
        with self._lock:
            known = self._scores.pop(entry, None)
        score = known if score is None else score
        if score is not None:
            self.learning.learn(score, wrong=True, weight=1.0, served=True)
        self.vault.drop(Drop(at=self.vault.now(), entries=frozenset([entry])))

    def note(self, entry: str, *, wait: bool = True, **detail: object) -> None:
        """Write something about an entry: ``wrong``, ``confirmed`` or ``group``."""
        self.vault.write([LogRow(kind="note", at=self.vault.now(), entry=entry, detail=detail)], wait=wait)

    def get(self, entry: str) -> Entry | None:
        """The living entry with that id."""
        self.vault.sync()
        return self.vault.read(lambda hot: hot.entries.get(entry))

    def _verify_later(self, asked: Question, verdict: Verdict, verifier: Verifier) -> None:
        stored = self.get(str(verdict.entry))
        if stored is None or verdict.similarity is None:
            return
        candidate = _candidate(stored, verdict.similarity)

        def ask() -> None:
            if verifier(asked.text, candidate) and stored.alive:
                self.repeat(stored, asked)

        self.behind.do(ask)


def _candidate(entry: Entry, cosine: float) -> Candidate:
    return Candidate(
        entry=entry.id, prompt=entry.prompt, answer=entry.answer, similarity=cosine, group=entry.group, wrong=entry.wrong
    )
