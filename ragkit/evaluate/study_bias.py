"""Position bias on documents at hand: their chunks are the texts, sentences of elsewhere the foreign text."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from ragkit.chunk import RecursiveChunker, SentenceChunker
from ragkit.errors import InvalidInputError
from ragkit.evaluate.bias import BiasReport, bias_probe
from ragkit.seams import Embedder
from ragkit.types import Document

_FOREIGN = 32  # tokens, about a sentence


def bias_of(documents: Sequence[Document], *, embedder: Embedder, size: int = 200, limit: int = 200, seed: int = 0) -> BiasReport:
    """``bias_probe`` on up to ``limit`` chunks of ``size`` tokens chosen by chance, each with a sentence or two of another document.

    With one document only, the foreign text comes from another chunk of it. Raises InvalidInputError when the size leaves no room
    for foreign text in the model's window, or when there are fewer than two chunks of text.
    """
    card, tokenizer = embedder.card, embedder.tokenizer
    if card.window and size + _FOREIGN > card.window:
        raise InvalidInputError(
            f"Texts of {size} tokens with {_FOREIGN} of foreign text are beyond the model's window of {card.window}; "
            f"use a size of at most {card.window - _FOREIGN}."
        )
    long, short = RecursiveChunker(size), SentenceChunker(_FOREIGN)
    if tokenizer is not None:
        long, short = long.bind(tokenizer), short.bind(tokenizer)
    random = Random(seed)
    texts = [
        (document.id, chunk.text)
        for document in documents
        if document.text.strip()
        for chunk in long(document)
        if chunk.text.strip()
    ]
    if len(texts) < 2:
        raise InvalidInputError(
            f"There are {len(texts)} chunks of {size} tokens; a probe needs at least two. Give longer documents."
        )
    chosen = random.sample(range(len(texts)), min(limit, len(texts)))
    foreign: list[str] = []
    for at in chosen:
        others = [place for place, (doc_id, _) in enumerate(texts) if doc_id != texts[at][0]]
        others = others or [place for place in range(len(texts)) if place != at]
        pieces = [piece.text for piece in short(Document(texts[random.choice(others)][1])) if piece.text.strip()]
        foreign.append(random.choice(pieces))
    return bias_probe(embedder, [texts[at][1] for at in chosen], foreign)
