"""What else is done to a cache: taking out, judging, looking in, other models."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from ragkit.cache.entry import Drop, Entry
from ragkit.cache.held import NOWHERE, Held
from ragkit.cache.policies import Certified, Policy, load_policy
from ragkit.cache.questions import question, tenant_digest
from ragkit.cache.reports import CacheStats
from ragkit.cache.rows import row_of
from ragkit.cache.scope import Scope
from ragkit.cache.verdict import Verdict
from ragkit.errors import InvalidInputError
from ragkit.store.entries import LogRow

#: Seconds that ``tend`` waits for another process that is at it.
_PATIENCE = 30.0


class Upkeep(Held):
    """The part of SemanticCache that removes, judges, tells and keeps in shape."""

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
        todo = [one for one in others if question(one.prompt, NOWHERE).alone is None]
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
