"""Storing an answer: what may be stored, for whom, and for how long."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from ragkit.cache.admission import refuse_storing
from ragkit.cache.entry import Entry
from ragkit.cache.guards import asks_about_now, prepare
from ragkit.cache.hot import HotSet
from ragkit.cache.made import Made
from ragkit.cache.prompts import LONGEST
from ragkit.cache.questions import Encoder, Question
from ragkit.cache.reports import Stored, Tally
from ragkit.cache.rows import row_of
from ragkit.cache.rules import Rules
from ragkit.cache.shelf import LATE
from ragkit.cache.sources import Sources
from ragkit.cache.trust import Trust
from ragkit.cache.vault import Vault
from ragkit.errors import InvalidInputError
from ragkit.types import digest


class Filing:
    """What ``SemanticCache`` does with an answer. Safe for several threads."""

    def __init__(
        self,
        vault: Vault,
        *,
        encoder: Encoder,
        sources: Sources,
        rules: Rules,
        trust: Trust,
        clock: Callable[[], float],
    ) -> None:
        self.vault, self.encoder, self.clock = vault, encoder, clock
        self._sources, self._rules, self._trust = sources, rules, trust
        self.tally = Tally()
        self._coin = random.Random()

    def store(self, asked: Question, made: Made, *, principal: str, begun: int | None = None, wait: bool = True) -> Stored:
        """Store what was made for a question, or say why not. ``begun`` is in microseconds since 1970, None for now."""
        at = self.vault.now()
        if begun is not None:
            at = min(at, begun)
        reason = self.refuse(asked, made)
        if not reason and self.clock() - at / 1e6 > LATE:
            reason = f"late: begun more than {LATE:g} s ago"
        documents: tuple[tuple[str, str], ...] = ()
        if not reason:
            documents, reason = self._sources.named(made.sources)
        confirmed = False
        if not reason:
            self.encoder.encode(asked)
            reason, confirmed = self._admit(asked, made.text, principal)
        self.tally.put(reason or "")
        if reason:
            return Stored(reason=reason)
        fresh = not asked.opaque and len(asked.text) <= LONGEST and asks_about_now(asked.text) is not None
        life = self._rules.lifetime(made.ttl, fresh=fresh, coin=self._coin.random())
        entry = self._entry(
            asked,
            made.text,
            at=at,
            expires=math.inf if life is None else at / 1e6 + life,
            writer=principal,
            confirmed=confirmed,
            tags=tuple(sorted(set(made.tags))),
            documents=documents,
            cost=1.0 if made.cost is None else float(made.cost),
        )
        self.vault.write([row_of(entry, asked.vector)], wait=wait)
        if asked.vector is not None:
            prepare(asked.text)
        return Stored(entry=entry.id)

    def _entry(self, asked: Question, answer: str, *, at: int, expires: float, writer: str, **more: Any) -> Entry:
        vector = asked.vector
        return Entry(
            id=digest(asked.key, writer, str(at)),
            rows=[],
            at=at,
            scope=asked.scope,
            tenant=asked.tenant,
            key=asked.key,
            prompt=asked.text,
            answer=answer,
            model=self.vault.hot.model if vector is not None else "",
            dim=len(vector) if vector is not None else 0,
            expires=expires,
            opaque=asked.opaque,
            writer=writer,
            **more,
        )

    def pinned(self, given: Made) -> Made:
        """What is known of an answer before it is made, with its sources as they are now."""
        return replace(given, sources=self._sources.pinned(given.sources))

    def repeat(self, entry: Entry, asked: Question) -> None:
        """Store the answer of ``entry`` for another prompt too: begun when it was, with its sources and the rest of its life."""
        self.encoder.encode(asked)
        twin = self._entry(
            asked,
            entry.answer,
            at=entry.at,
            expires=entry.expires,
            writer=entry.writer,
            confirmed=entry.confirmed,
            tags=entry.tags,
            documents=entry.documents,
            group=entry.group,
            cost=entry.cost,
        )
        self.vault.write([row_of(twin, asked.vector)])

    def refuse(self, asked: Question, made: Made) -> str | None:
        """Why an answer must not be stored, nor shared with those who wait for it."""
        if not isinstance(made.text, str):
            raise InvalidInputError(f"The answer is a {type(made.text).__name__}; it is text, or an Outcome or Made with one.")
        outcome = made.admitted
        if outcome.temperature is None and asked.temperature is not None:
            outcome = replace(outcome, temperature=asked.temperature)
        return refuse_storing(outcome, max_temperature=self._rules.max_temperature)

    def overtaken(self, asked: Question, begun: int) -> bool:
        """Whether what was removed since ``begun`` (microseconds since 1970) takes an answer to this question with it."""
        probe = self._entry(asked, "", at=begun, expires=math.inf, writer="")
        self.vault.sync()
        return self.vault.read(lambda hot: hot.gone(probe))

    def _admit(self, asked: Question, answer: str, principal: str) -> tuple[str | None, bool]:
        """Why a writer may not store this, and whether enough others have confirmed it."""
        if not principal:
            return None, False
        self.vault.sync()

        def look(hot: HotSet) -> tuple[str | None, bool]:
            reason = self._trust.objection(hot.written_by(principal), hot.view(asked.scope), asked.vector)
            return reason, self._trust.confirmed(answer, principal, hot.holders(asked.key))

        return self.vault.read(look)
