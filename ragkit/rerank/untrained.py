"""Parameters without training: principal axes of a model's token states, and how rare each token is."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ragkit.errors import InvalidInputError
from ragkit.rerank.parameters import Parameters
from ragkit.rerank.states import normalise_layers
from ragkit.seams import TokenReader, Vectors

Floats = NDArray[np.float64]


def untrained_parameters(reader: TokenReader, texts: Sequence[str], *, layers: tuple[int, ...], bits: int = 128) -> Parameters:
    """Principal axes of the first of ``layers`` over ``texts``, and gates by inverse document frequency; the other layers weigh nothing.

    A few thousand texts of any kind are enough. Raises InvalidInputError without texts, or for more bits than the model's width.
    """
    if not texts:
        raise InvalidInputError("There are no texts to fit a compressor to; a few hundred passages of any kind will do.")
    moments: Floats | None = None
    seen: dict[int, int] = {}
    for first in range(0, len(texts), 64):
        for passes in reader.read_texts(texts[first : first + 64], layers=layers):
            met: set[int] = set()
            for states in passes:
                x = normalise_layers(states.states, len(layers)).astype(np.float64)
                moments = x.T @ x if moments is None else moments + x.T @ x
                met.update(states.ids.tolist())
            for token in met:
                seen[token] = seen.get(token, 0) + 1
    if moments is None or not seen:
        raise InvalidInputError("The texts have no tokens to fit a compressor to.")
    counts = np.zeros(max(seen) + 1, np.int64)
    counts[list(seen)] = list(seen.values())
    return assemble(
        principal_axes(moments, len(layers), bits),
        gate_logits(counts, len(texts)),
        name="untrained",
        model=reader.card.weights,
        layers=layers,
    )


def principal_axes(moments: Floats, layers: int, bits: int) -> Vectors:
    """``(layers x hidden, bits)``: the axes of the first layer's second moments, not centred, and zeros for the other layers."""
    hidden = len(moments) // layers
    if not 8 <= bits <= hidden or bits % 8:
        raise InvalidInputError(f"bits is {bits!r}; it must be a multiple of 8 from 8 to {hidden}, the width of the model.")
    _, axes = np.linalg.eigh(moments[:hidden, :hidden])
    kept = axes[:, ::-1][:, :bits]
    # Eigenvectors have no sign of their own; the largest entry is made positive.
    kept = kept * np.sign(kept[np.abs(kept).argmax(axis=0), np.arange(bits)])
    found = np.zeros((len(moments), bits), np.float32)
    found[:hidden] = kept
    return found


def gate_logits(counts: NDArray[np.int64], n: int) -> Vectors:
    """What softplus turns into each token's inverse document frequency; ``counts`` are the texts of ``n`` that hold it."""
    idf = np.log((n + 1) / (np.minimum(counts, n) + 0.5))
    idf = np.maximum(idf, 1e-3)
    logits: Vectors = (idf + np.log(-np.expm1(-idf))).astype(np.float32)
    return logits


def assemble(axes: Vectors, logits: Vectors, *, name: str, model: str, layers: tuple[int, ...]) -> Parameters:
    """Untrained parameters from their two ingredients."""
    zeros = np.zeros(len(axes), np.float32)
    return Parameters(
        name=name,
        model=model,
        layers=layers,
        documents=axes,
        queries=axes,
        salience=zeros,
        gate=zeros,
        logits=logits,
        nested=(64,) if axes.shape[1] > 64 else (),
    )
