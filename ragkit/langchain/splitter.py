"""Any ragkit chunker as a LangChain text splitter."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import Any

from langchain_core.documents import Document as LangChainDocument
from langchain_text_splitters import TextSplitter

from ragkit.chunk import RecursiveChunker
from ragkit.errors import InvalidInputError
from ragkit.seams import Chunker
from ragkit.types import Document


class RagkitTextSplitter(TextSplitter):
    """Split by a ragkit chunker: a hard token limit, exact offsets, nothing lost.

    ``chunker`` defaults to ``RecursiveChunker(max_tokens=256)``; sizes are its tokens. Each piece is a slice
    of the text, white space included. Its metadata is a deep copy of the document's, plus what the chunker
    found (``headings`` of Markdown, for instance) and ``start_index``, the piece's first character, always exact. Pieces
    of a document with an id have ids too, the same ones each time.

        splitter = RagkitTextSplitter(MarkdownChunker(max_tokens=200, tokenizer="cl100k_base"))
        pieces = splitter.split_documents(documents)
    """

    def __init__(self, chunker: Chunker | None = None, *, add_start_index: bool = True) -> None:
        super().__init__(add_start_index=add_start_index)
        self.chunker: Chunker = RecursiveChunker() if chunker is None else chunker

    def split_text(self, text: str) -> list[str]:
        """The texts of the chunks, in order."""
        return [chunk.text for chunk in self.chunker(Document(text))]

    def create_documents(self, texts: list[str], metadatas: list[dict[Any, Any]] | None = None) -> list[LangChainDocument]:
        """Split each text; ``metadatas`` has one entry per text. InvalidInputError when their numbers differ."""
        if metadatas is not None and len(metadatas) != len(texts):
            raise InvalidInputError(
                f"{len(texts)} texts and {len(metadatas)} metadatas: give one metadata dict per text, or none."
            )
        return self.split_documents(
            LangChainDocument(page_content=text, metadata=metadata)
            for text, metadata in zip(texts, metadatas or [{} for _ in texts], strict=True)
        )

    def split_documents(self, documents: Iterable[LangChainDocument]) -> list[LangChainDocument]:
        """Split each document, in order."""
        pieces = []
        for document in documents:
            # Chunkers read nothing of the metadata but this, and LangChain's may hold what JSON cannot.
            known = {key: value for key in ("source", "title") if isinstance(value := document.metadata.get(key), str)}
            for chunk in self.chunker(Document(document.page_content, id=document.id or "", metadata=known)):
                metadata = copy.deepcopy(document.metadata) | dict(chunk.metadata)
                if chunk.context:
                    metadata["context"] = chunk.context
                if self._add_start_index:
                    metadata["start_index"] = chunk.start
                pieces.append(LangChainDocument(page_content=chunk.text, metadata=metadata, id=chunk.id if document.id else None))
        return pieces

    @classmethod
    def from_tiktoken_encoder(  # type: ignore[override]
        cls,
        encoding_name: str = "cl100k_base",
        model_name: str | None = None,
        *,
        chunk_size: int = 256,
        chunk_overlap: int = 0,
        add_start_index: bool = True,
    ) -> RagkitTextSplitter:
        """A recursive splitter that counts with a tiktoken encoding, or with that of an OpenAI model."""
        if model_name is not None:
            import tiktoken

            encoding_name = tiktoken.encoding_name_for_model(model_name)
        return cls._counting(encoding_name, chunk_size, chunk_overlap, add_start_index)

    @classmethod
    def from_huggingface_tokenizer(  # type: ignore[override]
        cls, tokenizer: Any, *, chunk_size: int = 256, chunk_overlap: int = 0, add_start_index: bool = True
    ) -> RagkitTextSplitter:
        """A recursive splitter that counts with a fast Hugging Face tokenizer."""
        return cls._counting(tokenizer, chunk_size, chunk_overlap, add_start_index)

    @classmethod
    def _counting(cls, tokenizer: Any, size: int, overlap: int, add_start_index: bool) -> RagkitTextSplitter:
        chunker = RecursiveChunker(max_tokens=size, overlap=overlap, tokenizer=tokenizer)
        return cls(chunker, add_start_index=add_start_index)
