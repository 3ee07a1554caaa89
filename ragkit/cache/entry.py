"""What a cache keeps in memory of an answer, and what removes it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

#: What an entry takes in memory beside its texts and its vector, about.
_OVERHEAD = 700


@dataclass(slots=True, kw_only=True, eq=False)
class Entry:
    """A stored answer. ``rows`` of the log tell of it, one for each model. ``at`` is when its making began, in microseconds since 1970; ``expires`` in seconds, infinite for never.

    ``writer`` is "" for one who is trusted; otherwise only that writer is served until ``confirmed``. ``documents`` are the
    sources with their digests ("" where no version was known). ``dim`` is the length of its vector, 0 for
    none; ``opaque`` prompts were no text. ``cost`` is what making the answer took, in any one unit.
    ``hits`` and ``used`` (seconds) are this process's own.
    """

    id: str
    rows: list[int]
    at: int
    scope: str
    tenant: str
    key: str
    prompt: str
    answer: str
    model: str
    dim: int
    expires: float
    opaque: bool = False
    writer: str = ""
    confirmed: bool = False
    tags: tuple[str, ...] = ()
    documents: tuple[tuple[str, str], ...] = ()
    group: str = ""
    cost: float = 1.0
    wrong: int = 0
    hits: int = 0
    used: float = 0.0
    slot: int = -1
    alive: bool = True

    @property
    def created(self) -> float:
        """When the making of the answer began, in seconds since 1970."""
        return self.at / 1e6

    @property
    def owner(self) -> str:
        """Whom alone it serves; "" for everybody in its scope."""
        return "" if self.confirmed else self.writer

    @property
    def size(self) -> int:
        """Bytes in memory, about."""
        return _OVERHEAD + 2 * (len(self.prompt) + len(self.answer)) + 4 * self.dim

    def to_dict(self) -> dict[str, Any]:
        """Everything but the vector, ready for JSON."""
        return {
            "id": self.id, "scope": self.scope, "tenant": self.tenant, "prompt": self.prompt, "answer": self.answer,
            "created": self.created, "expires": None if self.expires == float("inf") else self.expires, "writer": self.writer,
            "confirmed": self.confirmed, "tags": list(self.tags), "documents": [list(one) for one in self.documents],
            "group": self.group, "cost": self.cost, "wrong": self.wrong, "hits": self.hits, "model": self.model,
        }  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Drop:
    """Removes every entry begun at or before ``at`` that it names, also one that becomes known only later."""

    at: int
    entries: frozenset[str] = field(default_factory=frozenset)
    tags: frozenset[str] = field(default_factory=frozenset)
    documents: frozenset[str] = field(default_factory=frozenset)
    scope: str = ""
    tenant: str = ""
    before: int = 0
    everything: bool = False

    def hits(self, entry: Entry) -> bool:
        """True when ``entry`` is one of those removed."""
        return entry.at <= self.at and (
            self.everything
            or entry.id in self.entries
            or (bool(self.scope) and entry.scope == self.scope)
            or (bool(self.tenant) and entry.tenant == self.tenant)
            or entry.at < self.before
            or not self.tags.isdisjoint(entry.tags)
            or any(name in self.documents for name, _ in entry.documents)
        )

    def to_dict(self) -> dict[str, Any]:
        """What is not empty, ready for JSON, without ``at``."""
        given: dict[str, Any] = {name: sorted(getattr(self, name)) for name in ("entries", "tags", "documents")}
        given |= {name: getattr(self, name) for name in ("scope", "tenant", "before", "everything")}
        return {name: value for name, value in given.items() if value}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], at: int) -> Drop:
        """A drop from ``to_dict``'s output."""
        sets: dict[str, Any] = {name: frozenset(data.get(name, ())) for name in ("entries", "tags", "documents")}
        return cls(at=at, **sets, **{name: data[name] for name in ("scope", "tenant", "before", "everything") if name in data})
