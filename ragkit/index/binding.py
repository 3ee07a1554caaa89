"""A chunker on an embedder: what the model cannot read is said when the two meet, not when the first document comes."""

from __future__ import annotations

from ragkit.chunk import Late, Pipeline
from ragkit.errors import CapabilityError, InvalidInputError
from ragkit.seams import Chunker, Embedder
from ragkit.types import ModelCard

#: Poolings, as cards name them, of services that return one vector per text.
_ONE_VECTOR = ("remote", "langchain")


def bound(chunker: Chunker, embedder: Embedder) -> Chunker:
    """The chunker on the embedder's tokenizer and window.

    Raises CapabilityError as ``check_readable``, and what ``bind`` raises.
    """
    check_readable(chunker, embedder.card)
    tokenizer = embedder.tokenizer
    return chunker if tokenizer is None else chunker.bind(tokenizer, window=embedder.card.window)


def check_readable(chunker: Chunker, card: ModelCard) -> None:
    """Raise CapabilityError for chunks whose own tokens must be pooled out of a larger text, where the model cannot.

    And InvalidInputError for passes that are longer than the model's window, or that never advance.
    """
    steps = chunker.steps if isinstance(chunker, Pipeline) else ()
    for step in steps:
        if isinstance(step, Late) and 0 < card.window < step.window:
            raise InvalidInputError(
                f"Late(window={step.window}) asks for passes longer than the window of {card.name!r}, {card.window} tokens. Use window <= "
                f"{card.window}, or an embedder with a larger window= where the model's position table allows it."
            )
        if isinstance(step, Late) and 0 < card.window <= step.overlap:
            raise InvalidInputError(
                f"Late(overlap={step.overlap}) leaves nothing to advance by in passes of {card.window} tokens, the window of {card.name!r}. "
                "Lower the overlap."
            )
    late = any(isinstance(step, Late) and step.blend > 0 for step in steps)
    if card.pools_one_token and late:
        raise CapabilityError(
            f"Late needs the mean of each chunk's own token vectors, and {card.name!r} pools by {card.pooling!r}: its token vectors are not "
            "trained to be averaged. Use Situate, which puts the context before the text, or a model with mean pooling."
        )
    if card.pooling in _ONE_VECTOR and late:
        raise CapabilityError(
            f"Late needs the vectors of single tokens, and {card.name!r} returns one vector per text. Use Situate, which puts the context before "
            "the text, or a local model with mean pooling."
        )
