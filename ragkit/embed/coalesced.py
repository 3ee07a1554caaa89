"""Many threads, one model: questions that arrive while it is busy go through it together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from threading import Lock

from ragkit.embed.states import needed_reader
from ragkit.errors import EmbeddingError
from ragkit.seams import Embedder, Receive, Tokenizer, TokenStates, Vectors
from ragkit.types import Chunk, Document, ModelCard


@dataclass(slots=True, eq=False)
class _Wanted:
    """One question on its way."""

    text: str
    vector: Vectors | None = field(default=None)
    error: Exception | None = None

    @property
    def done(self) -> bool:
        return self.vector is not None or self.error is not None


class CoalescingEmbedder:
    """An embedder whose ``embed_query`` may be called by many threads at once: what waits is embedded in one batch.

    A question that finds the model idle goes at once. Those that come while it works wait, and the first of them to get the
    model takes up to ``most`` along. Where a batch fails each of its questions is embedded alone, so that one bad question
    fails alone. Everything else is the wrapped embedder's.
    """

    def __init__(self, embedder: Embedder, *, most: int = 32) -> None:
        self.embedder = embedder
        self._most = most
        self._model = Lock()
        self._list = Lock()
        self._waiting: list[_Wanted] = []

    @property
    def card(self) -> ModelCard:
        """The wrapped embedder's card."""
        return self.embedder.card

    @property
    def tokenizer(self) -> Tokenizer | None:
        """The wrapped embedder's tokenizer."""
        return self.embedder.tokenizer

    def embed_query(self, text: str, /) -> Vectors:
        """``(dim,)`` query-side vector; the wrapped embedder's errors."""
        own = _Wanted(text)
        with self._list:
            self._waiting.append(own)
        with self._model:
            while not own.done:
                with self._list:
                    batch, self._waiting = self._waiting[: self._most], self._waiting[self._most :]
                self._embed(batch)
        if own.error is not None:
            raise own.error
        assert own.vector is not None
        return own.vector

    def _embed(self, batch: Sequence[_Wanted]) -> None:
        try:
            vectors = self.embedder.embed_queries([one.text for one in batch])
        except Exception as error:
            if len(batch) == 1:
                batch[0].error = error
                return
            for one in batch:
                self._embed([one])
            return
        except BaseException:
            # Whoever waits for this batch must not wait for ever.
            for one in batch:
                one.error = EmbeddingError("The pass through the model was interrupted. Ask again.")
            raise
        for one, vector in zip(batch, vectors, strict=True):
            one.vector = vector

    def embed_queries(self, texts: Sequence[str], /) -> Vectors:
        """``(n, dim)`` query-side vectors."""
        return self.embedder.embed_queries(texts)

    def embed_texts(self, texts: Sequence[str], /) -> Vectors:
        """``(n, dim)`` document-side vectors."""
        return self.embedder.embed_texts(texts)

    def embed_chunks(self, document: Document, chunks: Sequence[Chunk], /) -> Vectors:
        """``(n, dim)``, one row per chunk."""
        return self.embedder.embed_chunks(document, chunks)

    def embed_batch(self, items: Sequence[tuple[Document, Sequence[Chunk]]], /) -> Vectors:
        """``embed_chunks`` over many documents at once."""
        return self.embedder.embed_batch(items)

    def embed_and_read(
        self, items: Sequence[tuple[Document, Sequence[Chunk]]], /, *, layers: Sequence[int], receive: Receive
    ) -> Vectors:
        """The wrapped embedder's, out of one pass. Raises CapabilityError where it gives no states; so do the others below."""
        return needed_reader(self.embedder).embed_and_read(items, layers=layers, receive=receive)

    def embed_and_read_queries(self, texts: Sequence[str], /, *, layers: Sequence[int]) -> tuple[Vectors, list[TokenStates]]:
        """The wrapped embedder's, out of one pass."""
        return needed_reader(self.embedder).embed_and_read_queries(texts, layers=layers)

    def read_texts(self, texts: Sequence[str], /, *, layers: Sequence[int]) -> list[list[TokenStates]]:
        """The wrapped embedder's."""
        return needed_reader(self.embedder).read_texts(texts, layers=layers)

    def read_queries(self, texts: Sequence[str], /, *, layers: Sequence[int]) -> list[TokenStates]:
        """The wrapped embedder's."""
        return needed_reader(self.embedder).read_queries(texts, layers=layers)
