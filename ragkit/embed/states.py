"""Token states on their way from the model to who asked: gathered, put together, and given to the right row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from ragkit.errors import CapabilityError
from ragkit.seams import Embedder, Receive, TokenReader, TokenStates
from ragkit.types import Chunk, Document
from ragkit.vec.mixing import readings_of


class Gather:
    """Receives states of ``n`` rows, and gives each row's passes in order; a row that got none has one without tokens."""

    def __init__(self, n: int, *, width: int = 0) -> None:
        self._width = width
        self._rows: list[dict[int, TokenStates]] = [{} for _ in range(n)]

    def __call__(self, row: int, number: int, states: TokenStates) -> None:
        self._rows[row][number] = states

    def rows(self) -> list[list[TokenStates]]:
        """For each row its passes."""
        return [[passes[number] for number in sorted(passes)] or [_nothing(self._width)] for passes in self._rows]


def _nothing(width: int) -> TokenStates:
    places = np.empty(0, np.int64)
    return TokenStates(np.empty(0, np.int32), places, places, np.empty((0, width), np.float32))


def joined(passes: Sequence[TokenStates]) -> TokenStates:
    """The passes over one text as if it had been read in one."""
    if len(passes) == 1:
        return passes[0]
    return TokenStates(*(np.concatenate(parts) for parts in zip(*passes, strict=True)))


def own_rows(items: Sequence[tuple[Document, Sequence[Chunk]]], receive: Receive) -> Receive:
    """``receive``, called with chunks' rows where readings' rows come: a chunk that mixes gives its first reading."""
    chunks = [chunk for _, members in items for chunk in members]
    if not any(chunk.encoding.plain or chunk.encoding.document for chunk in chunks):
        return receive
    rows: dict[int, int] = {}
    at = 0
    for row, chunk in enumerate(chunks):
        rows[at] = row
        at += len(readings_of(chunk))
    return only(rows, receive)


def only(rows: Mapping[int, int], receive: Receive) -> Receive:
    """``receive``, called for the readings in ``rows`` alone, by the numbers they have there."""

    def renumbered(reading: int, number: int, states: TokenStates) -> None:
        if reading in rows:
            receive(rows[reading], number, states)

    return renumbered


def needed_reader(embedder: Embedder) -> TokenReader:
    """The embedder, known to give token states. Raises CapabilityError where it does not."""
    if isinstance(embedder, TokenReader):
        return embedder
    raise CapabilityError(
        f"{embedder.card.name!r} gives vectors of texts and no states of single tokens. Use a TransformerEmbedder for them."
    )
