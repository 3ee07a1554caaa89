"""SemanticCache: answers that may be given again."""

from __future__ import annotations

import random
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Lock
from types import TracebackType
from typing import Any, Literal, Self

import numpy as np

from ragkit.cache.admission import Outcome, refuse_storing
from ragkit.cache.candidate import Candidate
from ragkit.cache.entry import Drop, Entry
from ragkit.cache.eviction import Limits
from ragkit.cache.flights import Flights
from ragkit.cache.guards import asks_about_now
from ragkit.cache.hot import HotSet
from ragkit.cache.learning import Counted, Learning
from ragkit.cache.making import Judge, Made, Maker
from ragkit.cache.policies import Policy, load_policy, make_policy
from ragkit.cache.policies.decision import Decider
from ragkit.cache.questions import Encoder, Question, question
from ragkit.cache.recorder import Recorder
from ragkit.cache.scope import Scope, required
from ragkit.cache.sources import DocumentVersions, Source, Sources
from ragkit.cache.trust import Trust
from ragkit.cache.vault import LATE, Vault
from ragkit.cache.verdict import Verdict, Verifier, decide
from ragkit.cache.verifying import Timed
from ragkit.embed import TransformerEmbedder, card_differences, load_embedder
from ragkit.errors import InvalidInputError, StoreMismatchError
from ragkit.seams import Embedder
from ragkit.store.entries import EntryLog, LogRow
from ragkit.types import ModelCard, digest

DAY = 86_400.0
_NOWHERE = Scope("-", "-")
#: Served entries whose score is remembered, for feedback that comes later.
_REMEMBERED = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """What became of a ``put``: the id of the new entry, or None and the reason why nothing was stored. True when stored."""

    entry: str | None = None
    reason: str = ""

    def __bool__(self) -> bool:
        return self.entry is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheStats:
    """Counts of this process since opening (look-ups and what came of them), and of the store as it is now.

    ``refused`` counts why answers were not stored, ``dropped`` why entries were removed at a look-up. ``trouble`` is the last
    failure of the store that a call was spared, "" for none.
    """

    path: str
    entries: int
    bytes: int
    model: str
    policy: dict[str, Any]
    threshold: float
    verdicts: dict[str, int]
    stored: int
    refused: dict[str, int]
    stale: int
    evicted: int
    audits_skipped: int
    trouble: str


