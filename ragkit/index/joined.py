"""Neighbouring chunks as one hit: exactly their stretch of the document."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ragkit.index.lines import lines_of
from ragkit.seams import Tokenizer
from ragkit.types import Chunk, Hit, Span, digest


def joined_hit(chunks: Sequence[Chunk], seed: Hit, tokenizer: Tokenizer | None) -> Hit:
    """``seed`` with the chunks, in order, around it as its chunk, and the lines of all of them.

    Metadata are what the chunks agree on; the id is not stored. ``tokenizer`` counts; without one the chunks' counts are added.
    """
    if len(chunks) == 1:
        return replace(seed, chunk=chunks[0])
    chunk = _joined(chunks, tokenizer)
    return replace(seed, chunk=chunk, lines=_lines(chunk, seed))


def _joined(chunks: Sequence[Chunk], tokenizer: Tokenizer | None) -> Chunk:
    """The chunks as one: exactly the document's text from the first to the last."""
    first, start, end = chunks[0], chunks[0].start, chunks[-1].end
    text = ""
    for chunk in chunks:
        # Chunks may overlap; what is there already is not repeated.
        text += chunk.text[start + len(text) - chunk.start :]
    shared = {
        key: value for key, value in first.metadata.items() if all(chunk.metadata.get(key, ...) == value for chunk in chunks)
    }
    return Chunk(
        id=digest(first.doc_id, "run", f"{start}:{end}", text),
        doc_id=first.doc_id,
        start=start,
        end=end,
        text=text,
        window=Span(start, end),
        index=first.index,
        n_tokens=sum(chunk.n_tokens for chunk in chunks) if tokenizer is None else tokenizer.count_batch([text])[0],
        metadata=shared,
    )


def _lines(chunk: Chunk, seed: Hit) -> tuple[int, int]:
    """The run's lines, counted from those of the hit inside it."""
    inside = Span(seed.chunk.start - chunk.start, seed.chunk.end - chunk.start)
    part = Chunk(id="", doc_id="", start=inside.start, end=inside.end, text=seed.chunk.text, window=inside, index=0, n_tokens=0)
    whole = Chunk(id="", doc_id="", start=0, end=len(chunk.text), text=chunk.text, window=Span(0, 0), index=0, n_tokens=0)
    (first, last), (at, _) = lines_of(chunk.text, [whole, part])
    return seed.lines[0] + first - at, seed.lines[0] + last - at
