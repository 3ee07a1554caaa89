"""Synthetic chunks for benchmarks of search: clustered vectors of 384 dimensions, words by Zipf's law, no embedding model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ragkit import Index
from ragkit.chunk import RecursiveChunker
from ragkit.lexical import Analyzer
from ragkit.store import ChunkStore, DocumentRows, Header
from ragkit.testing.embedders import HashEmbedder
from ragkit.types import Chunk, Span, digest

DIM, WORDS, VOCABULARY = 384, 60, 30_000
#: The commonest words, as frequent as English stop words are: chunks have them, questions lose them.
_COMMON = 100
_CENTRES, _RANK, _BLOCK = 2000, 64, 10_000


class Corpus(NamedTuple):
    """Texts, their tokens and unit vectors ``(n, DIM)``, one per chunk."""

    texts: list[str]
    tokens: list[list[str]]
    vectors: np.ndarray


class Questions(NamedTuple):
    """Questions with unit vectors ``(n, DIM)`` near stored ones."""

    texts: list[str]
    tokens: list[list[str]]
    vectors: np.ndarray


class Known(HashEmbedder):
    """An embedder that knows the questions' vectors already: a benchmark of search measures no model."""

    def __init__(self, questions: Questions | None = None) -> None:
        super().__init__(dim=DIM, name="synthetic")
        self._vectors = dict(zip(questions.texts, questions.vectors, strict=True)) if questions else {}

    def embed_queries(self, texts: Sequence[str]) -> np.ndarray:
        return np.stack([self._vectors[text] for text in texts])


def make(size: int, *, analyzer: Analyzer | None = None) -> Corpus:
    random = np.random.default_rng(0)
    analyzer = analyzer or Analyzer()
    words = random.zipf(1.2, (size, WORDS)) % VOCABULARY
    texts = [" ".join(f"w{word}" for word in row) for row in words.tolist()]
    # Blanks part the words, so a text's tokens are those of its words.
    known = [analyzer.tokens(f"w{word}") for word in range(VOCABULARY)]
    return Corpus(texts, [[token for word in row for token in known[word]] for row in words.tolist()], _vectors(random, size))


def ask(corpus: Corpus, count: int, *, analyzer: Analyzer | None = None, common: bool = False) -> Questions:
    """Questions of six words each, a little off the vector of a chunk by chance, as far as chunks are from each other.

    With ``common`` words they ask for those of every chunk too, as no question does that lost its stop words.
    """
    random = np.random.default_rng(1)
    analyzer = analyzer or Analyzer()
    drawn = random.zipf(1.2, 60 * count) % VOCABULARY
    drawn = drawn if common else drawn[drawn > _COMMON]
    texts = [" ".join(f"w{word}" for word in (100_000 + n, *drawn[6 * n : 6 * n + 6])) for n in range(count)]
    near = corpus.vectors[random.integers(len(corpus.vectors), size=count)]
    vectors = _unit(near + 0.5 / np.sqrt(DIM) * random.standard_normal((count, DIM)).astype(np.float32))
    return Questions(texts, [analyzer.query_tokens(text) for text in texts], vectors)


def stored(corpus: Corpus, questions: Questions, path: Path) -> Index:
    """The corpus as an index, one document a chunk, written in batches and optimized."""
    embedder = Known(questions)
    header = Header(card=embedder.card, analyzer=Analyzer().recipe, chunker=RecursiveChunker(max_tokens=256).recipe, ragkit="0")
    store = ChunkStore.open(path, create=header)
    for block in blocks(corpus):
        store.put(block)
    store.optimize()
    store.close()
    return Index(path, embedder=embedder)


def blocks(corpus: Corpus, *, first: int = 0) -> Iterator[list[DocumentRows]]:
    """The chunks from ``first`` on as rows to store, in batches."""
    for start in range(first, len(corpus.texts), _BLOCK):
        block = []
        for place in range(start, min(start + _BLOCK, len(corpus.texts))):
            text, name = corpus.texts[place], str(place)
            span = Span(0, len(text))
            chunk = Chunk(id=digest(name), doc_id=name, start=0, end=len(text), text=text, window=span, index=0, n_tokens=WORDS)
            block.append(
                DocumentRows(
                    doc_id=name,
                    digest=digest(text),
                    recipe="synthetic",
                    chunks=[chunk],
                    lines=[(1, 1)],
                    lex=[corpus.tokens[place]],
                    keys=[digest("key", name)],
                    vectors=corpus.vectors[place : place + 1],
                )
            )
        yield block


def _vectors(random: np.random.Generator, size: int) -> np.ndarray:
    centres = random.standard_normal((_CENTRES, DIM)).astype(np.float32)
    low = random.standard_normal((_RANK, DIM)).astype(np.float32) / np.sqrt(_RANK)
    vectors = np.empty((size, DIM), np.float32)
    for first in range(0, size, _BLOCK):
        n = min(_BLOCK, size - first)
        spread = random.standard_normal((n, _RANK)).astype(np.float32) @ low
        noise = 0.3 * random.standard_normal((n, DIM)).astype(np.float32)
        vectors[first : first + n] = _unit(centres[random.integers(_CENTRES, size=n)] + 0.7 * spread + noise)
    return vectors


def _unit(rows: np.ndarray) -> np.ndarray:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
