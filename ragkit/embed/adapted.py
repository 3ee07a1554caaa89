"""An embedder whose vectors went through a trained context adapter."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path

import numpy as np

from ragkit.embed.adapter import Adapter, Shares, load_adapter
from ragkit.embed.inputs import describe
from ragkit.embed.states import needed_reader, only
from ragkit.errors import InvalidInputError, StoreMismatchError
from ragkit.seams import Embedder, Receive, Tokenizer, TokenStates, Vectors
from ragkit.types import AS_IT_STANDS, Chunk, Document, ModelCard

Items = Sequence[tuple[Document, Sequence[Chunk]]]


class AdaptedEmbedder:
    """A frozen embedder and a context adapter that ``ragkit train context`` made for it.

    A chunk is read alone and, where it has a context or a window, situated; the adapter's shares mix the two and the mean of
    the document's chunks, and a matrix turns the sum; questions go through a matrix of their own. The shares of a chunk's own
    ``encoding`` do not count; its window and overlap do. Plain texts are chunks that stand alone.

    Use the chunker the adapter was trained with (``adapter.chunker``). Vectors are those of another model: the card names the
    adapter's digest, and an index refuses to mix them. To keep vectors on disk wrap the base:
    ``AdaptedEmbedder(CachedEmbedder(base, path=...), path=...)``, and trying another adapter embeds nothing anew.

    ``path`` is the adapter's file, or the Adapter itself. Raises LoadError for a file that is none, and StoreMismatchError,
    when the card is first asked for, if it was trained on another model.
    """

    def __init__(self, base: Embedder, *, path: str | Path | Adapter) -> None:
        self.base = base
        self.adapter = path if isinstance(path, Adapter) else load_adapter(path)

    def __repr__(self) -> str:
        return f"AdaptedEmbedder({self.base!r}, adapter={self.adapter.digest!r})"

    @cached_property
    def card(self) -> ModelCard:
        """The base's card with the adapter's digest among the settings."""
        card = self.base.card
        if not self.adapter.fits(card):
            raise StoreMismatchError(
                f"The adapter {self.adapter.digest} was trained on {self.adapter.base.name!r}, and the embedder is {card.name!r}: "
                f"{'; '.join(self.adapter.differences(card))}. Use that model, or train an adapter for this one."
            )
        return replace(card, settings={**card.settings, "adapter": self.adapter.digest})

    @property
    def tokenizer(self) -> Tokenizer | None:
        """The base's tokenizer."""
        return self.base.tokenizer

    def embed_texts(self, texts: Sequence[str], /) -> Vectors:
        """``(n, dim)`` document-side vectors: each text is its whole document."""
        found = self._checked().embed_texts(texts)
        return turn(mix(np.repeat(found[:, None, :], 3, axis=1), self.adapter.shares), self.adapter.documents)

    def embed_queries(self, texts: Sequence[str], /) -> Vectors:
        """``(n, dim)`` query-side vectors."""
        return turn(self._checked().embed_queries(texts), self.adapter.queries)

    def embed_query(self, text: str, /) -> Vectors:
        """``(dim,)`` query-side vector."""
        vector: Vectors = turn(self._checked().embed_query(text)[None, :], self.adapter.queries)[0]
        return vector

    def embed_chunks(self, document: Document, chunks: Sequence[Chunk], /) -> Vectors:
        """``(n, dim)``; give all chunks of the document where the adapter uses its mean."""
        return self.embed_batch([(document, chunks)])

    def embed_batch(self, items: Items, /) -> Vectors:
        """``embed_chunks`` over many documents at once, rows in order.

        Raises InvalidInputError for chunks whose encoding has no document weight where the adapter uses the mean: an index
        could not know that such a vector changes with its document. Other errors are the base's.
        """
        return self._mixed(items)

    def embed_and_read(self, items: Items, /, *, layers: Sequence[int], receive: Receive) -> Vectors:
        """``embed_batch`` with the base's states of the chunks' tokens, each chunk read alone: an adapter turns vectors only.

        Raises CapabilityError where the base gives no states; other errors as in ``embed_batch``.
        """
        return self._mixed(items, layers=layers, receive=receive)

    def embed_and_read_queries(self, texts: Sequence[str], /, *, layers: Sequence[int]) -> tuple[Vectors, list[TokenStates]]:
        """``embed_queries`` with the base's states of the queries' tokens. Raises CapabilityError where it gives none."""
        vectors, states = needed_reader(self._checked()).embed_and_read_queries(texts, layers=layers)
        return turn(vectors, self.adapter.queries), states

    def read_texts(self, texts: Sequence[str], /, *, layers: Sequence[int]) -> list[list[TokenStates]]:
        """The base's. Raises CapabilityError where it gives none."""
        return needed_reader(self._checked()).read_texts(texts, layers=layers)

    def read_queries(self, texts: Sequence[str], /, *, layers: Sequence[int]) -> list[TokenStates]:
        """The base's. Raises CapabilityError where it gives none."""
        return needed_reader(self._checked()).read_queries(texts, layers=layers)

    def _mixed(self, items: Items, *, layers: Sequence[int] = (), receive: Receive | None = None) -> Vectors:
        shares = self.adapter.shares
        if shares.document:
            for _, chunks in items:
                for chunk in chunks:
                    if not chunk.encoding.document:
                        raise InvalidInputError(
                            f"{describe(chunk)} has no document weight, and this adapter was trained with the document's mean. "
                            f"Chunk with its own chunker: ragkit.chunk.from_recipe({self.adapter.chunker!r})."
                        )
        found = components(self._checked(), items, situated=shares.situated > 0, layers=layers, receive=receive)
        return turn(mix(found, shares), self.adapter.documents)

    def _checked(self) -> Embedder:
        """The base, once its card is known to be the adapter's."""
        assert self.card
        return self.base


