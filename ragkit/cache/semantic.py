"""SemanticCache: answers that may be given again."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

import numpy as np

from ragkit.cache.admission import Outcome
from ragkit.cache.desk import Desk
from ragkit.cache.entry import Drop, Entry
from ragkit.cache.eviction import Limits
from ragkit.cache.hot import HotSet
from ragkit.cache.learning import Learning
from ragkit.cache.made import Judge, Made
from ragkit.cache.making import AsyncMake, Make, Maker, Request
from ragkit.cache.opening import OtherModel, adopted, card_for, loader, stored_card
from ragkit.cache.policies import Certified, Policy, load_policy, make_policy
from ragkit.cache.questions import Encoder, Question, question, question_in, tenant_digest
from ragkit.cache.recorder import Recorder
from ragkit.cache.reports import CacheStats, Stored
from ragkit.cache.rows import row_of
from ragkit.cache.rules import DAY, Rules
from ragkit.cache.scope import Scope, required
from ragkit.cache.sources import DocumentVersions, Source, Sources
from ragkit.cache.trust import Trust
from ragkit.cache.vault import Vault
from ragkit.cache.verdict import Verdict, Verifier
from ragkit.cache.verifying import Timed
from ragkit.embed import TransformerEmbedder
from ragkit.errors import InvalidInputError
from ragkit.seams import Embedder
from ragkit.store.entries import EntryLog, LogRow

_NOWHERE = Scope("-", "-")
#: Seconds that ``tend`` waits for another process that is at it.
_PATIENCE = 30.0


class SemanticCache:
    """Answers by prompt, in the LanceDB database at ``path``: the same prompt, or one that a policy allows, gets the same answer.

    ``policy`` is "certified" (serves by meaning only what its own judgements bound; at first nothing), "exact", "static",
    "calibrated" (the one last given to ``adopt``), or a policy object. ``embedder`` compares prompts; without one the stored model
    is loaded, for a new cache ``TransformerEmbedder()``, for "exact" none. A store of another model is an error;
    ``other_model="exact"`` opens it all the same, and its entries answer exact repetitions only until ``reembed``.

    ``scope`` is required with every prompt unless ``require_scope=False``, and must match exactly (``Scope``). ``guards`` names those
    to ask (default: all), ``k`` candidates with a cosine of at least ``floor`` are looked at. ``verifier`` is asked about each one
    that no guard objects to, within ``verifier_timeout`` seconds; ``verify="after"`` asks it behind the answer instead, about a
    candidate that only the policy refused: what it approves is an exact repetition the next time. ``judge`` tells whether a fresh
    answer says what the stored one says; without judgements a certified policy learns nothing.

    ``index`` (an ``Index``, or any ``DocumentVersions``) is asked whether the documents behind an answer are still those it came
    from, before the answer is given. ``ttl`` in seconds (None: for ever) is shortened at random by up to ``jitter`` of it, and is at
    most ``fresh_ttl`` for prompts that ask about now. Answers at a temperature over ``max_temperature`` are not stored. ``secret``
    keys the digests of scopes, so that the store tells no tenants.

    Entries are all in memory too, within ``limits``. Safe for several threads, tasks, and processes on one path (start them with
    "spawn"). Close it, or use it in ``with``: counts and judgements are written in small batches.

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
        other_model: OtherModel = "error",
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.path = Path(path)
        self._require_scope, self._secret = require_scope, secret
        rules = Rules(
            ttl=ttl, jitter=jitter, fresh_ttl=fresh_ttl, max_temperature=max_temperature, guards=guards, k=k, floor=floor
        )
        if verify not in ("before", "after"):
            raise InvalidInputError(f"verify is {verify!r}; it is 'before' or 'after' the answer.")
        chosen = make_policy(policy)
        if embedder is None and chosen.name != "exact" and not EntryLog.exists(self.path):
            embedder = TransformerEmbedder()
        log = EntryLog.open(self.path, card=lambda: embedder.card if embedder is not None else None)
        rows, _ = log.unread()
        stored = stored_card(log.card, rows)
        self.card = card_for(self.path, embedder, stored, other_model)
        if self.card is None:
            encoder, model = Encoder(None, 0), ""
        else:
            given = embedder
            # Repetitions are found without a model: one that nobody gave is not loaded for them.
            load = (None if chosen.name == "exact" else loader(self.card)) if given is None else lambda: given
            encoder = Encoder(load, self.card.dim)
            model = self.card.fingerprint
        learning = Learning((adopted(rows, chosen.name, model) if isinstance(policy, str) else None) or chosen, model)
        self._vault = Vault(log, HotSet(model, encoder.dim), learning, limits=limits or Limits(), clock=clock)
        self._vault.load(rows)
        timed = Timed(verifier, verifier_timeout) if verifier is not None else None
        self._desk = Desk(
            self._vault,
            encoder=encoder,
            learning=learning,
            sources=Sources(index),
            rules=rules,
            trust=trust or Trust(),
            verifier=timed if verify == "before" else None,
            later=timed if verify == "after" else None,
            clock=clock,
        )
        self._maker = Maker(self._desk, judge)
        if self.card is not None and stored is None:
            self._write_card()

    # Asking

    def lookup(
        self,
        prompt: object,
        *,
        scope: Scope | None = None,
        principal: str = "",
        max_age: float | None = None,
        exact_only: bool = False,
    ) -> Verdict:
        """Whether an answer to ``prompt`` may be given again, which, and why or why not.

        ``prompt`` is the last user text, or what JSON can hold (blocks with an image), which is matched exactly only.
        ``principal`` names who asks, where writers are not all trusted: it sees its own unconfirmed entries too. Entries begun more
        than ``max_age`` seconds ago are passed over. Counts as one request for the policy.

        Raises InvalidInputError without a scope, EmbeddingError, and StoreError when the store cannot be read: what others have
        removed would not be known.
        """
        return self._desk.look(self._question(prompt, scope, exact_only), principal=principal, max_age=max_age)

    async def alookup(
        self,
        prompt: object,
        *,
        scope: Scope | None = None,
        principal: str = "",
        max_age: float | None = None,
        exact_only: bool = False,
    ) -> Verdict:
        """``lookup`` in a worker thread of the running loop."""
        return await asyncio.to_thread(
            self.lookup, prompt, scope=scope, principal=principal, max_age=max_age, exact_only=exact_only
        )

    def recall(
        self,
        prompt: object,
        *,
        scope: Scope | None = None,
        principal: str = "",
        max_age: float | None = None,
        exact_only: bool = False,
    ) -> Verdict | None:
        """``lookup`` for an event loop: the verdict where it can be told at once, None, uncounted, where it cannot.

        That is so for exact repetitions, and for prompts of which only those are served, unless others have written to the store
        since the last look-up. Never embeds, and waits for nobody. Raises StoreError.
        """
        return self._desk.recall(self._question(prompt, scope, exact_only), principal=principal, max_age=max_age)

    def explain(
        self,
        prompt: object,
        *,
        scope: Scope | None = None,
        like: str | None = None,
        principal: str = "",
        max_age: float | None = None,
    ) -> Verdict:
        """``lookup`` that is not counted, and of which the policy hears nothing.

        ``like`` names an entry, in place of a scope: the one that it has. Raises InvalidInputError for an entry that is not there.
        """
        if like is None:
            asked = self._question(prompt, scope)
        elif (known := self.get(like)) is not None:
            asked = question_in(prompt, known.scope, known.tenant)
        else:
            raise InvalidInputError(f"There is no entry {like!r} in {self.path} (any more); export lists those there are.")
        return self._desk.decide(asked, self.policy, principal=principal, max_age=max_age)

    # Storing

    def put(
        self,
        prompt: object,
        answer: str | Outcome,
        *,
        scope: Scope | None = None,
        sources: Iterable[Source] = (),
        tags: Iterable[str] = (),
        outcome: Outcome | None = None,
        verdict: Verdict | None = None,
        ttl: float | None = None,
        cost: float | None = None,
        principal: str = "",
        begun: float | None = None,
        exact_only: bool = False,
        wait: bool = True,
    ) -> Stored:
        """Store an answer in place of an earlier one to the same prompt in the same scope.

        ``sources`` are what the answer rests on: hits, chunks, documents, or ids of documents (``Sources.named``). ``outcome`` says how
        the answer ended, where ``answer`` is another form of it; ``verdict`` is that of the look-up before, whose candidate the
        judge then compares with this answer. ``ttl`` shortens the cache's own; ``cost`` is what the answer cost, in any one unit,
        for eviction (default: 1). ``principal`` is "" for a writer who is trusted; the entries of others serve themselves
        (``Trust``). ``begun``, in seconds since 1970, is when the making of the answer began: what was invalidated since then is
        not served, and age counts from there.

        What must not be stored is not (``refuse_storing``, ``Trust``, ``Sources``), and the result says why. On return the entry is
        written; with ``wait=False`` that comes a little later. Raises InvalidInputError, EmbeddingError, StoreFullError, StoreError.
        """
        text = answer.text if isinstance(answer, Outcome) else answer
        ended = outcome or (answer if isinstance(answer, Outcome) else None)
        asked = self._question(prompt, scope, exact_only)
        made = Made(text, outcome=ended, sources=tuple(sources), tags=tuple(tags), cost=cost, ttl=ttl)
        at = None if begun is None else int(begun * 1e6)
        stored = self._desk.store(asked, made, principal=principal, begun=at, wait=wait)
        if stored and verdict is not None:
            self._maker.compare(asked, verdict, text, stored.entry)
        return stored

    async def aput(self, prompt: object, answer: str | Outcome, **options: Any) -> Stored:
        """``put`` in a worker thread of the running loop, with the same options."""
        return await asyncio.to_thread(self.put, prompt, answer, **options)

    def recording(
        self,
        prompt: object,
        *,
        scope: Scope | None = None,
        sources: Iterable[Source] = (),
        tags: Iterable[str] = (),
        ttl: float | None = None,
        cost: float | None = None,
        principal: str = "",
    ) -> Recorder:
        """A recorder of a streamed answer, which is stored when its end has come and not before; ``cost`` defaults to the seconds."""
        given = Made("", sources=tuple(sources), tags=tuple(tags), cost=cost, ttl=ttl)
        return Recorder(self._desk, self._question(prompt, scope), given=given, principal=principal)

    # Making

    def get_or(
        self,
        prompt: object,
        make: Make,
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
        and the others wait for it. What ``make`` raises is raised to its caller alone, and the others call their own, as they do
        for answers that must not be stored. ``make`` returns a text, an ``Outcome``, or a ``Made`` with sources of its own.
        ``cost`` defaults to the seconds it took. Where the verdict asks for a judgement and there is a judge, it judges behind the
        answer; of hits that takes another call of ``make``. A store or an embedder that fails is passed by: the answer is made, and
        ``stats().trouble`` says what happened.
        """
        return self._maker.get(self._request(prompt, scope, sources, tags, ttl, cost, principal, max_age), make)

    async def aget_or(
        self,
        prompt: object,
        make: AsyncMake,
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
        return await self._maker.aget(self._request(prompt, scope, sources, tags, ttl, cost, principal, max_age), make)

    def _request(
        self,
        prompt: object,
        scope: Scope | None,
        sources: Iterable[Source],
        tags: Iterable[str],
        ttl: float | None,
        cost: float | None,
        principal: str,
        max_age: float | None,
    ) -> Request:
        given = Made("", sources=tuple(sources), tags=tuple(tags), cost=cost, ttl=ttl)
        return Request(asked=self._question(prompt, scope), given=given, principal=principal, max_age=max_age)

    def _question(self, prompt: object, scope: Scope | None, exact_only: bool = False) -> Question:
        place = required(scope) if self._require_scope or scope is not None else _NOWHERE
        asked = question(prompt, place, secret=self._secret)
        if exact_only:
            asked.alone = asked.alone or "asked for"
        return asked

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

        ``document`` is an id, ``older_than`` in seconds. Returns how many entries that were. Raises InvalidInputError for nothing
        named, StoreError.
        """
        sets: dict[str, Any] = {"entries": entry, "tags": tag, "documents": document}
        drop = Drop(
            at=self._vault.now(),
            **{name: frozenset([value]) for name, value in sets.items() if value is not None},
            scope=scope.keyed(self._secret) if scope is not None else "",
            tenant=tenant_digest(tenant, self._secret) if tenant is not None else "",
            before=int((self._desk.clock() - older_than) * 1e6) if older_than is not None else 0,
            everything=everything,
        )
        if not drop.to_dict():
            raise InvalidInputError(
                "invalidate() was told nothing; name an entry, tag, document, scope, tenant or age, or say everything=True."
            )
        self._vault.sync()
        return self._vault.drop(drop)

    def overtaken(self, prompt: object, *, scope: Scope | None = None, begun: float) -> bool:
        """Whether an answer begun at ``begun`` (seconds since 1970) has been invalidated since, in any process, stored or not.

        For servers that give an answer on its way to several who ask for it.
        """
        return self._desk.overtaken(self._question(prompt, scope), int(begun * 1e6))

    def key(self, prompt: object, *, scope: Scope | None = None) -> str:
        """The same for exact repetitions in one scope, and another for anything else."""
        return self._question(prompt, scope).key

    def feedback(self, entry: str | Verdict, *, wrong: bool) -> None:
        """Somebody found an answer wrong, or right. ``entry`` is its id, or the verdict that served it.

        Wrong: the entry is removed, and the policy hears that a hit with the score it was served with was wrong; of an id that
        is the score of the last time in this process, and of an exact repetition there is none. Right: the entry of a writer that is
        not trusted serves everybody from now on; the policy hears nothing, because praise is no random sample.
        """
        name = entry.entry if isinstance(entry, Verdict) else entry
        if not name:
            raise InvalidInputError("The verdict names no entry; give feedback on what was served.")
        if wrong:
            self._desk.wrong(name, entry.score if isinstance(entry, Verdict) else None)
        else:
            self._desk.note(name, confirmed=True)

    def judged(self, verdict: Verdict, *, same: bool) -> None:
        """Hand in the judgement that ``verdict.judge`` asked for: does a fresh answer say what the entry's says?

        ``get_or``, and ``put`` with a ``verdict``, do this by themselves where the cache has a judge. Raises InvalidInputError for a
        verdict that the policy had no part in.
        """
        self._desk.judged(verdict, same=same)

    # The store

    @property
    def policy(self) -> Policy:
        """The policy as it is now, with what was learned from all processes."""
        return self._desk.learning.policy

    def adopt(self, policy: Policy) -> None:
        """Keep a policy, for whoever opens the cache with ``policy=`` its name and the same model; ``calibrate`` finds one.

        This cache goes on with the policy that it was opened with. Raises InvalidInputError for one that is not ragkit's.
        """
        load_policy(policy.to_dict())
        if policy is self.policy and isinstance(policy, Certified):
            # What it has learned here is in the log already, and must not count twice.
            policy = Certified(policy.settings)
        detail = {"policy": policy.to_dict(), "model": self._vault.hot.model}
        self._vault.write([LogRow(kind="adopted", at=self._vault.now(), detail=detail)])

    def entries(self) -> Iterator[Entry]:
        """All entries that have not expired, in no order; ``Entry.to_dict`` is ready for JSON."""
        self._vault.sync()
        now = self._desk.clock()
        return (entry for entry in self._vault.read(list) if entry.expires > now)

    def get(self, entry: str) -> Entry | None:
        """The entry with that id, None where there is none any more."""
        return self._desk.get(entry)

    def __len__(self) -> int:
        self._vault.sync()
        return len(self._vault.hot)

    def stats(self) -> CacheStats:
        """Counts of this process, and of the store as it is now."""
        self._vault.sync()
        tally, behind, policy = self._desk.tally, self._desk.behind, self.policy
        return CacheStats(
            path=str(self.path),
            entries=len(self._vault.hot),
            bytes=self._vault.hot.size,
            model=self.card.name if self.card is not None else "",
            policy=policy.to_dict(),
            threshold=policy.threshold,
            verdicts={kind: tally.verdicts[kind] for kind in ("hit", "near", "miss", "bypass")},
            stored=tally.stored,
            refused=dict(tally.refused),
            stale=tally.stale,
            evicted=self._vault.evicted,
            skipped=behind.skipped,
            trouble=self._vault.trouble or behind.trouble,
        )

    def reembed(self, *, batch: int = 256) -> int:
        """Make vectors with this cache's model for the entries of other models, and make it the store's model.

        Returns how many were made; prompts that are matched exactly only have none. Raises InvalidInputError without an embedder.
        """
        embedder = self._desk.encoder.embedder
        if embedder is None:
            raise InvalidInputError("This cache compares nothing by meaning; open it with an embedder and another policy.")
        self._vault.sync()
        model = self._vault.hot.model
        others = [one for one in self._vault.read(list) if one.model != model and not one.opaque]
        todo = [one for one in others if question(one.prompt, _NOWHERE).alone is None]
        for start in range(0, len(todo), batch):
            part = todo[start : start + batch]
            vectors = np.asarray(embedder.embed_queries([one.prompt for one in part]), np.float32)
            checked = [self._desk.encoder.checked(vector) for vector in vectors]
            self._vault.write([replace(row_of(one, vector), model=model) for one, vector in zip(part, checked, strict=True)])
        self._write_card()
        return len(todo)

    def _write_card(self) -> None:
        assert self.card is not None
        self._vault.write([LogRow(kind="card", at=self._vault.now(), detail=self.card.to_dict())])

    def flush(self) -> None:
        """Wait until judgements, audits in threads and puts on their way are done and on disk."""
        self._desk.behind.flush()
        self._vault.flush()

    def tend(self) -> None:
        """Evict, delete dead rows and merge files now; writes see to it by themselves, in a thread."""
        self._vault.tend(wait=_PATIENCE)

    def close(self) -> None:
        """Finish and write what waits, and let go of the store; later calls raise StoreError."""
        self._desk.behind.close()
        self._vault.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"SemanticCache({str(self.path)!r}, policy={self.policy.name!r})"
