"""What every compressor does to token states first."""

from __future__ import annotations

import numpy as np

from ragkit.errors import InvalidInputError
from ragkit.seams import Vectors


def normalise_layers(states: Vectors, layers: int) -> Vectors:
    """Each layer's part of each row with mean 0 and deviation 1: ``(n, layers x hidden)``, float32."""
    n, width = states.shape
    if width % layers:
        raise InvalidInputError(f"Token states have {width} columns, which is no multiple of {layers} layers.")
    parts = np.asarray(states, np.float32).reshape(n, layers, width // layers)
    centred = parts - parts.mean(axis=2, keepdims=True)
    deviation = np.sqrt(np.square(centred).mean(axis=2, keepdims=True))
    found: Vectors = (centred / np.maximum(deviation, 1e-6)).reshape(n, width)
    return found


def unit(vectors: Vectors) -> Vectors:
    """Rows of length one; a row of zeros stays."""
    found: Vectors = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    return found


def softplus(values: Vectors) -> Vectors:
    """``log(1 + exp(x))`` without overflow."""
    found: Vectors = np.logaddexp(np.float32(0), values).astype(np.float32)
    return found
