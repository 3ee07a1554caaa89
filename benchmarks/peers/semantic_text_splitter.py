"""semantic-text-splitter (Rust)."""

from __future__ import annotations

from peers.contender import LIMIT, Contender
from peers.vocabularies import vocabulary
from ragkit.testing.conformance import Piece, TextChunker


def make(_: str, tokenizer: str, overlap: int) -> TextChunker:
    from semantic_text_splitter import TextSplitter

    if tokenizer == "cl100k":
        splitter = TextSplitter.from_tiktoken_model("gpt-4", LIMIT, overlap=overlap, trim=False)
    else:
        splitter = TextSplitter.from_huggingface_tokenizer(vocabulary(tokenizer), LIMIT, overlap=overlap, trim=False)
    return lambda text: [Piece(body, start, start + len(body)) for start, body in splitter.chunk_indices(text)]


CONTENDERS = [
    Contender("semantic_text_splitter", "semantic-text-splitter", "", make, "trim=False, chunk_indices"),
]
