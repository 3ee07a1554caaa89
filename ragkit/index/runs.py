"""Hits of small chunks, put together into the runs that answer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from itertools import islice

from ragkit.index.lines import lines_of
from ragkit.retrieve import Run, find_runs
from ragkit.seams import Tokenizer
from ragkit.types import Chunk, Hit, Span, digest


def run_hits(
    hits: Sequence[Hit],
    chunks_of: Callable[[str], Sequence[Chunk]],
    *,
    k: int,
    max_tokens: int,
    gap: int,
    tokenizer: Tokenizer | None,
) -> list[Hit]:
    """The ``k`` best runs as hits: the chunk is the run, ``parts`` are those of the hit it grew from."""
    runs = find_runs(hits, lru_cache(maxsize=64)(chunks_of), max_tokens=max_tokens, gap=gap)
    return [_hit(run, rank, tokenizer) for rank, run in enumerate(islice(runs, k), 1)]


def _hit(run: Run, rank: int, tokenizer: Tokenizer | None) -> Hit:
    chunk = _joined(run.chunks, tokenizer)
    return Hit(
        chunk=chunk, score=run.score, rank=rank, parts=run.seed.parts, lines=_lines(chunk, run.seed), document=run.seed.document
    )


def _joined(chunks: Sequence[Chunk], tokenizer: Tokenizer | None) -> Chunk:
    """The chunks as one: exactly the document's text from the first to the last."""
    first, start, end = chunks[0], chunks[0].start, chunks[-1].end
    if len(chunks) == 1:
        return first
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
