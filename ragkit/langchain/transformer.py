"""Chunks with their contexts for LangChain pipelines that keep documents and vectors elsewhere."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from langchain_core.documents import BaseDocumentTransformer
from langchain_core.documents import Document as LangChainDocument

from ragkit.chunk import RecursiveChunker
from ragkit.embed import TransformerEmbedder
from ragkit.index.binding import bound
from ragkit.langchain.documents import piece_of, to_chunk
from ragkit.seams import Chunker, Embedder
from ragkit.types import Chunk, Document


class RagkitDocumentTransformer(BaseDocumentTransformer):
    """Cut documents by any chunker or pipeline, and embed the pieces as their recipe says: late, situated, or plain.

    ``transform_documents`` returns the pieces. ``embed_documents`` returns them with their vectors, for another vector store's
    ``add_embeddings``: a vector made with context cannot be made from a piece's text alone. ``chunker`` is bound
    to the embedder's tokenizer; it defaults to ``RecursiveChunker(max_tokens=256)`` and ``embedder`` to
    ``TransformerEmbedder()``, loaded when it is first needed.

    A piece's ``page_content`` is exactly a slice of the document. Its metadata is a copy of the document's, plus what the
    chunker found (``headings``), ``start_index`` and, with ``add_context``, ``context``: what the model read beside it.

        transformer = RagkitDocumentTransformer(RecursiveChunker(200) | Late(blend=0.5))
        pieces, vectors = transformer.embed_documents(documents)
    """

    def __init__(self, chunker: Chunker | None = None, *, embedder: Embedder | None = None, add_context: bool = False) -> None:
        self.embedder: Embedder = TransformerEmbedder() if embedder is None else embedder
        chunker = RecursiveChunker(max_tokens=256) if chunker is None else chunker
        self.chunker = bound(chunker, self.embedder)
        self.add_context = add_context

    def transform_documents(self, documents: Sequence[LangChainDocument], **kwargs: Any) -> list[LangChainDocument]:
        """The pieces of each document, in order. Raises what the chunker raises."""
        return [self._piece(original, chunk) for original, _, chunks in self._cut(documents) for chunk in chunks]

    def embed_documents(self, documents: Sequence[LangChainDocument]) -> tuple[list[LangChainDocument], list[list[float]]]:
        """The pieces, and a unit vector for each, in order. Raises what the chunker and the embedder raise."""
        cut = self._cut(documents)
        vectors: list[list[float]] = self.embedder.embed_batch([(document, chunks) for _, document, chunks in cut]).tolist()
        return [self._piece(original, chunk) for original, _, chunks in cut for chunk in chunks], vectors

    def _cut(self, documents: Iterable[LangChainDocument]) -> list[tuple[LangChainDocument, Document, list[Chunk]]]:
        read = [(original, to_chunk(original)) for original in documents]
        return [(original, document, self.chunker(document)) for original, document in read]

    def _piece(self, original: LangChainDocument, chunk: Chunk) -> LangChainDocument:
        return piece_of(original, chunk, start_index=True, context=self.add_context)
