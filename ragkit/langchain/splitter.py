"""Any ragkit chunker as a LangChain text splitter."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator, Sequence
from typing import Any

from langchain_core.documents import Document as LangChainDocument
from langchain_core.runnables.config import run_in_executor
from langchain_text_splitters import TextSplitter

from ragkit.chunk import RecursiveChunker
from ragkit.chunk.separators import Separator
from ragkit.chunk.sizes import Size
from ragkit.errors import InvalidInputError
from ragkit.langchain.documents import piece_of, to_chunk
from ragkit.seams import Chunker
from ragkit.types import Document


class RagkitTextSplitter(TextSplitter):
    """Split by a ragkit chunker: a hard token limit, exact offsets, nothing lost.

    ``chunker`` is any ragkit chunker or pipeline, by default ``RecursiveChunker(max_tokens=256)``; sizes are its tokens. Each piece is a slice
    of the text, white space included. Its metadata is a deep copy of the document's, plus what the chunker
    found (``headings`` of Markdown, ``context`` of a table's rows, ``parents``) and ``start_index``, the piece's first character, always exact. Pieces
    of a document with an id have ids too, the same ones each time.

        splitter = RagkitTextSplitter(MarkdownChunker(max_tokens=200, tokenizer="cl100k_base"))
        pieces = splitter.split_documents(documents)
    """

    def __init__(self, chunker: Chunker | None = None, *, add_start_index: bool = True) -> None:
        if isinstance(chunker, type) or not (chunker is None or isinstance(chunker, Chunker)):
            raise InvalidInputError(
                f"chunker is {chunker!r}, no ragkit chunker. Pass one, such as RecursiveChunker(max_tokens=200), or use "
                "from_tiktoken_encoder."
            )
        super().__init__(add_start_index=add_start_index, strip_whitespace=False, keep_separator="end")
        self.chunker: Chunker = RecursiveChunker() if chunker is None else chunker

    def split_text(self, text: str) -> list[str]:
        """The texts of the chunks, in order."""
        return [chunk.text for chunk in self.chunker(Document(text))]

    def create_documents(self, texts: list[str], metadatas: list[dict[Any, Any]] | None = None) -> list[LangChainDocument]:
        """Split each text; ``metadatas`` has one entry per text. InvalidInputError when their numbers differ."""
        given: Any = texts
        if isinstance(given, str):
            raise InvalidInputError("texts is one str; give a list: create_documents([text]).")
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
        return list(self.lazy_split_documents(documents))

    def lazy_split_documents(self, documents: Iterable[LangChainDocument]) -> Iterator[LangChainDocument]:
        """The pieces of each document, in order, while they are asked for; nothing is gathered."""
        for document in documents:
            if not isinstance(document, LangChainDocument):
                raise InvalidInputError(
                    f"{type(document).__name__} is no LangChain Document. Give a list of Documents, or texts to create_documents."
                )
            for chunk in self.chunker.stream([to_chunk(document)]):
                yield piece_of(document, chunk, start_index=self._add_start_index, context=True)

    async def asplit_text(self, text: str) -> list[str]:
        """``split_text`` in a worker thread."""
        return await run_in_executor(None, self.split_text, text)

    async def asplit_documents(
        self, documents: Iterable[LangChainDocument] | AsyncIterable[LangChainDocument]
    ) -> list[LangChainDocument]:
        """``split_documents`` in a worker thread, one document at a time."""
        return [piece async for piece in self.alazy_split_documents(documents)]

    async def alazy_split_documents(
        self, documents: Iterable[LangChainDocument] | AsyncIterable[LangChainDocument]
    ) -> AsyncIterator[LangChainDocument]:
        """The pieces of each document, in order, each document split in a worker thread when it is reached.

        Takes what a loader's ``alazy_load`` gives.
        """
        if isinstance(documents, AsyncIterable):
            async for document in documents:
                for piece in await run_in_executor(None, self.split_documents, [document]):
                    yield piece
        else:
            for document in documents:
                for piece in await run_in_executor(None, self.split_documents, [document]):
                    yield piece

    @classmethod
    def from_tiktoken_encoder(  # type: ignore[override]
        cls,
        encoding_name: str = "cl100k_base",
        model_name: str | None = None,
        *,
        chunk_size: Size = 256,
        chunk_overlap: int = 0,
        separators: Sequence[Separator] | None = None,
        add_start_index: bool = True,
    ) -> RagkitTextSplitter:
        """A recursive splitter that counts with a tiktoken encoding, or with that of an OpenAI model.

        ``chunk_size`` may be a range ``(least, most)``; ``separators`` are those of ``RecursiveChunker``.
        """
        if model_name is not None:
            import tiktoken

            try:
                encoding_name = tiktoken.encoding_name_for_model(model_name)
            except KeyError as error:
                raise InvalidInputError(
                    f"tiktoken knows no encoding of the model {model_name!r}. Give its encoding_name, such as 'o200k_base'."
                ) from error
        return cls._counting(encoding_name, chunk_size, chunk_overlap, separators, add_start_index)

    @classmethod
    def from_huggingface_tokenizer(  # type: ignore[override]
        cls,
        tokenizer: Any,
        *,
        chunk_size: Size = 256,
        chunk_overlap: int = 0,
        separators: Sequence[Separator] | None = None,
        add_start_index: bool = True,
    ) -> RagkitTextSplitter:
        """A recursive splitter that counts with a fast Hugging Face tokenizer; sizes and separators as above."""
        return cls._counting(tokenizer, chunk_size, chunk_overlap, separators, add_start_index)

    @classmethod
    def _counting(
        cls, tokenizer: Any, size: Size, overlap: int, separators: Sequence[Separator] | None, add_start_index: bool
    ) -> RagkitTextSplitter:
        chunker = RecursiveChunker(size, overlap=overlap, tokenizer=tokenizer, separators=separators)
        return cls(chunker, add_start_index=add_start_index)
