"""Haystack's document splitter."""

from __future__ import annotations

from collections.abc import Iterator

from peers.contender import LIMIT, Contender
from ragkit.testing.conformance import Piece, TextChunker


def make(_: str, tokenizer: str, overlap: int) -> TextChunker:
    from haystack import Document
    from haystack.components.preprocessors import DocumentSplitter

    if tokenizer != "cl100k":
        raise ValueError("Haystack counts with tiktoken only")
    splitter = DocumentSplitter(split_by="token", split_length=LIMIT, split_overlap=overlap, tokenizer_encoding="cl100k_base")

    def run(text: str) -> Iterator[Piece]:
        for document in splitter.run([Document(content=text)])["documents"]:
            start = document.meta["split_idx_start"]
            yield Piece(document.content, start, start + len(document.content))

    return run


CONTENDERS = [
    Contender(
        "haystack",
        "haystack-ai",
        "token",
        make,
        'tokenizer_encoding="cl100k_base"; it counts with tiktoken only',
        tokenizers=("cl100k",),
    ),
]
