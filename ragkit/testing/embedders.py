"""A deterministic embedder without a model: real enough to search with, cheap enough for thousands of texts."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from hashlib import blake2b

import numpy as np

from ragkit.errors import InvalidInputError
from ragkit.seams import Tokenizer, Vectors
from ragkit.text import resolve_tokenizer
from ragkit.types import Chunk, Document, ModelCard
from ragkit.vec.mixing import embed_mixed

_WORD = re.compile(r"\w+")


@lru_cache(maxsize=65536)
def _direction(word: str, dim: int) -> Vectors:
    state = blake2b(word.encode("utf-8", "surrogatepass"), digest_size=8)
    return np.random.default_rng(int.from_bytes(state.digest(), "little")).standard_normal(dim).astype(np.float32)


class HashEmbedder:
    """Adds a fixed random direction per word: texts that share words are near, and equal texts equal.

    ``dim`` is the length of a vector; ``window`` the longest input in tokens of the tokenizer "words". Words of a
    chunk's context count half, those of its window a quarter. ``calls`` counts texts and chunks embedded so far.
    """

    def __init__(self, *, dim: int = 32, window: int = 512, name: str = "hash") -> None:
        if dim < 1 or window < 1:
            raise InvalidInputError(f"dim is {dim} and window {window}; both must be at least 1.")
        self.card = ModelCard(name=name, dim=dim, pooling="sum", window=window)
        self.tokenizer: Tokenizer = resolve_tokenizer("words")
        self.calls = 0

    def _embed(self, *weighted: tuple[str, float]) -> Vectors:
        total = np.zeros(self.card.dim, np.float32)
        for text, weight in weighted:
            for word in _WORD.findall(text.lower()):
                total += weight * _direction(word, self.card.dim)
        if not total.any():
            total = total + _direction("", self.card.dim)
        self.calls += 1
        unit: Vectors = total / np.linalg.norm(total)
        return unit

    def embed_texts(self, texts: Sequence[str], /) -> Vectors:
        """``(n, dim)`` unit rows."""
        rows = [self._embed((text, 1.0)) for text in texts]
        return np.stack(rows) if rows else np.empty((0, self.card.dim), np.float32)

    def embed_query(self, text: str, /) -> Vectors:
        """``(dim,)``, unit length."""
        return self._embed((text, 1.0))

    def embed_queries(self, texts: Sequence[str], /) -> Vectors:
        """``(n, dim)`` unit rows, equal to those of ``embed_texts``."""
        return self.embed_texts(texts)

    def embed_chunks(self, document: Document, chunks: Sequence[Chunk], /) -> Vectors:
        """``(n, dim)`` unit rows, one per chunk, mixed as its encoding says."""
        return self.embed_batch([(document, chunks)])

    def embed_batch(self, items: Sequence[tuple[Document, Sequence[Chunk]]], /) -> Vectors:
        """``embed_chunks`` of each document, rows in order."""
        return embed_mixed(items, self._read)

    def _read(self, items: Sequence[tuple[Document, Sequence[Chunk]]]) -> Vectors:
        rows = [self._chunk(document, chunk) for document, chunks in items for chunk in chunks]
        return np.stack(rows) if rows else np.empty((0, self.card.dim), np.float32)

    def _chunk(self, document: Document, chunk: Chunk) -> Vectors:
        around = document.text[chunk.window.start : chunk.start] + " " + document.text[chunk.end : chunk.window.end]
        return self._embed((chunk.text, 1.0), (chunk.context, 0.5), (around, 0.25))
