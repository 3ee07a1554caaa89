"""Any chunker, ours or not, on the texts that break chunkers: which laws it keeps on which text.

    from ragkit.testing.conformance import check_chunker
    from ragkit.text import resolve_tokenizer

    report = check_chunker(my_chunker, resolve_tokenizer("cl100k_base").count_batch, limit=128)
    print(report.clean, "of", len(report.texts), "texts; broken:", report.broken)

A chunker is a callable from a text to its pieces, each a string, a ``(start, end)``, a ``(text, start, end)``, a
``Piece``, or a ``Chunk``. Nothing is held against one for what it does not claim: offsets and token counts are checked where given.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from ragkit.errors import InvalidInputError
from ragkit.testing.laws import Count, cut_clusters, gaps, is_slice
from ragkit.testing.texts import pathological
from ragkit.types import Chunk, Span

#: The laws, with what it means to break one. A text on which none is broken is clean.
LAWS: Mapping[str, str] = {
    "answers": "the chunker raised, crashed, or did not come back in time",
    "limit": "a piece is over the limit when the real tokenizer counts it again",
    "offsets": "text[start:end] is not the piece, or the offsets point at another copy of it",
    "content": "characters other than white space were changed, lost or repeated",
    "blanks": "white space was lost, and nothing else",
    "counts": "a declared token count is wrong",
}


@dataclass(frozen=True, slots=True)
class Piece:
    """What a chunker returned. ``start`` and ``end`` are characters of the text, ``n_tokens`` its own count; None: not told."""

    text: str
    start: int | None = None
    end: int | None = None
    n_tokens: int | None = None


Output = Piece | Chunk | str | tuple[int, int] | tuple[str, int, int]
TextChunker = Callable[[str], Iterable[Output]]


@dataclass(frozen=True, slots=True, kw_only=True)
class TextReport:
    """One chunker on one text.

    ``error`` is what it raised, or None; then the other fields say nothing. ``over_limit``, ``wrong_offsets`` and
    ``wrong_counts`` are numbers of pieces, None where the chunker told no offsets or counts. ``largest`` is the largest piece
    in tokens. ``content`` tells whether every visible character is kept, in order and once (with overlap: at least once), ``blanks``
    whether white space is too; a blank text may come back as no piece at all. ``cut_graphemes`` counts grapheme clusters that
    would have fitted and were cut (None without right offsets); it is told for comparison, no law of other libraries. ``seconds`` is wall time.
    """

    name: str
    seconds: float
    error: str | None = None
    pieces: int = 0
    over_limit: int = 0
    largest: int = 0
    wrong_offsets: int | None = None
    content: bool = True
    blanks: bool = True
    wrong_counts: int | None = None
    cut_graphemes: int | None = None

    @property
    def broken(self) -> tuple[str, ...]:
        """The names of the laws (``LAWS``) that do not hold."""
        if self.error is not None:
            return ("answers",)
        failed = {
            "limit": self.over_limit > 0,
            "offsets": bool(self.wrong_offsets),
            "content": not self.content,
            "blanks": not self.blanks,
            "counts": bool(self.wrong_counts),
        }
        return tuple(law for law, failing in failed.items() if failing)

    def to_dict(self) -> dict[str, Any]:
        """The fields and ``broken``, for JSON."""
        return asdict(self) | {"broken": list(self.broken)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Conformance:
    """One chunker on all texts; ``limit`` and ``overlap`` in tokens."""

    limit: int
    overlap: int
    texts: tuple[TextReport, ...]

    @property
    def clean(self) -> int:
        """The number of texts on which every law holds."""
        return sum(not report.broken for report in self.texts)

    @property
    def broken(self) -> dict[str, int]:
        """For each law the number of texts on which it does not hold."""
        return {law: sum(law in report.broken for report in self.texts) for law in LAWS}

    @property
    def seconds(self) -> float:
        """Wall time of the chunker on all texts."""
        return sum(report.seconds for report in self.texts)

    def to_dict(self) -> dict[str, Any]:
        """Everything, for JSON."""
        return {
            "limit": self.limit,
            "overlap": self.overlap,
            "clean": self.clean,
            "of": len(self.texts),
            "broken": self.broken,
            "seconds": self.seconds,
            "texts": [report.to_dict() for report in self.texts],
        }


def check_chunker(
    chunk: TextChunker, count: Count, *, limit: int, overlap: int = 0, texts: Mapping[str, str] | None = None
) -> Conformance:
    """Run ``chunk`` on ``texts``, by default the 23 of ``ragkit.testing.texts.pathological``, and see which laws hold.

    ``count`` is the real tokenizer's own count of each text alone (``resolve_tokenizer(...).count_batch``), ``limit`` and
    ``overlap`` what the chunker was asked for, in tokens. An exception of the chunker is a finding and not raised.

    Raises InvalidInputError when the chunker returns what is no piece.
    """
    chosen = pathological() if texts is None else texts
    reports = tuple(check_text(chunk, count, name=name, text=text, limit=limit, overlap=overlap) for name, text in chosen.items())
    return Conformance(limit=limit, overlap=overlap, texts=reports)


def check_text(chunk: TextChunker, count: Count, *, name: str, text: str, limit: int, overlap: int = 0) -> TextReport:
    """``check_chunker`` for one text."""
    begun = time.perf_counter()
    try:
        returned = list(chunk(text))
    except (KeyboardInterrupt, SystemExit, GeneratorExit):
        raise
    except BaseException as error:  # a panic of a Rust extension is no Exception
        return TextReport(name=name, seconds=time.perf_counter() - begun, error=f"{type(error).__name__}: {error}"[:200])
    seconds = time.perf_counter() - begun
    pieces = [_piece(item, text) for item in returned]
    bodies = [piece.text for piece in pieces]
    counts = count(bodies) if bodies else []
    visible = _keeps(_visible(text), [_visible(body) for body in bodies], overlap)
    declared = [(piece.n_tokens, tokens) for piece, tokens in zip(pieces, counts, strict=True) if piece.n_tokens is not None]
    spans = [Span(piece.start, piece.end) for piece in pieces if piece.start is not None and piece.end is not None]
    wrong_offsets = _wrong_offsets(text, pieces, overlap, kept=visible) if spans else None
    return TextReport(
        name=name,
        seconds=seconds,
        pieces=len(pieces),
        over_limit=sum(tokens > limit for tokens in counts),
        largest=max(counts, default=0),
        wrong_offsets=wrong_offsets,
        content=visible,
        blanks=not visible or not _visible(text) or _keeps(text, bodies, overlap),
        wrong_counts=sum(says != tokens for says, tokens in declared) if declared else None,
        cut_graphemes=len(cut_clusters(text, spans, count, limit=limit)) if wrong_offsets == 0 else None,
    )


def _piece(item: object, text: str) -> Piece:
    match item:
        case Piece():
            return item
        case Chunk():
            return Piece(item.text, item.start, item.end, item.n_tokens)
        case str():
            return Piece(item)
        case (int(start), int(end)):
            return Piece(text[max(start, 0) : max(end, 0)], start, end)
        case (str(body), int(start), int(end)):
            return Piece(body, start, end)
    raise InvalidInputError(
        f"The chunker returned {item!r:.100}; a piece is a str, (start, end), (text, start, end), a Piece or a Chunk. "
        "Wrap the chunker in a function that converts."
    )


def _visible(text: str) -> str:
    return "".join(text.split())


def _keeps(text: str, bodies: Sequence[str], overlap: int) -> bool:
    """Whether the bodies are the text, in order: put together without overlap, laid over it with overlap."""
    if not overlap:
        return "".join(bodies) == text
    reach = 0
    for body in bodies:
        # The latest place without a gap is best: whatever a true placement reaches, this one reaches too.
        at = text.rfind(body, 0, reach + len(body))
        if at < 0:
            return False
        reach = max(reach, at + len(body))
    return reach == len(text)


def _wrong_offsets(text: str, pieces: Sequence[Piece], overlap: int, *, kept: bool) -> int:
    """How many pieces are not where they say.

    Where the pieces themselves keep all content (``kept``), offsets that go back, or leave content out, point at another copy.
    """
    wrong, spans = 0, list[Span]()
    for piece in pieces:
        if piece.start is None or piece.end is None or not is_slice(text, piece.text, piece.start, piece.end):
            wrong += 1
            continue
        if kept and spans:
            last = spans[-1]
            wrong += piece.start < (last.start if overlap else last.end)
        spans.append(Span(piece.start, piece.end))
    if kept and not wrong:
        wrong = sum(bool(_visible(text[start:end])) for start, end in gaps(len(text), spans))
    return wrong
