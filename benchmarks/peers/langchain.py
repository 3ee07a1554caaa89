"""LangChain's text splitters."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from peers.contender import LIMIT, Contender
from peers.vocabularies import encoder, vocabulary
from ragkit.testing.conformance import Piece, TextChunker


def make(kind: str, tokenizer: str, overlap: int) -> TextChunker:
    from langchain_text_splitters import RecursiveCharacterTextSplitter, TextSplitter, TokenTextSplitter, split_text_on_tokens
    from langchain_text_splitters.base import Tokenizer

    common: dict[str, Any] = {
        "chunk_size": LIMIT,
        "chunk_overlap": overlap,
        "add_start_index": True,
        "strip_whitespace": False,
    }
    if kind == "recursive":
        encode = encoder(tokenizer)
        splitter: TextSplitter = RecursiveCharacterTextSplitter(length_function=lambda text: len(encode(text)), **common)
    elif tokenizer == "cl100k":
        splitter = TokenTextSplitter(encoding_name="cl100k_base", disallowed_special=(), **common)
    else:
        window = Tokenizer(
            chunk_overlap=overlap, tokens_per_chunk=LIMIT, decode=vocabulary(tokenizer).decode, encode=encoder(tokenizer)
        )

        class Splitter(TextSplitter):
            def split_text(self, text: str) -> list[str]:
                return split_text_on_tokens(text=text, tokenizer=window)

        splitter = Splitter(**common)

    def run(text: str) -> Iterator[Piece]:
        for document in splitter.create_documents([text]):
            start = document.metadata["start_index"]
            yield Piece(document.page_content, start, start + len(document.page_content))

    return run


CONTENDERS = [
    Contender(
        "langchain_text_splitters",
        "langchain-text-splitters",
        "token",
        make,
        "disallowed_special=(), strip_whitespace=False, add_start_index=True",
    ),
    Contender(
        "langchain_text_splitters",
        "langchain-text-splitters",
        "recursive",
        make,
        "strip_whitespace=False, add_start_index=True, a function as length",
    ),
]
