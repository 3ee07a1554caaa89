"""A small transformer that reads a question's tokens and a passage's vectors together; it never sees the text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ragkit.errors import CapabilityError, InvalidInputError, MissingDependencyError
from ragkit.rerank.files import damaged, read_tensors, write_tensors
from ragkit.rerank.passages import Passages
from ragkit.rerank.types import CompressorCard, QueryCode
from ragkit.types import canonical_json, digest

if TYPE_CHECKING:
    from torch import Tensor, nn

_KEY = "ragkit.scorer"
_FORMAT = 1
#: How much the weight of a question's token may change, as a power of e.
_MOST = 3.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """Numbers of a vector, and the width, layers and heads of the transformer. Raises InvalidInputError where heads do not divide width."""

    bits: int
    width: int = 64
    layers: int = 2
    heads: int = 4

    def __post_init__(self) -> None:
        if min(self.bits, self.width, self.layers, self.heads) < 1 or self.width % self.heads:
            raise InvalidInputError(f"The shape {asdict(self)} is none: all are at least 1, and heads divide width.")


def interaction(shape: Shape) -> nn.ModuleDict:
    """A new network, which says what MaxSim says. Raises MissingDependencyError without torch."""
    try:
        from torch import nn
    except ImportError as error:
        raise MissingDependencyError("A scorer is a network of torch: install the extra 'local'.") from error
    layer = nn.TransformerEncoderLayer(
        shape.width, shape.heads, 2 * shape.width, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
    )
    says = nn.Linear(shape.width, 2)
    nn.init.zeros_(says.weight)
    nn.init.zeros_(says.bias)
    return nn.ModuleDict(
        {
            "reads": nn.Linear(shape.bits, shape.width),
            "told": nn.Linear(2, shape.width),
            "sides": nn.Embedding(2, shape.width),
            "layers": nn.TransformerEncoder(layer, shape.layers, norm=nn.LayerNorm(shape.width), enable_nested_tensor=False),
            "says": says,
        }
    )


def joint_scores(nets: nn.ModuleDict, query: Tensor, gates: Tensor, vectors: Tensor, absent: Tensor, missing: Tensor) -> Tensor:
    """Scores ``(pairs,)`` of ``query`` ``(pairs, q, bits)`` with ``gates`` ``(pairs, q)`` against ``vectors`` ``(pairs, k, bits)``.

    Of each pair the question's tokens where ``absent`` and the vectors where ``missing`` are padding. It is MaxSim, the mean of each
    token's best match by its gate, in which every gate is multiplied and every match shifted by what the transformer makes of
    all tokens and all vectors.
    """
    import torch

    best = (query @ vectors.transpose(1, 2)).masked_fill(missing[:, None, :], -1.0).amax(2)
    asking, answering = nets["sides"](torch.arange(2))
    tokens = nets["reads"](query) + nets["told"](torch.stack([gates.log1p(), best], dim=2)) + asking
    read = torch.cat([tokens, nets["reads"](vectors) + answering], dim=1)
    seen = nets["layers"](read, src_key_padding_mask=torch.cat([absent, missing], dim=1))[:, : query.shape[1]]
    times, shift = nets["says"](seen).unbind(2)
    weights = (gates * times.clamp(-_MOST, _MOST).exp()).masked_fill(absent, 0.0)
    found: Tensor = (weights * (best + shift)).sum(1) / weights.sum(1).clamp_min(1e-12)
    return found


def signs(codes: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Packed signs ``(..., bits / 8)`` as rows of length one, float32 ``(..., bits)``."""
    found: NDArray[np.float32] = (np.unpackbits(codes, axis=-1).astype(np.float32) * 2 - 1) / np.float32(
        np.sqrt(8 * codes.shape[-1])
    )
    return found


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Weights:
    """What a scorer learned, in steps of float16, as a file keeps it. ``compressor`` is the digest of the parameters whose codes it reads
    (``CompressorCard.weights``)."""

    shape: Shape
    compressor: str
    tensors: Mapping[str, NDArray[np.float32]]
    about: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        # Otherwise training would judge other weights than it writes.
        rounded = {name: values.astype(np.float16).astype(np.float32) for name, values in self.tensors.items()}
        object.__setattr__(self, "tensors", rounded)

    @property
    def digest(self) -> str:
        """A digest of all that changes a score, 32 hex digits."""
        values = (f"{name}{self.tensors[name].astype('<f2').tobytes().hex()}" for name in sorted(self.tensors))
        return digest(str(_FORMAT), self.compressor, canonical_json(asdict(self.shape)), *values)

    def save(self, path: str | Path) -> None:
        """Write one safetensors file. Raises InvalidInputError where it cannot."""
        header = {
            "format": _FORMAT, "digest": self.digest, "compressor": self.compressor, "shape": asdict(self.shape), "about": dict(self.about),
        }  # fmt: skip
        write_tensors(path, _KEY, header, self.tensors)


