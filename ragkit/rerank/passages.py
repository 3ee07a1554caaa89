"""Codes of some passages side by side, ready to be scored, and how they are made from what a model read."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from ragkit.errors import CapabilityError
from ragkit.rerank.types import Code, Compressor, CompressorCard
from ragkit.seams import TokenReader, TokenStates

Rows = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Passages:
    """The codes of passages; each has one or more windows, and ``rows`` says which.

    ``codes`` is uint8 ``(windows, vectors, bits / 8)``, ``counts`` int64 ``(windows,)`` how many vectors of each are real; ``rows`` maps a
    passage's id to its windows ``[first, last)``.
    """

    codes: NDArray[np.uint8]
    counts: Rows
    rows: dict[str, tuple[int, int]]

    def __contains__(self, passage: str) -> bool:
        return passage in self.rows

    def only(self, ids: Sequence[str]) -> tuple[NDArray[np.uint8], Rows, Rows]:
        """Codes, counts and owners of these passages in this order, as ``max_sim`` takes them."""
        starts, ends = np.array([self.rows[one] for one in ids], np.int64).reshape(-1, 2).T
        sizes = ends - starts
        owners = np.repeat(np.arange(len(ids)), sizes)
        # Places count on within a passage, and go to the next one's start where another begins.
        wanted = np.arange(len(owners)) + np.repeat(starts - np.cumsum(sizes) + sizes, sizes)
        return self.codes[wanted], self.counts[wanted], owners

    def smaller(self, card: CompressorCard, *, vectors: int, bits: int) -> Passages:
        """The same passages with the first ``vectors`` vectors of each window and the first ``bits`` bits of each vector."""
        if (vectors, bits) == (card.vectors, card.bits):
            return self
        return Passages(self.codes[:, :vectors, : bits // 8], np.minimum(self.counts, vectors), self.rows)


def passages(card: CompressorCard, compressed: Iterable[tuple[str, Sequence[Code]]]) -> Passages:
    """Passages from the codes of their windows."""
    rows: dict[str, tuple[int, int]] = {}
    codes: list[bytes] = []
    counts: list[int] = []
    for passage, windows in compressed:
        rows[passage] = (len(codes), len(codes) + len(windows))
        codes += [code.padded(card) for code in windows]
        counts += [len(code) for code in windows]
    return Passages(unpacked(b"".join(codes), card), np.array(counts, np.int64), rows)


def empty(card: CompressorCard) -> Passages:
    """No passages at all."""
    return passages(card, [])


def unpacked(data: bytes | NDArray[np.uint8], card: CompressorCard) -> NDArray[np.uint8]:
    """Padded codes, one after the other, as uint8 ``(windows, vectors, bits / 8)``."""
    flat = np.frombuffer(data, np.uint8) if isinstance(data, bytes) else data.reshape(-1)
    return flat.reshape(-1, card.vectors, card.bits // 8)


def compress(compressor: Compressor, read: Sequence[TokenStates]) -> list[Code]:
    """The codes of a text from its passes; one of more tokens than the compressor's window is cut into equal parts.

    A text without tokens has one code without vectors, so every text has a code.
    """
    return whole([code for _, code in compress_parts(compressor, read)])


def compress_parts(compressor: Compressor, read: Sequence[TokenStates]) -> list[tuple[TokenStates, Code]]:
    """Each window of a text with its code, empty ones included."""
    return [(part, compressor.compress(part)) for states in read for part in _parts(states, compressor.card.window)]


def whole(codes: Sequence[Code]) -> list[Code]:
    """A text's codes without those that have no vectors; one of them where there are no others."""
    return [code for code in codes if len(code)] or list(codes[:1])


def _parts(states: TokenStates, window: int) -> list[TokenStates]:
    n = len(states.ids)
    if n <= window:
        return [states]
    borders = np.linspace(0, n, -(-n // window) + 1).round().astype(int).tolist()
    ids, starts, ends, rows = states
    return [TokenStates(ids[a:b], starts[a:b], ends[a:b], rows[a:b]) for a, b in pairwise(borders)]


def require(compressor: Compressor, reader: TokenReader) -> None:
    """Raise CapabilityError unless the compressor was made for this model's weights."""
    if compressor.card.model != reader.card.weights:
        raise CapabilityError(
            f"The compressor {compressor.card.name!r} reads a model whose weights are {compressor.card.model!r}; {reader.card.name!r} has "
            f"{reader.card.weights or 'none to tell'!r}. Use that model, TokenCompressor.untrained(...), or `ragkit train rerank`."
        )
