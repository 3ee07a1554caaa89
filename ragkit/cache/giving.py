"""Giving answers to a cache, or letting it have them made."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

from ragkit.cache.admission import Outcome
from ragkit.cache.held import Held
from ragkit.cache.made import Made
from ragkit.cache.making import AsyncMake, Make, Request
from ragkit.cache.recorder import Recorder
from ragkit.cache.reports import Stored
from ragkit.cache.scope import Scope
from ragkit.cache.sources import Source
from ragkit.cache.verdict import Verdict


class Giving(Held):
    """The part of SemanticCache that stores."""

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
