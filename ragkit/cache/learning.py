"""A policy that several processes share: its counts and judgements as rows of the log, and its state across restarts."""

from __future__ import annotations

from collections.abc import Iterable
from threading import RLock
from typing import Any

from ragkit.cache.policies import Policy
from ragkit.cache.policies.decision import Decision
from ragkit.store.entries import LogRow
from ragkit.types import canonical_json, digest

#: Counts and judgements that wait at most before they are written.
BATCH = 64

Event = list[Any]


def identity(policy: Policy, model: str) -> str:
    """Names a policy and the model whose scores it learns from; settings that promise something else make another one."""
    return digest(policy.name, canonical_json(policy.to_dict().get("settings")), model)


class Learning:
    """The policy in use, one thread at a time, with what happened to it since the last ``take``.

    The rows of all processes are replayed here as they become known, and a snapshot stands for those that it names, so every
    process learns from all judgements. Between two readings each one may spend what the budget allows it alone.
    """

    def __init__(self, policy: Policy, model: str) -> None:
        self.identity = identity(policy, model)
        self._policy = policy
        self._lock = RLock()
        self._events: list[Event] = []
        #: Rows that this state contains, whoever wrote them: the log may be read again.
        self._known: set[int] = set()
        self._learns = policy.name not in ("exact", "static", "calibrated")
        #: Rows that this state contains and no snapshot does yet, and the newest snapshot: its row and time, what it stands for.
        self._heard: list[int] = []
        self._snapshot: tuple[int, int, list[int]] | None = None

    @property
    def policy(self) -> Policy:
        """The policy as it is now."""
        return self._policy

    def decide(self, score: float, coin: float) -> Decision:
        """The policy's decision, counted in the same breath, so that two threads never spend the same allowance."""
        with self._lock:
            said = self._policy.decide(score, coin)
            self._record(score, said.serve)
            return said

    def record(self, score: float | None, *, served: bool) -> None:
        """Count a request that the policy was not asked about."""
        with self._lock:
            self._record(score, served)

    def _record(self, score: float | None, served: bool) -> None:
        self._policy.record(score, served=served)
        if self._learns:
            self._events.append(["r", score, served])

    def learn(self, score: float, *, wrong: bool, weight: float, served: bool) -> None:
        """Take a judgement."""
        with self._lock:
            self._policy.learn(score, wrong=wrong, weight=weight, served=served)
            if self._learns:
                self._events.append(["l", score, wrong, weight, served])

    @property
    def waiting(self) -> int:
        """Events that no row holds yet."""
        return len(self._events)

    def take(self, at: int) -> tuple[list[LogRow], list[Event]]:
        """A row with what happened since the last call, if anything did, and the events to ``give_back`` if it cannot be written."""
        with self._lock:
            events, self._events = self._events, []
            if not events:
                return [], []
            row = LogRow(kind="policy", at=at, detail={"identity": self.identity, "events": events})
            # In one step with taking them: a snapshot that knows the events must name their row, or they count twice at the next start.
            self._heard.append(row.row)
            self._known.add(row.row)
        return [row], events

    def give_back(self, events: list[Event]) -> None:
        """Keep events whose row could not be written for the next one."""
        with self._lock:
            self._events = [*events, *self._events]

    def apply(self, rows: Iterable[LogRow]) -> None:
        """Take rows of kind "policy" that others wrote."""
        for row in rows:
            if row.detail.get("identity") != self.identity or row.row in self._known:
                continue
            if "state" in row.detail:
                self._see(row)
                continue
            with self._lock:
                self._heard.append(row.row)
                self._known.add(row.row)
                self._replay(row.detail["events"])

    def restore(self, rows: Iterable[LogRow]) -> None:
        """Start from the newest snapshot among all rows of the log, and from the rows it does not stand for."""
        mine = sorted((row for row in rows if row.detail.get("identity") == self.identity), key=lambda row: (row.at, row.row))
        newest = next((row for row in reversed(mine) if "state" in row.detail), None)
        if newest is not None:
            with self._lock:
                self._policy = type(self._policy).from_dict(newest.detail["state"])
            self._see(newest)
            self._known.update(newest.detail["covers"])
        self.apply(row for row in mine if row is not newest)

    def _see(self, row: LogRow) -> None:
        if self._snapshot is None or row.at > self._snapshot[1]:
            self._snapshot = (row.row, row.at, list(row.detail["covers"]))

    def _replay(self, events: Iterable[Event]) -> None:
        for kind, score, *rest in events:
            if kind == "r":
                self._policy.record(score, served=rest[0])
            else:
                self._policy.learn(score, wrong=rest[0], weight=rest[1], served=rest[2])

    def snapshot(self, at: int, own: int | None) -> tuple[list[LogRow], list[int]]:
        """Rows to write, of which the last stands for all that is known, where that is worth it; and rows no longer needed.

        Rows are given up only when the newest snapshot is ``own``, the one written here the last time: somebody else may have been
        writing one meanwhile that does not know them.
        """
        spare = self._snapshot[2] if self._snapshot is not None and self._snapshot[0] == own else []
        if len(self._heard) < BATCH // 4 or not self._learns:
            return [], spare
        with self._lock:
            events, self._events = self._events, []
            state = self._policy.to_dict()
            heard, self._heard = self._heard, []
        rows = [LogRow(kind="policy", at=at, detail={"identity": self.identity, "events": events})] if events else []
        covers = [*heard, *(row.row for row in rows), *([self._snapshot[0]] if self._snapshot is not None else [])]
        self._known.update(row.row for row in rows)
        rows.append(LogRow(kind="policy", at=at, detail={"identity": self.identity, "state": state, "covers": covers}))
        self._see(rows[-1])
        return rows, spare


class Counted:
    """A policy that counts its decision as it makes it: what ``ragkit.cache.decide`` is given."""

    def __init__(self, learning: Learning) -> None:
        self._learning = learning
        self.asked = False

    @property
    def by_score(self) -> bool:
        """That of the policy."""
        return self._learning.policy.by_score

    def decide(self, score: float, coin: float, /) -> Decision:
        """That of the policy; counted."""
        self.asked = True
        return self._learning.decide(score, coin)
