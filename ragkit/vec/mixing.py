"""Vectors made of several readings of one chunk: alone, situated, and its document's mean."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from ragkit.seams import Vectors
from ragkit.types import AS_IT_STANDS, Chunk, Document, digest

Items = Sequence[tuple[Document, Sequence[Chunk]]]


def readings_of(chunk: Chunk) -> list[tuple[float, Chunk]]:
    """What must be read for a chunk's vector, and with which share: at most the chunk alone and the chunk situated.

    A chunk without context that is its whole window reads the same both ways, once. The chunks returned mix nothing.
    """
    if not chunk.context and chunk.window == chunk.span:
        return [(1.0, replace(chunk, encoding=AS_IT_STANDS))]
    share = chunk.encoding.plain
    found = []
    if share > 0:
        found.append((share, replace(chunk, context="", window=chunk.span, encoding=AS_IT_STANDS)))
    if share < 1:
        found.append((1 - share, replace(chunk, encoding=replace(chunk.encoding, plain=0.0, document=0.0))))
    return found


def embed_mixed(items: Items, embed: Callable[[Items], Vectors]) -> Vectors:
    """``(n, dim)`` unit rows, one per chunk, as each chunk's ``encoding`` asks for; ``embed`` is called once.

    ``embed`` gives unit rows for chunks that mix nothing. The mean of a document is that of its chunks in ``items``:
    give all of them where one has a ``document`` weight.
    """
    if not any(chunk.encoding.plain or chunk.encoding.document for _, chunks in items for chunk in chunks):
        return embed(items)
    parts: list[tuple[Document, list[Chunk]]] = []
    shares: list[float] = []
    owners: list[int] = []
    row = 0
    for document, chunks in items:
        read: list[Chunk] = []
        for chunk in chunks:
            for share, reading in readings_of(chunk):
                read.append(reading)
                shares.append(share)
                owners.append(row)
            row += 1
        parts.append((document, read))
    found = embed(parts)
    mixed = np.zeros((row, found.shape[1]), np.float32)
    np.add.at(mixed, owners, found * np.array(shares, np.float32)[:, None])
    first = 0
    for _, chunks in items:
        rows = slice(first, first + len(chunks))
        weights = np.array([chunk.encoding.document for chunk in chunks], np.float32)
        if weights.any():
            unit = _unit(mixed[rows])
            mixed[rows] = unit + weights[:, None] * unit.mean(axis=0)
        first = rows.stop
    return _unit(mixed)


def mixed_keys(chunks: Sequence[Chunk], key: Callable[[Chunk], str]) -> list[str]:
    """A content address per chunk of one document, from the addresses ``key`` gives to single readings.

    Equal addresses mean equal vectors; an address with a ``document`` weight covers all the chunks given.
    """
    plain = [_address(readings_of(chunk), key) for chunk in chunks]
    if not any(chunk.encoding.document for chunk in chunks):
        return plain
    whole = digest(*plain)
    return [
        digest(own, whole, repr(chunk.encoding.document)) if chunk.encoding.document else own
        for own, chunk in zip(plain, chunks, strict=True)
    ]


def _address(readings: Sequence[tuple[float, Chunk]], key: Callable[[Chunk], str]) -> str:
    if len(readings) == 1:
        return key(readings[0][1])
    return digest(*(part for share, reading in readings for part in (repr(share), key(reading))))


def _unit(vectors: Vectors) -> Vectors:
    # Opposite readings of one chunk would cancel out; such a row stays zero, which every caller refuses.
    unit: Vectors = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-30)
    return unit
