"""The parameters of a token compressor as one small file, and the ones that ship with ragkit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ragkit.errors import InvalidInputError, LoadError
from ragkit.rerank.files import damaged, read_tensors, write_tensors
from ragkit.types import canonical_json, digest

Matrix = NDArray[np.float32]
_KEY = "ragkit.compressor"
_FORMAT = 1
_TENSORS = ("documents", "queries", "salience", "gate", "logits")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Parameters:
    """Two projections and three weightings of token states; all values are float16, held as float32.

    ``documents`` and ``queries`` are ``(layers x hidden, bits)``; ``salience`` and ``gate`` ``(layers x hidden,)`` say how much a token counts
    in its passage's vectors and in its question: ``softplus(x @ salience + 1)`` and ``softplus(x @ gate + logits[id])``.
    ``logits`` is ``(vocabulary,)``, from how rare each token is. ``model`` is the digest of the model's weights, ``about`` whatever else a
    reader should know (data, licence, seed, figures), JSON-like and no part of the digest.
    """

    name: str
    model: str
    layers: tuple[int, ...]
    documents: Matrix
    queries: Matrix
    salience: Matrix
    gate: Matrix
    logits: Matrix
    nested: tuple[int, ...] = ()
    about: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in _TENSORS:
            values = np.asarray(getattr(self, name), np.float32).astype(np.float16).astype(np.float32)
            if not np.isfinite(values).all():
                raise InvalidInputError(f"The parameter {name} has values that are not finite in float16.")
            object.__setattr__(self, name, values)
        width, bits = self.documents.shape
        shapes = {name: getattr(self, name).shape for name in _TENSORS}
        wanted = {"documents": (width, bits), "queries": (width, bits), "salience": (width,), "gate": (width,)}
        if (
            shapes | wanted != shapes
            or self.logits.ndim != 1
            or not len(self.logits)
            or width % max(len(self.layers), 1)
            or bits % 8
        ):
            raise InvalidInputError(
                f"The parameters have the shapes {shapes}, which do not belong together for layers {self.layers}."
            )

    @property
    def bits(self) -> int:
        """How many numbers a vector has."""
        return int(self.documents.shape[1])

    @property
    def digest(self) -> str:
        """A digest of all that changes a code or a score, 32 hex digits."""
        values = (getattr(self, name).astype("<f2").tobytes().hex() for name in _TENSORS)
        return digest(str(_FORMAT), self.model, canonical_json(self.layers), str(self.documents.shape), *values)

    def save(self, path: str | Path) -> None:
        """Write one safetensors file; the same parameters give the same bytes. Raises InvalidInputError where it cannot."""
        header = {"format": _FORMAT, "digest": self.digest, "name": self.name, "model": self.model} | {
            "layers": list(self.layers),
            "nested": list(self.nested),
            "about": dict(self.about),
        }
        write_tensors(path, _KEY, header, {name: getattr(self, name) for name in _TENSORS})


def load_parameters(path: str | Path) -> Parameters:
    """The parameters in that file. Raises LoadError for what is no such file, or one that was changed after it was written."""
    header, tensors = read_tensors(path, _KEY, what="a compressor's parameters", format=_FORMAT)
    try:
        found = Parameters(
            name=header["name"],
            model=header["model"],
            layers=tuple(header["layers"]),
            nested=tuple(header["nested"]),
            about=header["about"],
            **{name: tensors[name] for name in _TENSORS},
        )
    except Exception as error:
        raise damaged(path, error) from error
    if found.digest != header["digest"]:
        raise LoadError(f"{path} was changed after it was written: its digest is {found.digest}, not {header['digest']}.")
    return found


@lru_cache(maxsize=2)
def shipped(name: str) -> Parameters:
    """Parameters inside the package: "trained" or "untrained", both for all-MiniLM-L6-v2."""
    with resources.as_file(resources.files("ragkit.rerank") / "weights" / f"{name}.safetensors") as file:
        return load_parameters(file)
