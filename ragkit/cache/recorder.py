"""Storing a streamed answer when its end has come."""

from __future__ import annotations

from collections.abc import Iterable
from types import TracebackType
from typing import TYPE_CHECKING, Self

from ragkit.cache.admission import Outcome
from ragkit.cache.making import Made
from ragkit.cache.questions import Question
from ragkit.cache.sources import Source

if TYPE_CHECKING:
    from ragkit.cache.semantic import SemanticCache, Stored


class Recorder:
    """Gathers the pieces of an answer while they are passed on; nothing is stored before ``finish``.

        with cache.recording(prompt, scope=scope) as recorder:
            for piece in stream:
                recorder.add(piece)
                yield piece
            recorder.finish(finish=reason)

    Leaving without ``finish``, by an error or because the reader went away, stores nothing.
    """

    def __init__(
        self,
        cache: SemanticCache,
        asked: Question,
        *,
        begun: float,
        sources: Iterable[Source] = (),
        tags: Iterable[str] = (),
        ttl: float | None = None,
        cost: float | None = None,
        principal: str = "",
    ) -> None:
        self._cache, self._asked, self._begun, self._principal = cache, asked, begun, principal
        self._sources, self._tags, self._ttl, self._cost = tuple(sources), tuple(tags), ttl, cost
        self._pieces: list[str] = []
        #: What became of the answer; None until the stream has ended one way or the other.
        self.stored: Stored | None = None

    def add(self, piece: str) -> None:
        """Keep the next piece of text."""
        self._pieces.append(piece)

    @property
    def text(self) -> str:
        """What has come so far."""
        return "".join(self._pieces)

    def finish(
        self,
        *,
        finish: str | None = "stop",
        tool_calls: int = 0,
        refusal: bool = False,
        no_store: bool = False,
        temperature: float | None = None,
        sources: Iterable[Source] = (),
    ) -> Stored:
        """The terminal event has come: store the answer if it may be, else say why not."""
        return self._end(
            Outcome(
                text=self.text,
                finish=finish,
                tool_calls=tool_calls,
                refusal=refusal,
                no_store=no_store,
                temperature=temperature,
            ),
            sources,
        )

    def _end(self, outcome: Outcome, sources: Iterable[Source] = ()) -> Stored:
        if self.stored is None:
            cost = self._cost if self._cost is not None else self._cache.time() - self._begun
            made = Made(outcome=outcome, sources=(*self._sources, *sources), tags=self._tags, cost=cost, ttl=self._ttl)
            self.stored = self._cache.store(self._asked, made, principal=self._principal, begun=self._begun)
        return self.stored

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._end(Outcome(text=self.text, complete=False))
