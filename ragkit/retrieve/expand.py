"""Small to big: from the chunks that were found to the stretches of their documents worth reading."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ragkit.errors import InvalidInputError
from ragkit.retrieve.shape import Expand
from ragkit.types import Chunk, Hit

Read = Callable[[Sequence[str]], Mapping[str, Sequence[Chunk]]]


@dataclass(slots=True)
class Stretch:
    """Neighbouring chunks of one document, in order, around the hit ``seed``; ``others`` are hits inside it, best first."""

    seed: Hit
    chunks: Sequence[Chunk]
    others: list[Hit] = field(default_factory=list)


def expand_hits(hits: Sequence[Hit], read: Read, *, k: int, expand: Expand, max_tokens: int | None = None) -> list[Stretch]:
    """Up to ``k`` stretches, in the order of their best hits; ``Shape`` says how each grows.

    ``read`` gives all chunks of documents, in order. No chunk is in two stretches: a hit inside one joins it, and
    one beside it grows to the other side only. A chunk that is no longer stored as it was found stays alone.

    Raises InvalidInputError for ``expand="parent"`` and a chunk without parents.
    """
    known: dict[str, Sequence[Chunk]] = {}
    stretches: list[Stretch] = []
    owner: dict[str, Stretch] = {}
    for place, hit in enumerate(hits):
        if hit.chunk.id in owner:
            owner[hit.chunk.id].others.append(hit)
            continue
        if len(stretches) == k:
            continue
        if hit.chunk.doc_id not in known:
            # As many documents as may still be needed, in one reading.
            ahead = dict.fromkeys(one.chunk.doc_id for one in hits[place : place + k - len(stretches)])
            wanted = [doc_id for doc_id in ahead if doc_id not in known]
            found = read(wanted)
            known.update({doc_id: found.get(doc_id, ()) for doc_id in wanted})
        stretch = Stretch(hit, _grown(hit.chunk, known[hit.chunk.doc_id], expand, owner, max_tokens))
        stretches.append(stretch)
        owner.update((chunk.id, stretch) for chunk in stretch.chunks)
    return stretches


def _grown(own: Chunk, chunks: Sequence[Chunk], expand: Expand, taken: Mapping[str, Any], most: int | None) -> Sequence[Chunk]:
    at = own.index
    if at >= len(chunks) or chunks[at].id != own.id:
        return (own,)
    belongs = _membership(own, expand)
    tokens = own.n_tokens
    edges = {1: at, -1: at}
    sides = [1, -1]
    while sides:
        for side in tuple(sides):
            edge = edges[side]
            reach = edge + side
            left, right = sorted((edge, reach))
            joins = (
                0 <= reach < len(chunks)
                and belongs(chunks[reach])
                and chunks[reach].id not in taken
                and chunks[right].start <= chunks[left].end
                and (most is None or tokens + chunks[reach].n_tokens <= most)
            )
            if joins:
                edges[side] = reach
                tokens += chunks[reach].n_tokens
            else:
                sides.remove(side)
    return chunks[edges[-1] : edges[1] + 1]


def _membership(own: Chunk, expand: Expand) -> Callable[[Chunk], bool]:
    """Whether a chunk of the same document belongs to what ``own`` expands to, as far as it is reached without a gap."""
    if expand == "section":
        path = _path(own)
        return lambda chunk: bool(path) and _path(chunk)[: len(path)] == path
    if expand == "parent":
        parent = _parent(own)
        if parent is None:
            raise InvalidInputError(
                f"expand is 'parent', and chunk {own.id!r} of document {own.doc_id!r} has none. Chunk with chunker | Parents(sizes), or "
                "expand by 'section' or by a number of neighbours."
            )
        return lambda chunk: _parent(chunk) == parent
    width = expand
    return lambda chunk: abs(chunk.index - own.index) <= width


def _path(chunk: Chunk) -> list[Any]:
    return [*chunk.metadata.get("headings", ()), *chunk.metadata.get("scope", ())]


def _parent(chunk: Chunk) -> Any:
    entries = chunk.metadata.get("parents")
    return entries[-1]["id"] if entries else None