def _load(path: str | Path) -> Weights:
    header, tensors = read_tensors(path, _KEY, what="a scorer's weights", format=_FORMAT)
    try:
        found = Weights(
            shape=Shape(**header["shape"]),
            compressor=header["compressor"],
            tensors=tensors,
            about=header["about"],
        )
        if found.digest != header["digest"]:
            raise ValueError(f"its digest is {found.digest}, not {header['digest']}")
    except Exception as error:
        raise damaged(path, error) from error
    return found


class TransformerScorer:
    """MaxSim corrected by a small transformer over (question's tokens, passage's vectors): ``CompressedReranker(scorer=...)``.

    ``weights`` is a file that ``ragkit train scorer`` wrote, or ``Weights``. Its time grows with the vectors read, not with
    the text; each passage is read by itself, so its score is the same in any company. A network that has not been trained says what
    ``bit_max_sim`` says. Raises LoadError for an unreadable file, MissingDependencyError without torch.
    """

    def __init__(self, weights: str | Path | Weights) -> None:
        self.weights = weights if isinstance(weights, Weights) else _load(weights)
        self._nets = interaction(self.weights.shape)
        import torch

        held = {name: torch.from_numpy(values.copy()) for name, values in self.weights.tensors.items()}
        try:
            self._nets.load_state_dict(held)
        except RuntimeError as error:
            raise damaged("The scorer", error) from error
        self._nets.eval().requires_grad_(False)

    def require(self, card: CompressorCard, *, bits: int) -> None:
        """Raise CapabilityError unless codes of this compressor, read with so many bits a vector, are what it learned from."""
        if (card.weights, bits) != (self.weights.compressor, self.weights.shape.bits):
            raise CapabilityError(
                f"The scorer reads {self.weights.shape.bits} bits of codes of the compressor {self.weights.compressor[:12]}, and these are {bits} "
                f"bits of {card.name!r} ({card.weights[:12]}). Use the compressor it was trained with, or run `ragkit train scorer`."
            )

    def __call__(self, query: QueryCode, found: Passages, ids: Sequence[str]) -> NDArray[np.float64]:
        """Scores of these passages, float64 ``(n,)``, about [-1, 1]; a passage without vectors scores -1."""
        import torch

        scores = np.full(len(ids), -1.0)
        if not float(query.gates.sum()) > 0:
            return np.zeros(len(ids))
        tokens, gates = torch.from_numpy(query.vectors)[None], torch.from_numpy(query.gates)[None]
        present = torch.zeros(1, tokens.shape[1], dtype=torch.bool)
        with torch.inference_mode():
            for at, passage in enumerate(ids):
                first, last = found.rows[passage]
                codes = found.codes[first:last]
                real = signs(codes[np.arange(codes.shape[1]) < found.counts[first:last, None]])
                if len(real):
                    vectors = torch.from_numpy(real)[None]
                    nothing = torch.zeros(1, vectors.shape[1], dtype=torch.bool)
                    scores[at] = float(joint_scores(self._nets, tokens, gates, vectors, present, nothing))
        return scores
