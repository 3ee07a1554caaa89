"""Asking a cache: what it says of a prompt, without anything being made."""

from __future__ import annotations

import asyncio

from ragkit.cache.held import Held
from ragkit.cache.questions import question_in
from ragkit.cache.scope import Scope
from ragkit.cache.verdict import Verdict
from ragkit.errors import InvalidInputError


class Asking(Held):
    """The part of SemanticCache that looks up."""

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
        elif (known := self._desk.get(like)) is not None:
            asked = question_in(prompt, known.scope, known.tenant)
        else:
            raise InvalidInputError(f"There is no entry {like!r} in {self.path} (any more); export lists those there are.")
        return self._desk.decide(asked, self.policy, principal=principal, max_age=max_age)

    def overtaken(self, prompt: object, *, scope: Scope | None = None, begun: float) -> bool:
        """Whether an answer begun at ``begun`` (seconds since 1970) has been invalidated since, in any process, stored or not.

        For servers that give an answer on its way to several who ask for it.
        """
        return self._desk.overtaken(self._question(prompt, scope), int(begun * 1e6))

    def key(self, prompt: object, *, scope: Scope | None = None) -> str:
        """The same for exact repetitions in one scope, and another for anything else."""
        return self._question(prompt, scope).key
