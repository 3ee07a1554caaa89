"""Embedders across the door, both ways."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from langchain_core.embeddings import Embeddings

from ragkit.errors import CapabilityError, EmbeddingError, InvalidInputError, RagkitError, TextTooLongError
from ragkit.seams import Embedder, Tokenizer, Vectors
from ragkit.text import resolve_tokenizer
from ragkit.types import Chunk, Document, ModelCard
from ragkit.vec.mixing import embed_mixed


class RagkitEmbeddings(Embeddings):
    """Any ragkit embedder as LangChain ``Embeddings``: unit vectors, queries and documents with their own prompts."""

    def __init__(self, embedder: Embedder) -> None:
        self.embedder = embedder

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """One vector per text, in order."""
        rows: list[list[float]] = self.embedder.embed_texts(texts).tolist()
        return rows

    def embed_query(self, text: str) -> list[float]:
        """The query-side vector."""
        row: list[float] = self.embedder.embed_query(text).tolist()
        return row


class LangChainEmbedder:
    """LangChain ``Embeddings`` as a ragkit embedder.

    ``name`` says which model it is, and is written into every store: LangChain does not tell, and vectors of
    two models must never meet. ``dim`` is asked of the model on first use when not given. ``window`` is the
    longest input in tokens; it is checked before anything is sent when ``tokenizer`` (whatever
    ``ragkit.text.resolve_tokenizer`` takes) is given, and otherwise left to the model.

    LangChain embeds texts, not tokens, so a chunk whose window is more than its span (late chunking) raises
    CapabilityError. A chunk's context is put before its text, with a line end between.

    Vectors are scaled to unit length. Raises EmbeddingError when the model fails or gives vectors of another
    number or length than asked, not finite, or zero.
    """

    def __init__(
        self,
        embeddings: Embeddings,
        *,
        name: str,
        dim: int | None = None,
        window: int = 8192,
        tokenizer: object = None,
    ) -> None:
        if not isinstance(embeddings, Embeddings):
            raise InvalidInputError(
                f"embeddings is a {type(embeddings).__name__}; LangChainEmbedder takes a langchain_core.embeddings.Embeddings."
            )
        if not name:
            raise InvalidInputError("name is empty; name the model, for example name='text-embedding-3-small'.")
        for label, value in (("dim", dim), ("window", window)):
            if value is not None and value < 1:
                raise InvalidInputError(f"{label} is {value}; it must be at least 1.")
        self.embeddings = embeddings
        self._name = name
        self._dim = dim
        self._window = window
        self._tokenizer = None if tokenizer is None else resolve_tokenizer(tokenizer)

    @property
    def tokenizer(self) -> Tokenizer | None:
        """The tokenizer that was given, or None."""
        return self._tokenizer

    @property
    def card(self) -> ModelCard:
        """The model's card; asks the model for one vector when ``dim`` is not known yet."""
        if self._dim is None:
            self.embed_query("dimension")
        assert self._dim is not None
        return ModelCard(name=self._name, dim=self._dim, pooling="langchain", window=self._window)

    def embed_texts(self, texts: Sequence[str], /) -> Vectors:
        """``(n, dim)`` unit rows by ``embed_documents``."""
        texts = list(texts)
        self._fits(texts)
        if not texts:
            return np.zeros((0, self.card.dim), dtype=np.float32)
        try:
            rows = self.embeddings.embed_documents(texts)
        except RagkitError:
            raise
        except Exception as error:
            raise EmbeddingError(f"{self._name} failed on {len(texts)} texts: {type(error).__name__}: {error}") from error
        return self._checked(rows, len(texts))

    def embed_query(self, text: str, /) -> Vectors:
        """``(dim,)`` unit vector by ``embed_query``."""
        self._fits([text])
        try:
            row = self.embeddings.embed_query(text)
        except RagkitError:
            raise
        except Exception as error:
            raise EmbeddingError(f"{self._name} failed on a query: {type(error).__name__}: {error}") from error
        vector: Vectors = self._checked([row], 1)[0]
        return vector

    def embed_queries(self, texts: Sequence[str], /) -> Vectors:
        """``(n, dim)``: one call per query, LangChain has no batched one."""
        if not texts:
            return np.zeros((0, self.card.dim), dtype=np.float32)
        return np.stack([self.embed_query(text) for text in texts])

    def embed_chunks(self, document: Document, chunks: Sequence[Chunk], /) -> Vectors:
        """``(n, dim)`` vectors of context and text. CapabilityError for chunks that ask for a wider window."""
        return self.embed_batch([(document, chunks)])

    def embed_batch(self, items: Sequence[tuple[Document, Sequence[Chunk]]], /) -> Vectors:
        """``embed_chunks`` over many documents in one call of the model."""
        return embed_mixed(items, self._embed_read)

    def _embed_read(self, items: Sequence[tuple[Document, Sequence[Chunk]]]) -> Vectors:
        texts = []
        for _, chunks in items:
            for chunk in chunks:
                if chunk.window != chunk.span:
                    raise CapabilityError(
                        f"Chunk {chunk.id} of {chunk.doc_id} asks for a window wider than its span, and LangChain embeddings give no "
                        "token vectors. Use a chunker without late chunking, or ragkit.embed.TransformerEmbedder."
                    )
                texts.append(f"{chunk.context}\n{chunk.text}" if chunk.context else chunk.text)
        return self.embed_texts(texts)

    def _fits(self, texts: list[str]) -> None:
        if self._tokenizer is None:
            return
        for place, count in enumerate(self._tokenizer.count_batch(texts)):
            if count + self._tokenizer.n_special > self._window:
                raise TextTooLongError(
                    f"Text {place} has {count + self._tokenizer.n_special} tokens with special tokens; {self._name} reads at most "
                    f"{self._window}. Use smaller chunks."
                )

    def _checked(self, rows: Sequence[Sequence[float]], n: int) -> Vectors:
        try:
            vectors = np.asarray(rows, dtype=np.float64)
        except (TypeError, ValueError) as error:
            raise EmbeddingError(f"{self._name} gave vectors of unequal lengths or other things than numbers.") from error
        if vectors.ndim != 2 or len(vectors) != n or vectors.shape[1] == 0:
            raise EmbeddingError(f"{self._name} gave vectors of shape {vectors.shape} for {n} texts; ({n}, dim) is needed.")
        if self._dim is not None and vectors.shape[1] != self._dim:
            raise EmbeddingError(
                f"{self._name} gave vectors of {vectors.shape[1]} numbers where dim is {self._dim}. "
                f"Pass dim={vectors.shape[1]} if that is the model's size; a store made with another dim must be built again."
            )
        norms = np.linalg.norm(vectors, axis=1, keepdims=True)
        bad = ~np.isfinite(norms[:, 0]) | (norms[:, 0] == 0)
        if bad.any():
            raise EmbeddingError(f"{self._name} gave a vector that is zero or not finite for text {int(bad.argmax())} of {n}.")
        self._dim = vectors.shape[1]
        unit: Vectors = (vectors / norms).astype(np.float32)
        return unit