class SemanticCache:
    """Answers by prompt, in the LanceDB database at ``path``: the same prompt, or one that a policy allows, gets the same answer.

    ``policy`` is "certified" (serves by meaning only what its own judgements bound; at first nothing), "exact", "static",
    "calibrated" (the one last given to ``adopt``), or a policy object. ``embedder`` compares prompts; without one the stored model
    is loaded, for a new cache ``TransformerEmbedder()``, for "exact" none. A store of another model is an error;
    ``other_model="exact"`` opens it all the same, and its entries answer exact repetitions only until ``reembed``.

    ``scope`` is required with every prompt unless ``require_scope=False``, and must match exactly (``Scope``). ``verifier`` is asked
    about each candidate that no guard objects to, within ``verifier_timeout`` seconds; ``verify="after"`` asks it behind the answer
    instead, about a candidate that only the policy refused: what it approves is an exact repetition the next time. ``judge`` tells
    whether a fresh answer says what the stored one says; without one a certified policy learns nothing.

    ``index`` (an ``Index``, or any ``DocumentVersions``) is asked whether the documents behind an answer are still those it came
    from, before the answer is given. ``ttl`` in seconds (None: for ever) is shortened at random by up to ``jitter``, and is at most
    ``fresh_ttl`` for prompts that ask about now. ``secret`` keys the digests of scopes, so that the store tells no tenants.

    Entries are all in memory too, up to ``limits``. Safe for several threads, tasks, and processes on one path (start them with
    "spawn"). Close it, or use it in ``with``: judgements are written in small batches.

    Raises StoreMismatchError, StoreFormatError, StoreCorruptError, StoreFullError, StoreError, InvalidInputError.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        embedder: Embedder | None = None,
        policy: str | Policy = "certified",
        verifier: Verifier | None = None,
        verify: Literal["before", "after"] = "before",
        verifier_timeout: float = 2.0,
        judge: Judge | None = None,
        index: DocumentVersions | None = None,
        ttl: float | None = 7 * DAY,
        jitter: float = 0.1,
        fresh_ttl: float = 300.0,
        max_temperature: float = 1.0,
        guards: Collection[str] | None = None,
        k: int = 5,
        floor: float = 0.6,
        limits: Limits | None = None,
        trust: Trust | None = None,
        require_scope: bool = True,
        secret: bytes = b"",
        other_model: Literal["error", "exact"] = "error",
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.path = Path(path)
        _check(ttl=ttl, jitter=jitter, fresh_ttl=fresh_ttl, k=k, floor=floor, verifier_timeout=verifier_timeout)
        if verify not in ("before", "after") or other_model not in ("error", "exact"):
            raise InvalidInputError(
                f"verify is {verify!r} and other_model {other_model!r}; they are 'before' or 'after', and 'error' or 'exact'."
            )
        wanted = make_policy(policy)
        made = embedder
        if made is None and wanted.name != "exact" and not EntryLog.exists(self.path):
            made = TransformerEmbedder()
        log = EntryLog.open(self.path, card=lambda: made.card if made is not None else None)
        rows, _ = log.unread()
        stored = _stored_card(log.card, rows)
        card = self._card(made, stored, other_model)
        self.card = card
        self._encoder = Encoder(_loader(made, card) if card is not None else None, card.dim if card is not None else 1)
        model = card.fingerprint if card is not None else ""
        if isinstance(policy, str):
            wanted = _adopted(rows, wanted.name, model) or wanted
        self._learning = Learning(wanted, model)
        self._vault = Vault(log, HotSet(model, self._encoder.dim), self._learning, limits=limits or Limits(), clock=clock)
        self._vault.load(rows)
        if card is not None and stored is None:
            self._vault.write([self._card_row()])
        self._sources = Sources(index)
        self._trust = trust or Trust()
        timed = Timed(verifier, verifier_timeout) if verifier is not None else None
        self._verifier, self._after = (timed, None) if verify == "before" else (None, timed)
        self._ttl, self._jitter, self._fresh_ttl = ttl, jitter, fresh_ttl
        self._max_temperature, self._guards = max_temperature, guards
        self._k, self._floor, self._secret = k, floor, secret
        self._require_scope, self._clock = require_scope, clock
        self._coin = random.Random()
        self._served: OrderedDict[str, float] = OrderedDict()
        self._counts = Lock()
        self._verdicts = {"hit": 0, "near": 0, "miss": 0, "bypass": 0}
        self._refused: dict[str, int] = {}
        self._stored = self._stale = 0
        self._maker = Maker(self, judge, Flights())

    # Asking

    def lookup(self, prompt: object, *, scope: Scope | None = None, principal: str = "", max_age: float | None = None) -> Verdict:
        """Whether an answer to ``prompt`` may be given again, which, and why or why not.

        ``principal`` names who asks, where writers are not all trusted: it sees its own unconfirmed entries too. Entries older than
        ``max_age`` seconds are passed over. Counts as one request to the policy. Raises InvalidInputError without a scope, StoreError
        when the store cannot be read: what others have removed would not be known.
        """
        return self.look(self.question(prompt, scope), principal=principal, max_age=max_age)

    async def alookup(
        self, prompt: object, *, scope: Scope | None = None, principal: str = "", max_age: float | None = None
    ) -> Verdict:
        """``lookup`` in a worker thread of the running loop."""
        import asyncio

        return await asyncio.to_thread(self.lookup, prompt, scope=scope, principal=principal, max_age=max_age)

    def explain(
        self, prompt: object, *, scope: Scope | None = None, principal: str = "", max_age: float | None = None
    ) -> Verdict:
        """``lookup`` that counts nothing and changes nothing."""
        return self.look(self.question(prompt, scope), principal=principal, max_age=max_age, count=False)

    def question(self, prompt: object, scope: Scope | None) -> Question:
        """The prompt in its scope; for those who look up and put in two steps."""
        return question(prompt, required(scope) if self._require_scope else scope or _NOWHERE, secret=self._secret)

    def look(self, asked: Question, *, principal: str = "", max_age: float | None = None, count: bool = True) -> Verdict:
        """``lookup`` of a question, whose vector it sets where it needs one."""
        verdict = self._decide(asked, principal, max_age, count)
        if not count:
            return verdict
        with self._counts:
            self._verdicts[verdict.kind] += 1
        if verdict.kind == "hit" and verdict.entry is not None:
            self._touch(verdict)
        if self._after is not None and verdict.kind == "near" and verdict.refusals and verdict.refusals[-1].tier == "policy":
            self._maker.verify_later(asked, verdict, self._after)
        self._vault.count()
        return verdict

    def _decide(self, asked: Question, principal: str, max_age: float | None, count: bool) -> Verdict:
        self._vault.sync()
        oldest = -np.inf if max_age is None else self._clock() - max_age
        found = self.repetition(asked, principal=principal, oldest=oldest)
        policy: Decider = Counted(self._learning) if count else self._learning.policy
        if found is not None:
            return decide(asked.prompt, policy=policy, coin=0.0, exact=_candidate(found, 1.0))
        if self._learning.policy.name == "exact":
            return Verdict(kind="bypass", reason="exact: only exact repetitions are served")
        self._encoder.encode(asked)
        if asked.vector is None:
            return Verdict(kind="bypass", reason=f"exact only: {asked.alone}")
        floor = min(self._floor, self._learning.policy.threshold)
        near = self._vault.near(asked.scope, asked.vector, k=self._k, floor=floor, principal=principal, oldest=oldest)
        near = self._standing(near)
        verdict = decide(
            asked.prompt,
            policy=policy,
            coin=self._coin.random(),
            candidates=[_candidate(entry, cosine) for cosine, entry in near],
            guards=self._guards,
            verifier=self._verifier,
        )
        if isinstance(policy, Counted) and not policy.asked:
            self._learning.record(None, served=False)
        if verdict.kind == "hit":
            # A verifier may have taken its time.
            self._vault.sync()
            entry = next(entry for _, entry in near if entry.id == verdict.entry)
            if not entry.alive or not self._standing([(1.0, entry)]):
                return replace(
                    verdict, kind="near", answer=None, entry=None, judge=False, reason="removed while it was looked at"
                )
        return verdict

    def time(self) -> float:
        """Seconds since 1970, by the cache's clock."""
        return self._clock()

    def again(self, asked: Question, *, principal: str, max_age: float | None) -> Entry | None:
        """The entry of this very prompt, looked for once more."""
        self._vault.sync()
        return self.repetition(asked, principal=principal, oldest=-np.inf if max_age is None else self._clock() - max_age)

    def repeat(self, entry: Entry, asked: Question) -> None:
        """Store the answer of ``entry`` for another prompt too, with its sources and the rest of its life."""
        row = put_row(entry)
        at = self._vault.now()
        # Begun when the original was: what removes that one because of its age or a source removes both.
        detail = {**row.detail, "group": entry.group}
        self._encoder.encode(asked)
        vector = asked.vector
        self._vault.write(
            [
                replace(
                    row,
                    row=LogRow(kind="", at=0).row,
                    entry=digest(asked.key, entry.id, str(at)),
                    key=asked.key,
                    prompt=asked.text,
                    model=self._vault.hot.model if vector is not None else "",
                    vector=vector.tobytes() if vector is not None else b"",
                    detail=detail,
                )
            ]
        )

    def repetition(self, asked: Question, *, principal: str = "", oldest: float = -np.inf) -> Entry | None:
        """The stored entry of this very prompt that may be served."""
        entry = self._vault.exact(asked.key, principal, oldest=oldest)
        return entry if entry is not None and self._standing([(1.0, entry)]) else None

    def _standing(self, near: list[tuple[float, Entry]]) -> list[tuple[float, Entry]]:
        """Those whose documents are still what they were; the others are removed."""
        gone = self._sources.stale([entry for _, entry in near])
        if gone:
            self._vault.drop(Drop(at=self._vault.now(), entries=frozenset(gone)))
            with self._counts:
                self._stale += len(gone)
        return [pair for pair in near if pair[1].id not in gone]

    def _touch(self, verdict: Verdict) -> None:
        entry = self._vault.hot.entries.get(str(verdict.entry))
        if entry is not None:
            entry.hits += 1
            entry.used = self._clock()
        if verdict.score is not None:
            with self._counts:
                self._served[str(verdict.entry)] = verdict.score
                self._served.move_to_end(str(verdict.entry))
                if len(self._served) > _REMEMBERED:
                    self._served.popitem(last=False)

    # Storing

    def put(
        self,
        prompt: object,
        answer: str | Outcome,
        *,
        scope: Scope | None = None,
        sources: Iterable[Source] = (),
        tags: Iterable[str] = (),
        ttl: float | None = None,
        cost: float = 1.0,
        principal: str = "",
        begun: float | None = None,
        wait: bool = True,
    ) -> Stored:
        """Store an answer, replacing an earlier one to the same prompt in the same scope.

        ``sources`` are what the answer rests on: hits, chunks, documents, or ids of documents (``Sources.named``). ``principal`` is
        "" for a writer who is trusted; the entries of others serve only themselves (``Trust``). ``begun``, in seconds since 1970, is
        when the making of the answer began: what was invalidated since then is not stored, and age counts from there. ``ttl``
        shortens the cache's own. ``cost`` is what the answer cost, in any one unit, for eviction.

        What must not be stored is not (``refuse_storing`` and ``Trust``), and the result says why. On return the entry survives the
        end of the process; with ``wait=False`` that comes a little later. Raises InvalidInputError, EmbeddingError, StoreFullError,
        StoreError.
        """
        outcome = answer if isinstance(answer, Outcome) else Outcome(text=answer)
        return self.store(
            self.question(prompt, scope),
            Made(outcome=outcome, sources=tuple(sources), tags=tuple(tags), cost=cost, ttl=ttl),
            principal=principal,
            begun=begun,
            wait=wait,
        )

    async def aput(self, prompt: object, answer: str | Outcome, **options: Any) -> Stored:
        """``put`` in a worker thread of the running loop, with the same options."""
        import asyncio

        return await asyncio.to_thread(self.put, prompt, answer, **options)

    def store(
        self,
        asked: Question,
        made: Made,
        *,
        principal: str = "",
        begun: float | None = None,
        wait: bool = True,
    ) -> Stored:
        """``put`` of what was made for a question."""
        reason = self.refuse(asked, made.outcome)
        at, now = self._vault.now(), self._clock()
        if begun is not None:
            at = min(at, int(begun * 1e6))
            if now - begun > LATE:
                reason = reason or f"begun {now - begun:.0f} s ago, which is more than {LATE:g}"
        documents, unsure = self._sources.named(made.sources) if not reason else ((), None)
        reason = reason or unsure
        if not reason:
            self._encoder.encode(asked)
            reason, trusted = self._admit(asked, made.outcome.text, principal)
        if reason:
            with self._counts:
                self._refused[reason.split(":")[0]] = self._refused.get(reason.split(":")[0], 0) + 1
            return Stored(reason=reason)
        until = self._until(asked, made.ttl, at / 1e6)
        entry = digest(asked.key, principal, str(at))
        detail = {
            "tenant": asked.tenant, "expires": until, "writer": principal, "confirmed": bool(principal) and trusted,
            "tags": sorted(set(made.tags)), "documents": documents, "cost": made.cost if made.cost is not None else 1.0, "opaque": asked.opaque,
        }  # fmt: skip
        row = LogRow(
            kind="put",
            at=at,
            entry=entry,
            scope=asked.scope,
            key=asked.key,
            prompt=asked.text,
            answer=made.outcome.text,
            model=self._vault.hot.model if asked.vector is not None else "",
            vector=asked.vector.tobytes() if asked.vector is not None else b"",
            detail={name: value for name, value in detail.items() if value not in ("", None, [], ())},
        )
        self._vault.write([row], wait=wait)
        with self._counts:
            self._stored += 1
        return Stored(entry=entry)

    def refuse(self, asked: Question, outcome: Outcome) -> str | None:
        """Why an outcome must not be stored, nor shared with those who wait for it."""
        if not isinstance(outcome.text, str):
            raise InvalidInputError(f"The answer is a {type(outcome.text).__name__}; it is text, or an Outcome.")
        if outcome.temperature is None and asked.temperature is not None:
            outcome = replace(outcome, temperature=asked.temperature)
        return refuse_storing(outcome, max_temperature=self._max_temperature)

    def _admit(self, asked: Question, answer: str, principal: str) -> tuple[str | None, bool]:
        """Why a writer may not store this, and whether all will see it."""
        if not principal:
            return None, True

        def look(hot: HotSet) -> tuple[str | None, bool]:
            if hot.written_by(principal) >= self._trust.quota:
                return f"quota: the writer has {self._trust.quota} entries already", False
            view = hot.view(asked.scope)
            if asked.vector is not None and self._trust.crowded(view, asked.vector):
                return f"density: {self._trust.crowd} unconfirmed entries lie around this prompt", False
            return None, self._trust.confirmed(answer, principal, hot.holders(asked.key))

        self._vault.sync()
        said: tuple[str | None, bool] = self._vault.read(look)
        return said

    def _until(self, asked: Question, ttl: float | None, created: float) -> float | None:
        given = [value for value in (self._ttl, ttl) if value is not None]
        if not asked.opaque and len(asked.text) <= 4000 and asks_about_now(asked.text):
            given.append(self._fresh_ttl)
        return created + min(given) * (1 - self._jitter * self._coin.random()) if given else None

    def recording(self, prompt: object, *, scope: Scope | None = None, **options: Any) -> Recorder:
        """A recorder of a streamed answer, stored when its end has come and not before; options are those of ``put``."""
        return Recorder(self, self.question(prompt, scope), begun=self._clock(), **options)

    # Making

    def get_or(
        self,
        prompt: object,
        make: Callable[[], str | Outcome | Made],
        *,
        scope: Scope | None = None,
        sources: Iterable[Source] = (),
        tags: Iterable[str] = (),
        ttl: float | None = None,
        cost: float | None = None,
        principal: str = "",
        max_age: float | None = None,
    ) -> str:
        """The stored answer, or the one that ``make()`` gives, which is then stored.

        Of requests for the same prompt in the same scope at the same time, in threads or tasks of this process, one calls ``make``
        and the others wait for it. What ``make`` raises is raised to its caller alone, and the others call their own, as they do for
        answers that must not be stored. ``make`` may return a ``Made`` with sources of its own. ``cost`` defaults to the seconds it
        took. A store that fails is passed by: the answer is made, and ``stats().trouble`` says what happened.
        """
        made = Made(outcome=Outcome(text=""), sources=tuple(sources), tags=tuple(tags), cost=cost, ttl=ttl)
        return self._maker.get(self.question(prompt, scope), make, made, principal, max_age)

    async def aget_or(
        self,
        prompt: object,
        make: Callable[[], Awaitable[str | Outcome | Made] | str | Outcome | Made],
        *,
        scope: Scope | None = None,
        sources: Iterable[Source] = (),
        tags: Iterable[str] = (),
        ttl: float | None = None,
        cost: float | None = None,
        principal: str = "",
        max_age: float | None = None,
    ) -> str:
        """``get_or`` on an event loop: embedding and the store work in threads, ``make`` is awaited where it can be.

        A caller that is cancelled cancels nobody else: where it was the one that made the answer, another takes over.
        """
        made = Made(outcome=Outcome(text=""), sources=tuple(sources), tags=tuple(tags), cost=cost, ttl=ttl)
        return await self._maker.aget(self.question(prompt, scope), make, made, principal, max_age)

    # Removing and judging

    def invalidate(
        self,
        *,
        entry: str | None = None,
        tag: str | None = None,
        document: str | None = None,
        scope: Scope | None = None,
        tenant: str | None = None,
        older_than: float | None = None,
        everything: bool = False,
    ) -> int:
        """Remove the entries that any of these names, in all processes, and answers to them that are on their way.

        ``older_than`` is in seconds. Returns how many entries were known here and are gone. Raises InvalidInputError for nothing named.
        """
        at = self._vault.now()
        names = {"entries": entry, "tags": tag, "documents": document}
        sets = {name: frozenset([value]) for name, value in names.items() if value is not None}
        drop = Drop(
            at=at,
            **sets,
            scope=scope.keyed(self._secret) if scope is not None else "",
            tenant=Scope(tenant, "-").keyed(self._secret) if tenant is not None else "",
            before=int((self._clock() - older_than) * 1e6) if older_than is not None else 0,
            everything=everything,
        )
        if not drop.to_dict():
            raise InvalidInputError(
                "invalidate() was given nothing; name an entry, tag, document, scope, tenant, age, or everything=True."
            )
        self._vault.sync()
        return self._vault.drop(drop)

    def feedback(self, entry: str | Verdict, *, wrong: bool) -> None:
        """Somebody found an answer wrong, or right.

        Wrong: the entry is removed, and the policy is told that a hit with the score it was last served with was wrong. A score is
        known where the verdict is given, or where this process served the entry. Right: the entry of a writer that is not trusted
        serves everybody from now on; the policy is told nothing, because praise is no random sample.
        """
        name = entry.entry if isinstance(entry, Verdict) else entry
        if not name:
            raise InvalidInputError("The verdict names no entry; give feedback on what was served.")
        if not wrong:
            self._vault.write([LogRow(kind="note", at=self._vault.now(), entry=name, detail={"confirmed": True})])
            return
        with self._counts:
            score = entry.score if isinstance(entry, Verdict) else self._served.pop(name, None)
        if score is not None:
            self._learning.learn(score, wrong=True, weight=1.0, served=True)
        self._vault.drop(Drop(at=self._vault.now(), entries=frozenset([name])))

    def judged(self, verdict: Verdict, *, same: bool) -> None:
        """Hand in the judgement that a verdict with ``judge`` asked for: does the fresh answer say what the stored one says?

        ``get_or`` does this where the cache has a judge.
        """
        if verdict.score is None or verdict.entry is None:
            raise InvalidInputError(f"The verdict {verdict.kind!r} asks for no judgement; look at verdict.judge.")
        self._learning.learn(verdict.score, wrong=not same, weight=verdict.weight, served=verdict.kind == "hit")
        if not same:
            self._vault.write([LogRow(kind="note", at=self._vault.now(), entry=verdict.entry, detail={"wrong": 1})], wait=False)

    def join(self, entry: str, group: str) -> None:
        """Note that an entry's answer was judged the same as that of the entries of ``group``."""
        self._vault.write([LogRow(kind="note", at=self._vault.now(), entry=entry, detail={"group": group})], wait=False)

    # The store

    @property
    def policy(self) -> Policy:
        """The policy as it is now."""
        return self._learning.policy

    def adopt(self, policy: Policy) -> None:
        """Keep a policy in the store, for whoever opens the cache with ``policy="..."`` by its name and the same model.

        For one that ``calibrate`` found. This cache goes on with the policy that it was opened with.
        """
        load_policy(policy.to_dict())
        detail = {"policy": policy.to_dict(), "model": self._vault.hot.model}
        self._vault.write([LogRow(kind="adopted", at=self._vault.now(), detail=detail)])

    def entries(self) -> Iterator[Entry]:
        """All living entries, those that have expired left out."""
        self._vault.sync()
        now = self._clock()
        return (entry for entry in self._vault.read(list) if entry.expires > now)

    def get(self, entry: str) -> Entry | None:
        """The living entry with that id."""
        self._vault.sync()
        found: Entry | None = self._vault.read(lambda hot: hot.entries.get(entry))
        return found

    def __len__(self) -> int:
        self._vault.sync()
        return len(self._vault.hot)

    def stats(self) -> CacheStats:
        """Counts of this process, and of the store as it is now."""
        self._vault.sync()
        hot, policy = self._vault.hot, self._learning.policy
        with self._counts:
            return CacheStats(
                path=str(self.path),
                entries=len(hot),
                bytes=hot.size,
                model=self.card.name if self.card is not None else "",
                policy=policy.to_dict(),
                threshold=policy.threshold,
                verdicts=dict(self._verdicts),
                stored=self._stored,
                refused=dict(self._refused),
                stale=self._stale,
                evicted=self._vault.evicted,
                audits_skipped=self._maker.skipped,
                trouble=self._vault.trouble or self._maker.trouble,
            )

    def reembed(self, *, batch: int = 256) -> int:
        """Make vectors with this cache's model for the entries of other models, and make it the store's model.

        Returns how many were made. Prompts that are matched exactly only stay so.
        """
        if self.card is None or self._encoder.embedder is None:
            raise InvalidInputError(
                "This cache compares nothing by meaning; open it with an embedder and another policy than 'exact'."
            )
        self._vault.sync()
        model, done = self._vault.hot.model, 0
        todo = [
            one
            for one in self._vault.read(list)
            if one.model != model and not one.opaque and not self.question(one.prompt, _NOWHERE).alone
        ]
        for start in range(0, len(todo), batch):
            part = todo[start : start + batch]
            vectors = self._encoder.embedder.embed_queries([one.prompt for one in part])
            self._vault.write(
                [
                    replace(put_row(one), model=model, vector=self._encoder.checked(vector).tobytes())
                    for one, vector in zip(part, np.asarray(vectors, np.float32), strict=True)
                ]
            )
            done += len(part)
        self._vault.write([self._card_row()])
        return done

    def flush(self) -> None:
        """Wait for audits, judgements and puts on their way, until all of them are on disk."""
        self._maker.flush()
        self._vault.flush()

    def tend(self) -> None:
        """Evict, delete dead rows and merge files now; writes start this by themselves."""
        self._vault.tend()

    def close(self) -> None:
        """Write what waits and let go of the store; later calls raise StoreError."""
        self._maker.close()
        self._vault.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"SemanticCache({str(self.path)!r}, policy={self._learning.policy.name!r})"

    def _card_row(self) -> LogRow:
        assert self.card is not None
        return LogRow(kind="card", at=self._vault.now(), detail=self.card.to_dict())

    def _card(self, made: Embedder | None, stored: ModelCard | None, other: str) -> ModelCard | None:
        """The card to work with: the embedder's, else the stored one."""
        if made is None:
            return stored
        card = made.card
        if stored is None or stored.fingerprint == card.fingerprint or other == "exact":
            return card
        raise StoreMismatchError(
            f"The cache {self.path} holds prompts embedded by {stored.name!r} (dim {stored.dim}), and the embedder is {card.name!r} "
            f"(dim {card.dim}); their vectors cannot be compared. {'; '.join(card_differences(stored, card))}. Open it with the stored model "
            "(leave embedder out), or with other_model='exact' and then reembed()."
        )


