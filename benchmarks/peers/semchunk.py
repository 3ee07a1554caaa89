"""semchunk."""

from __future__ import annotations

from peers.contender import LIMIT, Contender
from peers.vocabularies import encoder
from ragkit.testing.conformance import Piece, TextChunker


def make(_: str, tokenizer: str, overlap: int) -> TextChunker:
    import semchunk

    encode = encoder(tokenizer)
    chunker = semchunk.chunkerify(lambda text: len(encode(text)), LIMIT)

    def run(text: str) -> list[Piece]:
        bodies, spans = chunker(text, offsets=True, overlap=overlap or None)
        return [Piece(body, start, end) for body, (start, end) in zip(bodies, spans, strict=True)]

    return run


CONTENDERS = [
    Contender("semchunk", "semchunk", "", make, "offsets=True, a function as counter"),
]
