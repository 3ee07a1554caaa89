"""chonkie: token, sentence and recursive chunkers."""

from __future__ import annotations

from typing import Any

from peers.contender import LIMIT, Contender
from peers.vocabularies import encoder, vocabulary
from ragkit.testing.conformance import Piece, TextChunker


def make(kind: str, tokenizer: str, overlap: int) -> TextChunker:
    import chonkie

    held = vocabulary(tokenizer)
    if kind == "sentence" and tokenizer == "cl100k":
        encode = encoder(tokenizer)

        def held(text: str) -> int:
            return len(encode(text))

    if kind == "token":
        chunker: Any = chonkie.TokenChunker(held, chunk_size=LIMIT, chunk_overlap=overlap)
    elif kind == "sentence":
        delimiters = [". ", "! ", "? ", "\n", "。", "！", "？"]
        chunker = chonkie.SentenceChunker(
            held, chunk_size=LIMIT, chunk_overlap=overlap, delim=delimiters, min_characters_per_sentence=1
        )
    else:
        chunker = chonkie.RecursiveChunker(held, chunk_size=LIMIT, min_characters_per_chunk=1)
    return lambda text: [Piece(c.text, c.start_index, c.end_index, c.token_count) for c in chunker.chunk(text)]


CONTENDERS = [
    Contender("chonkie", "chonkie", "token", make, "defaults"),
    Contender(
        "chonkie",
        "chonkie",
        "sentence",
        make,
        "full-width sentence ends added, min_characters_per_sentence=1, tiktoken through a function that takes special tokens as text",
    ),
    Contender("chonkie", "chonkie", "recursive", make, "min_characters_per_chunk=1", overlaps=False),
]
