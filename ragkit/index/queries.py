"""Questions to vectors, whatever their length."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ragkit.chunk import SentenceChunker
from ragkit.embed import AsymmetricEmbedder
from ragkit.seams import Embedder, Tokenizer, TokenReader, TokenStates, Vectors
from ragkit.types import Document


def vectors_and_states(
    reader: TokenReader, embedder: Embedder, queries: Sequence[str], layers: Sequence[int]
) -> tuple[Vectors, list[TokenStates]]:
    """``query_vectors``, and the states of each question's tokens out of the same pass; a second one where a question is too long."""
    if _fit(embedder, queries):
        return reader.embed_and_read_queries(queries, layers=layers)
    return query_vectors(embedder, queries), reader.read_queries(queries, layers=layers)


def _fit(embedder: Embedder, queries: Sequence[str]) -> bool:
    tokenizer = embedder.tokenizer
    return (
        tokenizer is not None
        and max(tokenizer.count_batch(queries), default=0) + _reserve(embedder, tokenizer) <= embedder.card.window
    )


def _reserve(embedder: Embedder, tokenizer: Tokenizer, *, passages: bool = False) -> int:
    prompt = embedder.card.document_prompt if passages else embedder.card.query_prompt
    return tokenizer.n_special + (tokenizer.count_batch([prompt])[0] if prompt else 0)


def query_vectors(embedder: Embedder, queries: Sequence[str]) -> Vectors:
    """``(n, dim)`` unit rows, one per question.

    A question beyond the model's window is cut into sentences and embedded in as few windows as hold it; its vector is
    the mean of theirs, weighted by tokens (parallel windows, Zhu et al., "LongEmbed", 2024). Nothing of it is dropped. Without
    the model's own tokenizer the model itself judges the length.
    """
    return _vectors(embedder, queries, passages=False)


def passage_vectors(embedder: Embedder, texts: Sequence[str]) -> Vectors:
    """``query_vectors`` for texts that are worded like documents: embedded as the model embeds those."""
    return _vectors(embedder, texts, passages=True)


def _vectors(embedder: Embedder, texts: Sequence[str], *, passages: bool) -> Vectors:
    if isinstance(embedder, AsymmetricEmbedder):
        embedder = embedder.documents if passages else embedder.asking
    embed = embedder.embed_texts if passages else embedder.embed_queries
    tokenizer, window = embedder.tokenizer, embedder.card.window
    if tokenizer is None:
        return embed(texts)
    reserve = _reserve(embedder, tokenizer, passages=passages)
    counts = tokenizer.count_batch(texts)
    if max(counts, default=0) + reserve <= window:
        return embed(texts)
    chunker = SentenceChunker(window, tokenizer=tokenizer, reserve=reserve)
    pieces: list[str] = []
    weights: list[int] = []
    owners: list[int] = []
    for place, (text, count) in enumerate(zip(texts, counts, strict=True)):
        parts = [(text, count)] if count + reserve <= window else [(c.text, c.n_tokens) for c in chunker(Document(text))]
        pieces += [piece for piece, _ in parts]
        weights += [max(1, tokens) for _, tokens in parts]
        owners += [place] * len(parts)
    vectors = embed(pieces)
    sums = np.zeros((len(texts), vectors.shape[1]), np.float32)
    np.add.at(sums, owners, vectors * np.asarray(weights, np.float32)[:, None])
    unit: Vectors = sums / np.linalg.norm(sums, axis=1, keepdims=True)
    return unit