def components(
    base: Embedder, items: Items, *, situated: bool = True, layers: Sequence[int] = (), receive: Receive | None = None
) -> Vectors:
    """``(n, 3, dim)``: each chunk read alone, situated, and the unit mean of its document's chunks.

    A chunk without context that is its whole window, or whose encoding says plain=1, is situated as it is alone; all are
    with ``situated=False``. ``base`` is called once, and gives ``receive`` the states of the tokens of each chunk read alone.
    """
    parts: list[tuple[Document, list[Chunk]]] = []
    places: list[tuple[int, int]] = []
    at = 0
    for document, chunks in items:
        read: list[Chunk] = []
        for chunk in chunks:
            read.append(replace(chunk, context="", window=chunk.span, encoding=AS_IT_STANDS))
            same = not chunk.context and chunk.window == chunk.span
            if situated and not same and chunk.encoding.plain < 1:
                read.append(replace(chunk, encoding=replace(chunk.encoding, plain=0.0, document=0.0)))
                places.append((at, at + 1))
                at += 2
            else:
                places.append((at, at))
                at += 1
        parts.append((document, read))
    if receive is None:
        found = base.embed_batch(parts)
    else:
        alone = {first: row for row, (first, _) in enumerate(places)}
        found = needed_reader(base).embed_and_read(parts, layers=layers, receive=only(alone, receive))
    rows = np.array(places, np.int64).reshape(-1, 2)
    result = np.empty((len(rows), 3, found.shape[1]), np.float32)
    result[:, 0], result[:, 1] = found[rows[:, 0]], found[rows[:, 1]]
    first = 0
    for _, chunks in items:
        last = first + len(chunks)
        if last > first:
            result[first:last, 2] = unit(result[first:last, 0].mean(axis=0, keepdims=True))
        first = last
    return result


def mix(read: Vectors, shares: Shares) -> Vectors:
    """``(n, dim)`` unit rows from ``(n, 3, dim)`` readings."""
    weights = np.array([shares.alone, shares.situated, shares.document], np.float32)
    return unit(np.einsum("ncd,c->nd", read, weights))


def turn(vectors: Vectors, matrix: Vectors) -> Vectors:
    """``unit(vectors @ matrix)``, row by row, so that the rest of a batch never changes a row."""
    return unit(np.einsum("nd,de->ne", vectors, matrix))


def unit(vectors: Vectors) -> Vectors:
    """The rows at length 1; a row of zeros stays, which every caller refuses."""
    result: Vectors = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-30)
    return result
