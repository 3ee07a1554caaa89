"""SemanticCache: answers that may be given again."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

from ragkit.cache.asking import Asking
from ragkit.cache.desk import Desk
from ragkit.cache.eviction import Limits
from ragkit.cache.giving import Giving
from ragkit.cache.hot import HotSet
from ragkit.cache.learning import Learning
from ragkit.cache.made import Judge
from ragkit.cache.making import Maker
from ragkit.cache.opening import OtherModel, adopted, card_for, loader, stored_card
from ragkit.cache.policies import Policy, make_policy
from ragkit.cache.questions import Encoder
from ragkit.cache.rules import DAY, Rules
from ragkit.cache.sources import DocumentVersions, Sources
from ragkit.cache.trust import Trust
from ragkit.cache.upkeep import Upkeep
from ragkit.cache.vault import Vault
from ragkit.cache.verdict import Verifier
from ragkit.cache.verifying import Timed
from ragkit.embed import TransformerEmbedder
from ragkit.errors import InvalidInputError
from ragkit.seams import Embedder
from ragkit.store.entries import EntryLog


class SemanticCache(Asking, Giving, Upkeep):
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
