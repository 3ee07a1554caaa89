"""What a policy says about the best candidate, and the seam every policy has."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """Serve the candidate or not; judge it or not; how likely it is wrong; why.

    ``judge`` on a served candidate is an audit: the answer is served, and a fresh one is made beside it to compare. On a
    candidate that is not served it costs no call of the model, because the fresh answer is made anyway. ``weight`` in
    [0, 1] is what that judgement will count; hand it to ``learn``. ``wrong`` is the policy's upper estimate of the chance
    that the candidate is wrong, 1.0 where it has none.
    """

    serve: bool
    judge: bool = False
    weight: float = 0.0
    wrong: float = 1.0
    reason: str = ""


class Decider(Protocol):
    """The part of a policy that a verdict needs."""

    @property
    def by_score(self) -> bool:
        """True when it decides by ``ragkit.cache.score``, False when by the cosine alone."""
        ...

    def decide(self, score: float, coin: float, /) -> Decision: ...


@runtime_checkable
class Policy(Decider, Protocol):
    """Decides from a score whether a stored answer may be served.

    ``decide`` is a look-up and changes nothing. Call ``record`` once per request, and ``learn`` for each judgement, whenever
    it arrives. No clock and no randomness inside: ``coin`` is uniform on [0, 1), drawn by the caller independently of
    everything else. One thread at a time may be inside ``record`` and ``learn``.
    """

    @property
    def name(self) -> str: ...

    @property
    def threshold(self) -> float:
        """The lowest score served now; infinite where only exact repetitions are."""
        ...

    def record(self, score: float | None, /, *, served: bool) -> None:
        """Count one request and its best candidate's score, None without a candidate."""
        ...

    def learn(self, score: float, /, *, wrong: bool, weight: float = 1.0, served: bool = False) -> None:
        """Take a judgement of a candidate that was ``served`` or not."""
        ...

    def to_dict(self) -> dict[str, Any]: ...

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], /) -> Policy: ...
