"""What compressors make of passages and questions, and what they must be able to do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from ragkit.errors import InvalidInputError
from ragkit.seams import Offsets, TokenStates, Vectors
from ragkit.types import canonical_json, digest


@dataclass(frozen=True, kw_only=True)
class CompressorCard:
    """What must agree before codes may be compared; it is stored beside them.

    ``model`` is the digest of the model's weights whose token states it reads (``ModelCard.weights``), ``layers`` the layers, in the order
    of their columns. Each window becomes at most ``vectors`` vectors of ``bits`` bits, the most important first:
    any first few of them, and the first ``nested`` bits of each, are a smaller code. ``weights`` is a digest of the parameters.
    """

    name: str
    model: str
    layers: tuple[int, ...]
    vectors: int
    bits: int
    window: int
    weights: str
    nested: tuple[int, ...] = ()

    @property
    def bytes(self) -> int:
        """Bytes of one window's code, padding included."""
        return self.vectors * self.bits // 8

    @cached_property
    def fingerprint(self) -> str:
        """A digest of all that changes a code, 32 hex digits; the name is no part of it."""
        return digest(canonical_json([self.model, self.layers, self.vectors, self.bits, self.window, self.weights]))

    def to_dict(self) -> dict[str, Any]:
        """The card as a JSON-ready dict."""
        return {
            "name": self.name,
            "model": self.model,
            "layers": list(self.layers),
            "vectors": self.vectors,
            "bits": self.bits,
            "window": self.window,
            "weights": self.weights,
            "nested": list(self.nested),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> CompressorCard:
        """A card from ``to_dict``'s output."""
        return cls(**{**data, "layers": tuple(data["layers"]), "nested": tuple(data["nested"])})


@dataclass(frozen=True, slots=True, eq=False)
class Code:
    """One window compressed: packed signs, uint8 ``(n_vectors, bits / 8)``, the vector that stands for most first.

    ``members`` is int16 ``(n_tokens,)``: the vector that each token went into. It is for explaining and is not stored.
    """

    vectors: NDArray[np.uint8]
    members: NDArray[np.int16] = field(default_factory=lambda: np.zeros(0, np.int16))

    def __len__(self) -> int:
        return len(self.vectors)

    def padded(self, card: CompressorCard) -> bytes:
        """``card.bytes`` bytes, zeros after the last vector; ``len(code)`` says how many are real."""
        if self.vectors.shape[1] * 8 != card.bits or len(self) > card.vectors:
            raise InvalidInputError(
                f"A code of shape {self.vectors.shape} is none of {card.name!r}: {card.vectors} vectors of {card.bits} bits."
            )
        return self.vectors.tobytes().ljust(card.bytes, b"\0")


class QueryCode(NamedTuple):
    """A question's tokens: float32 unit rows ``(q, bits)`` and how much each counts, float32 ``(q,)``, at least 0.

    ``ids``, ``starts`` and ``ends`` are the tokens' as in ``TokenStates``.
    """

    vectors: Vectors
    gates: NDArray[np.float32]
    ids: NDArray[np.int32]
    starts: Offsets
    ends: Offsets


@runtime_checkable
class Compressor(Protocol):
    """Makes codes of windows at index time, and of questions at search time, from the states of single tokens.

    A code is bytes: what ``card.bits`` of them for each vector mean is between the compressor and its scorer. The default scorer reads
    signs; a compressor that keeps int8 or float16 (memory vectors of a large model, as PISCO, 2501.16075) says so many bits a vector
    and comes with ``CompressedReranker(compressor, scorer=...)``, whose ``QueryCode.ids`` are the question's tokens for a joint model.
    """

    @property
    def card(self) -> CompressorCard: ...

    @property
    def layers(self) -> tuple[int, ...]:
        """The layers to read, in the order of the columns of ``TokenStates.states``."""
        ...

    def compress(self, states: TokenStates, /) -> Code:
        """The code of one pass over a text; a pass without tokens has a code without vectors."""
        ...

    def query(self, states: TokenStates, /) -> QueryCode:
        """The code of a question."""
        ...
