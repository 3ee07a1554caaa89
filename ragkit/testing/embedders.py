"""A deterministic embedder without a model: real enough to search with, cheap enough for thousands of texts."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from hashlib import blake2b

import numpy as np

from ragkit.errors import InvalidInputError
from ragkit.seams import Receive, Tokenizer, TokenStates, Vectors
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


class HashReader(HashEmbedder):
    """A HashEmbedder that also gives token states: a word's own direction, and a share of its neighbours' in deeper layers.

    ``reads`` counts passes over texts and chunks for their states. A pass holds at most ``window`` words.
    """

    def __init__(self, *, dim: int = 32, window: int = 512, name: str = "hash") -> None:
        super().__init__(dim=dim, window=window, name=name)
        self.card = replace(self.card, weights=f"hash of {dim} numbers")
        self.reads = 0

    def embed_and_read(
        self, items: Sequence[tuple[Document, Sequence[Chunk]]], /, *, layers: Sequence[int], receive: Receive
    ) -> Vectors:
        """``embed_batch``; the states of a chunk are those of its text alone."""
        texts = [chunk.text for _, chunks in items for chunk in chunks]
        # Not in order, as a model that sorts its inputs by length would.
        for row in sorted(range(len(texts)), key=lambda at: -len(texts[at])):
            for number, states in enumerate(self._passes(texts[row], layers)):
                receive(row, number, states)
        return self.embed_batch(items)

    def embed_and_read_queries(self, texts: Sequence[str], /, *, layers: Sequence[int]) -> tuple[Vectors, list[TokenStates]]:
        """``embed_queries`` and ``read_queries``."""
        return self.embed_queries(texts), self.read_queries(texts, layers=layers)

    def read_texts(self, texts: Sequence[str], /, *, layers: Sequence[int]) -> list[list[TokenStates]]:
        """For each text its passes of at most ``window`` words."""
        return [self._passes(text, layers) for text in texts]

    def read_queries(self, texts: Sequence[str], /, *, layers: Sequence[int]) -> list[TokenStates]:
        """For each query its words, passes put together."""
        found = []
        for passes in self.read_texts(texts, layers=layers):
            ids, starts, ends, states = (np.concatenate(parts) for parts in zip(*passes, strict=True))
            found.append(TokenStates(ids, starts, ends, states))
        return found

    def _passes(self, text: str, layers: Sequence[int]) -> list[TokenStates]:
        self.reads += 1
        words = list(_WORD.finditer(text))
        passes = [words[at : at + self.card.window] for at in range(0, len(words), self.card.window)]
        return [self._states(some, layers) for some in passes or [[]]]

    def _states(self, words: Sequence[re.Match[str]], layers: Sequence[int]) -> TokenStates:
        rows = np.stack([_direction(word[0].lower(), self.card.dim) for word in words] or [np.empty(0, np.float32)])
        rows = rows.reshape(len(words), self.card.dim)
        around = np.zeros_like(rows)
        around[1:] += rows[:-1]
        around[:-1] += rows[1:]
        return TokenStates(
            np.array([int(blake2b(word[0].lower().encode(), digest_size=2).hexdigest(), 16) for word in words], np.int32),
            np.array([word.start() for word in words], np.int64),
            np.array([word.end() for word in words], np.int64),
            np.concatenate([rows + 0.1 * layer * around for layer in layers], axis=1),
        )
