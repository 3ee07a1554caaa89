"""What words of a language model would cost, and what became of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from threading import Lock

from ragkit.chunk.prompts import Prompt
from ragkit.chunk.verdict import Reply
from ragkit.types import Span


@dataclass(frozen=True, slots=True, kw_only=True)
class Prices:
    """What a provider takes for a million tokens, in any currency; ``cached``: of input that its prompt cache knows."""

    input: float
    output: float
    cached: float | None = None

    def of(self, *, uncached: int, cached: int, out: int) -> float:
        """The price of so many tokens."""
        known = self.input if self.cached is None else self.cached
        return (uncached * self.input + cached * known + out * self.output) / 1e6


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """What would be asked. Tokens are the chunker's: a model's own count differs by a tenth or two in English, more elsewhere.

    ``calls`` would be made; ``kept`` chunks have an answer already. ``tokens_cached`` is the part of the input that a prompt
    cache can know, ``tokens_uncached`` the rest; ``tokens_out`` supposes answers of the length asked for. ``price`` is None
    without prices.
    """

    calls: int
    kept: int
    tokens_uncached: int
    tokens_cached: int
    tokens_out: int
    price: float | None = None


@dataclass(frozen=True, slots=True)
class Fallback:
    """A chunk that got no words, and why: a reason of ``ragkit.chunk.verdict``, or "failed" with the error in ``detail``."""

    doc_id: str
    span: Span
    reason: str
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class WritingReport:
    """What a situator did since it was made; each chunk counts once.

    ``written`` chunks got new words, ``kept`` chunks words from the file, and ``fallbacks`` none. ``partly_shown`` chunks
    stand in documents too long to be shown whole. ``calls`` were answered; tokens are the provider's own count.
    """

    written: int
    kept: int
    fallbacks: tuple[Fallback, ...]
    partly_shown: int
    calls: int
    tokens_in: int
    tokens_cached: int
    tokens_out: int

    @property
    def reasons(self) -> Mapping[str, int]:
        """How many chunks fell back, by reason."""
        return dict(Counter(one.reason for one in self.fallbacks))

    @property
    def failed_documents(self) -> list[str]:
        """Documents with chunks whose call failed. Add them again: only the failed chunks are asked for."""
        return sorted({one.doc_id for one in self.fallbacks if one.reason == "failed"})


class Tally:
    """Counts for a report, from several threads."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._words: dict[tuple[str, bytes], bool] = {}
        self._fallbacks: dict[tuple[str, bytes], Fallback] = {}
        self._parts: set[tuple[str, bytes]] = set()
        self._failed: dict[str, set[bytes]] = {}
        self._counts: Counter[str] = Counter()

    def paid(self, reply: Reply) -> None:
        """An answer came from the model."""
        with self._lock:
            for name in ("tokens_in", "tokens_cached", "tokens_out"):
                self._counts[name] += getattr(reply, name)
            self._counts["calls"] += 1

    def told(self, prompt: Prompt, *, new: bool, reason: str, detail: str = "") -> None:
        """A chunk has words, ``new`` ones or kept ones, or falls back for a reason."""
        key = (prompt.doc_id, prompt.key)
        with self._lock:
            if not prompt.whole:
                self._parts.add(key)
            if reason == "failed":
                self._failed.setdefault(prompt.doc_id, set()).add(prompt.key)
            elif prompt.doc_id in self._failed:
                self._failed[prompt.doc_id].discard(prompt.key)
            if reason:
                self._words.pop(key, None)
                self._fallbacks[key] = Fallback(prompt.doc_id, prompt.span, reason, detail)
            else:
                self._fallbacks.pop(key, None)
                self._words[key] = new or self._words.get(key, False)

    def failed(self, doc_id: str) -> int:
        """How many chunks of a document have no words because their last call failed."""
        with self._lock:
            return len(self._failed.get(doc_id, ()))

    def report(self) -> WritingReport:
        """The counts so far."""
        with self._lock:
            new = sum(self._words.values())
            return WritingReport(
                written=new,
                kept=len(self._words) - new,
                fallbacks=tuple(sorted(self._fallbacks.values(), key=lambda one: (one.doc_id, one.span))),
                partly_shown=len(self._parts),
                calls=self._counts["calls"],
                tokens_in=self._counts["tokens_in"],
                tokens_cached=self._counts["tokens_cached"],
                tokens_out=self._counts["tokens_out"],
            )
