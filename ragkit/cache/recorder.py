"""Storing a streamed answer when its end has come."""

from __future__ import annotations

from collections.abc import Iterable
from types import TracebackType
from typing import Self

from ragkit.cache.admission import Outcome
from ragkit.cache.desk import Desk
from ragkit.cache.made import Made
from ragkit.cache.questions import Question
from ragkit.cache.reports import Stored
from ragkit.cache.sources import Source


class Recorder:
    """Gathers the pieces of an answer while they are passed on; nothing is stored before ``finish``.

        with cache.recording(prompt, scope=scope) as recorder:
            for piece in stream:
                recorder.add(piece)
                yield piece
            recorder.finish(finish=reason)

    Leaving without ``finish``, by an error or because the reader went away, stores nothing.
    """

    def __init__(self, desk: Desk, asked: Question, *, given: Made, principal: str = "") -> None:
        self._desk, self._asked, self._given, self._principal = desk, asked, desk.pinned(given), principal
        self._begun = desk.vault.now()
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
            made = Made(self.text, outcome=outcome, sources=tuple(sources)).added_to(
                self._given, (self._desk.vault.now() - self._begun) / 1e6
            )
            self.stored = self._desk.store(self._asked, made, principal=self._principal, begun=self._begun)
        return self.stored

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._end(Outcome(text=self.text, complete=False))
