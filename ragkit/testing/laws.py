"""The laws of chunking as checks that anyone can run on any chunker.

``check_chunks`` looks at a text and the chunks made of it and lists every law they break. It knows nothing about how the
chunks were made; ``count`` is the real tokenizer's own count. ``ragkit.testing.conformance`` asks the same questions of
chunkers that are not ours, on texts that break chunkers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise

import regex

from ragkit.types import Chunk, Document, Span

Count = Callable[[Sequence[str]], list[int]]


def check_chunks(document: Document, chunks: Sequence[Chunk], count: Count, *, limit: int, overlap: int = 0) -> list[str]:
    """Every broken law, in words; an empty list when all hold.

    ``limit`` and ``overlap`` are tokens by ``count``. Checked: text is the slice at its offsets; spans ascend; the
    limit, context included, and ``n_tokens`` by recounting; lossless without overlap, covering with it; shared tokens at most
    ``overlap``; no grapheme cluster (UAX 29) cut unless it alone exceeds the limit; ids distinct, places in order.
    """
    text = document.text
    if not text or text.isspace():
        return [f"{len(chunks)} chunks of a blank document"] if chunks else []
    if not chunks:
        return ["no chunks of a document with text"]
    broken: list[str] = []
    counts = count([chunk.text for chunk in chunks])
    for place, (chunk, tokens) in enumerate(zip(chunks, counts, strict=True)):
        if not is_slice(text, chunk.text, chunk.start, chunk.end) or not chunk.text:
            broken.append(f"chunk {place}: text is not the slice at [{chunk.start}, {chunk.end})")
        if tokens > limit:
            broken.append(f"chunk {place}: {tokens} tokens, limit {limit}")
        if chunk.context and (read := count([f"{chunk.context}\n{chunk.text}"])[0]) > limit:
            broken.append(f"chunk {place}: {read} tokens with its context, limit {limit}")
        if tokens != chunk.n_tokens:
            broken.append(f"chunk {place}: n_tokens says {chunk.n_tokens}, counted {tokens}")
        if chunk.index != place:
            broken.append(f"chunk {place}: index is {chunk.index}")
    spans = [chunk.span for chunk in chunks]
    broken += [f"characters [{start}, {end}) are in no chunk" for start, end in gaps(len(text), spans)]
    shared = [text[b.start : a.end] for a, b in pairwise(chunks)]
    for place, (a, b) in enumerate(pairwise(chunks)):
        if not (a.start < b.start and a.end < b.end):
            broken.append(f"chunks {place} and {place + 1}: [{a.start}, {a.end}) then [{b.start}, {b.end})")
        if not overlap and b.start < a.end:
            broken.append(f"chunks {place} and {place + 1}: text repeated without overlap")
    if overlap:
        broken += [
            f"chunks {place} and {place + 1} share {tokens} tokens, at most {overlap} asked"
            for place, tokens in enumerate(count(shared))
            if tokens > overlap
        ]
    if len({chunk.id for chunk in chunks}) != len(chunks):
        broken.append("two chunks share an id")
    broken += [
        f"grapheme cluster {text[start:end]!r} at {start} is cut" for start, end in cut_clusters(text, spans, count, limit=limit)
    ]
    return broken


def is_slice(text: str, piece: str, start: int, end: int) -> bool:
    """Whether ``piece`` is ``text[start:end]``, with offsets inside the text."""
    return 0 <= start <= end <= len(text) and text[start:end] == piece


def gaps(length: int, spans: Sequence[Span]) -> Iterator[Span]:
    """The ranges of ``[0, length)`` that no span covers, for spans in the order of the text."""
    reach = 0
    for start, end in [*spans, Span(length, length)]:
        if start > reach:
            yield Span(reach, start)
        reach = max(reach, end)


def cut_clusters(text: str, spans: Sequence[Span], count: Count, *, limit: int) -> list[Span]:
    """The grapheme clusters (UAX 29) that an edge of a span cuts, without those that alone exceed ``limit`` tokens."""
    edges = {start for start, _ in spans} | {end for _, end in spans}
    cut = [
        Span(*match.span())
        for match in regex.finditer(r"\X", text)
        if match.end() - match.start() > 1 and any(at in edges for at in range(match.start() + 1, match.end()))
    ]
    counts = count([text[start:end] for start, end in cut]) if cut else []
    return [span for span, tokens in zip(cut, counts, strict=True) if tokens <= limit]
