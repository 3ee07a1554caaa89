"""What an encoder is asked to read, and which part of it becomes the vector."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from ragkit.errors import CapabilityError, InvalidInputError
from ragkit.types import Chunk, Document, ModelCard, Span, digest
from ragkit.vec.mixing import mixed_keys

#: Between a chunk's context and its window; belongs to neither.
CONTEXT_END = "\n"


@dataclass(frozen=True, slots=True)
class Passes:
    """How a reading longer than the model's window is read: the first ``head`` characters (the context) in every pass.

    A pass has at most ``window`` tokens (0: as many as the model takes), and shares ``overlap`` of them with the next.
    """

    head: int = 0
    window: int = 0
    overlap: int = 0


@dataclass(frozen=True, slots=True)
class Reading:
    """A text to encode, without prompt, and the characters of it to pool; ``span`` None pools as the model does.

    ``passes`` is None where the text must fit into one window.
    """

    text: str
    span: Span | None = None
    passes: Passes | None = None


def chunk_reading(document: Document, chunk: Chunk) -> Reading:
    """Encode the window with its context, pool the span.

    A chunk without context that is its whole window reads like a plain text. Otherwise the text is context,
    a line end, and the window; the span counts from the start of that text. A window larger than the span may be
    read in several passes.

    Raises InvalidInputError for a chunk of another document, or one that does not lie inside its window.
    """
    (first, last), text = chunk.window, document.text
    if chunk.doc_id != document.id or text[chunk.start : chunk.end] != chunk.text:
        raise InvalidInputError(
            f"{describe(chunk)} is not a slice of document {document.id!r} ({len(text)} characters). Chunk this very document again."
        )
    if not 0 <= first <= chunk.start <= chunk.end <= last <= len(text):
        raise InvalidInputError(
            f"{describe(chunk)} has the window {first}..{last}, which must contain the span and lie within 0..{len(text)}."
        )
    if not chunk.context and chunk.window == chunk.span:
        return Reading(chunk.text)
    before = chunk.context + CONTEXT_END if chunk.context else ""
    shift = len(before) - first
    how = chunk.encoding
    passes = Passes(len(before), how.window, how.overlap) if chunk.window != chunk.span else None
    read = _joined(before, text, first, last) if passes else before + text[first:last]
    return Reading(read, Span(chunk.start + shift, chunk.end + shift), passes)


@lru_cache(maxsize=4)
def _joined(before: str, text: str, first: int, last: int) -> str:
    # The chunks of a document share their window: one string for all of them, however long it is.
    return before + text[first:last]


def describe(chunk: Chunk) -> str:
    """How error messages name a chunk."""
    return f"chunk {chunk.id!r} (number {chunk.index} of document {chunk.doc_id!r}, characters {chunk.start}..{chunk.end})"


def batch_readings(items: Iterable[tuple[Document, Sequence[Chunk]]]) -> tuple[list[Reading], Callable[[int], str]]:
    """The readings of many documents' chunks in order, and the function that names one of them."""
    chunks: list[Chunk] = []
    readings: list[Reading] = []
    for document, members in items:
        readings += [chunk_reading(document, chunk) for chunk in members]
        chunks += members
    return readings, lambda row: describe(chunks[row])


def text_readings(texts: Sequence[str], *, kind: str = "text") -> tuple[list[Reading], Callable[[int], str]]:
    """The readings of plain texts, and the function that names one of them; InvalidInputError for a non-string."""
    if isinstance(texts, str):
        raise InvalidInputError(f"A single str ({texts[:40]!r}) was given where a list of texts is needed. Put it into a list.")
    for place, text in enumerate(texts):
        if not isinstance(text, str):
            raise InvalidInputError(f"{kind} {place} is {type(text).__name__}, not str. Decode or convert it first.")
    return [Reading(text) for text in texts], lambda row: f"{kind} {row} ({texts[row][:40]!r})"


def refuse_windows(readings: Sequence[Reading], name: Callable[[int], str], card: ModelCard) -> None:
    """Raise CapabilityError for a window larger than its span where the model pools one special token."""
    if not card.pools_one_token:
        return
    for row, reading in enumerate(readings):
        if reading.passes is not None:
            raise CapabilityError(
                f"{name(row)} has a window larger than its span, so its own tokens must be pooled; {card.name!r} pools by "
                f"{card.pooling!r}, and a mean of its token vectors is not what it was trained for. Use a model with mean pooling, "
                "or chunks whose window is their span; a context (Situate) may stand before them."
            )


def reading_key(card: ModelCard, reading: Reading, *, side: str = "document") -> str:
    """A content address: equal keys mean equal vectors. 32 hex digits."""
    span = "" if reading.span is None else f"{reading.span.start}:{reading.span.end}"
    how = reading.passes
    if how is None:
        return digest(card.fingerprint, side, span, reading.text)
    return digest(card.fingerprint, side, f"{span}:{how.head}:{how.window}:{how.overlap}", _window_digest(reading.text))


@lru_cache(maxsize=4)
def _window_digest(text: str) -> str:
    # A document's text would otherwise be read once for each of its chunks.
    return digest(text)


def embed_keys(card: ModelCard, document: Document, chunks: Sequence[Chunk]) -> list[str]:
    """The content address of each chunk's vector: a digest of model card, window text, context, the span in it, and its
    encoding.

    Equal keys mean equal vectors, whatever the document's id, so stored vectors can be used again. 32 hex digits each.
    ``chunks`` are all those of the document where one of them adds its mean.
    """
    return mixed_keys(chunks, lambda chunk: reading_key(card, chunk_reading(document, chunk)))
