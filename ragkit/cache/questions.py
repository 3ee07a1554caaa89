"""A prompt in its scope, as the cache sees it: what has to match exactly, and the vector of the rest."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from threading import Lock
from typing import Any

import numpy as np

from ragkit.cache.prompts import exact_only, normalised
from ragkit.cache.scope import Scope
from ragkit.errors import EmbeddingError, InvalidInputError, TextTooLongError
from ragkit.seams import Embedder, Vectors
from ragkit.types import canonical_json, digest


@dataclass(slots=True)
class Question:
    """A prompt: ``key`` is the same for exact repetitions in one scope, ``alone`` says why meaning must not be compared."""

    prompt: object
    text: str
    scope: str
    tenant: str
    key: str
    alone: str | None
    temperature: float | None = None
    vector: Vectors | None = None

    @property
    def opaque(self) -> bool:
        """True for what is no text, such as a list of blocks with an image."""
        return not isinstance(self.prompt, str)


def question(prompt: object, scope: Scope, *, secret: bytes = b"") -> Question:
    """The question that ``prompt`` is in ``scope``.

    Raises InvalidInputError for a prompt that is neither text nor JSON-like.
    """
    asked = question_in(prompt, scope.keyed(secret), tenant_digest(scope.tenant, secret))
    asked.temperature = _temperature(scope.sampling)
    return asked


def question_in(prompt: object, scope: str, tenant: str) -> Question:
    """``question`` in a scope of which the digests are known, as an entry has them."""
    opaque = not isinstance(prompt, str)
    if opaque:
        try:
            text = canonical_json(prompt)
        except (TypeError, ValueError) as error:
            raise InvalidInputError(
                f"The prompt is a {type(prompt).__name__}; it is text, or what JSON can hold: {error}."
            ) from error
    else:
        text = str(prompt)
    # Texts made of marks alone would all be one after normalising.
    same = text if opaque else normalised(text) or text
    return Question(
        prompt=prompt,
        text=text,
        scope=scope,
        tenant=tenant,
        key=digest(scope, "json" if opaque else "text", same),
        alone=exact_only(prompt),
    )


@lru_cache(maxsize=4096)
def tenant_digest(tenant: str, secret: bytes) -> str:
    """The digest by which all entries of a tenant are found."""
    return Scope(tenant, "-").keyed(secret)


def _temperature(sampling: Any) -> float | None:
    value = sampling.get("temperature") if isinstance(sampling, Mapping) else None
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None


class Encoder:
    """Makes the vectors of questions, with an embedder that is loaded when the first one is needed."""

    def __init__(self, load: Callable[[], Embedder] | None, dim: int) -> None:
        self._load, self.dim = load, dim
        self._embedder: Embedder | None = None
        self._lock = Lock()

    @property
    def embedder(self) -> Embedder | None:
        """The embedder, None for a cache that compares nothing by meaning."""
        if self._embedder is None and self._load is not None:
            with self._lock:
                if self._embedder is None:
                    self._embedder = self._load()
        return self._embedder

    def encode(self, asked: Question) -> None:
        """Set the vector of a question, or why it has none. Raises EmbeddingError for a vector that is unusable."""
        if asked.alone is not None or asked.vector is not None:
            return
        embedder = self.embedder
        if embedder is None:
            asked.alone = "no embedder"
            return
        try:
            vector = np.asarray(embedder.embed_query(asked.text), np.float32)
        except TextTooLongError as error:
            asked.alone = f"longer than the model's window: {error}"
            return
        asked.vector = self.checked(vector)

    def checked(self, vector: Vectors) -> Vectors:
        """The unit vector; EmbeddingError where it is not finite, zero or of another length."""
        norm = math.sqrt(float(vector @ vector)) if vector.shape == (self.dim,) else 0.0
        if not math.isfinite(norm) or norm == 0:
            raise EmbeddingError(
                f"The embedder gave a vector of shape {vector.shape}; it must have the shape ({self.dim},), be finite and not zero."
            )
        return vector if abs(norm - 1) < 1e-6 else np.asarray(vector / norm, np.float32)