def put_row(entry: Entry) -> LogRow:
    """The row that tells of ``entry`` once more, without a vector."""
    detail = {
        "tenant": entry.tenant, "expires": None if entry.expires == np.inf else entry.expires, "writer": entry.writer,
        "confirmed": entry.confirmed, "tags": list(entry.tags), "documents": entry.documents, "group": entry.group, "cost": entry.cost,
    }  # fmt: skip
    return LogRow(
        kind="put",
        at=entry.at,
        entry=entry.id,
        scope=entry.scope,
        key=entry.key,
        prompt=entry.prompt,
        answer=entry.answer,
        detail={name: value for name, value in detail.items() if value not in ("", None, [], ())},
    )


def _candidate(entry: Entry, cosine: float) -> Candidate:
    return Candidate(
        entry=entry.id, prompt=entry.prompt, answer=entry.answer, similarity=cosine, group=entry.group, wrong=entry.wrong
    )


def _stored_card(header: ModelCard | None, rows: Iterable[LogRow]) -> ModelCard | None:
    newest = max((row for row in rows if row.kind == "card"), key=lambda row: (row.at, row.row), default=None)
    return header if newest is None else ModelCard.from_dict(newest.detail)


def _adopted(rows: Iterable[LogRow], name: str, model: str) -> Policy | None:
    mine = [
        row for row in rows if row.kind == "adopted" and row.detail["policy"]["policy"] == name and row.detail["model"] == model
    ]
    return load_policy(max(mine, key=lambda row: (row.at, row.row)).detail["policy"]) if mine else None


def _loader(given: Embedder | None, card: ModelCard) -> Callable[[], Embedder]:
    def load() -> Embedder:
        if given is not None:
            return given
        found = load_embedder(card)
        if found.card.fingerprint != card.fingerprint:
            raise StoreMismatchError(
                f"The model {card.name!r} on this machine is not the one that embedded the cache. {'; '.join(card_differences(card, found.card))}."
            )
        return found

    return load


def _check(**given: float | None) -> None:
    for name in ("ttl", "fresh_ttl", "verifier_timeout"):
        value = given[name]
        if value is not None and not value > 0:
            raise InvalidInputError(f"{name} is {value!r}; it is in seconds, more than 0.")
    if not 0 <= float(given["jitter"] or 0) < 1:
        raise InvalidInputError(f"jitter is {given['jitter']!r}; it is a share of the ttl, in [0, 1).")
    if not isinstance(given["k"], int) or given["k"] < 1:
        raise InvalidInputError(f"k is {given['k']!r}; it must be a whole number, at least 1.")
    if not -1 <= float(given["floor"] or 0) <= 1:
        raise InvalidInputError(f"floor is {given['floor']!r}; it is a cosine in [-1, 1].")
