"""The laws of chunking as one check that anyone can run on any chunker.

``check_chunks`` looks at a text and the spans a chunker made of it and lists every law they break. It knows
nothing about how the chunks were made; ``count`` is the real tokenizer's own count.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

import regex

from ragkit.types import Chunk, Document

Count = Callable[[Sequence[str]], list[int]]


def check_chunks(document: Document, chunks: Sequence[Chunk], count: Count, *, limit: int, overlap: int = 0) -> list[str]:
    """Every broken law, in words; an empty list when all hold.

    ``limit`` and ``overlap`` are tokens by ``count``. Checked: text is the slice at its offsets; spans ascend; the
    limit and ``n_tokens`` by recounting; lossless without overlap, covering with it; shared tokens at most
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
        if not 0 <= chunk.start < chunk.end <= len(text) or text[chunk.start : chunk.end] != chunk.text:
            broken.append(f"chunk {place}: text is not the slice at [{chunk.start}, {chunk.end})")
        if tokens > limit:
            broken.append(f"chunk {place}: {tokens} tokens, limit {limit}")
        if tokens != chunk.n_tokens:
            broken.append(f"chunk {place}: n_tokens says {chunk.n_tokens}, counted {tokens}")
        if chunk.index != place:
            broken.append(f"chunk {place}: index is {chunk.index}")
    if chunks[0].start != 0 or chunks[-1].end != len(text):
        broken.append(f"covers [{chunks[0].start}, {chunks[-1].end}) of {len(text)} characters")
    shared = [text[b.start : a.end] for a, b in pairwise(chunks)]
    for place, (a, b) in enumerate(pairwise(chunks)):
        if not (a.start < b.start and a.end < b.end and b.start <= a.end):
            broken.append(f"chunks {place} and {place + 1}: [{a.start}, {a.end}) then [{b.start}, {b.end})")
        if not overlap and b.start != a.end:
            broken.append(f"chunks {place} and {place + 1}: text lost or repeated without overlap")
    if overlap:
        broken += [
            f"chunks {place} and {place + 1} share {tokens} tokens, at most {overlap} asked"
            for place, tokens in enumerate(count(shared))
            if tokens > overlap
        ]
    if len({chunk.id for chunk in chunks}) != len(chunks):
        broken.append("two chunks share an id")
    return broken + _cut_clusters(text, chunks, count, limit)


def _cut_clusters(text: str, chunks: Sequence[Chunk], count: Count, limit: int) -> list[str]:
    edges = {chunk.start for chunk in chunks} | {chunk.end for chunk in chunks}
    broken: list[str] = []
    for match in regex.finditer(r"\X", text):
        start, end = match.span()
        if end - start > 1 and any(at in edges for at in range(start + 1, end)) and count([match.group()])[0] <= limit:
            broken.append(f"grapheme cluster {match.group()!r} at {start} is cut")
    return broken
