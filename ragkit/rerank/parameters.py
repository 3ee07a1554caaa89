"""The parameters of a token compressor as one small file, and the ones that ship with ragkit."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ragkit.errors import InvalidInputError, LoadError, MissingDependencyError
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
        tensors = {name: getattr(self, name).astype("<f2") for name in _TENSORS}
        try:
            # One key: the format keeps no order of several.
            Path(path).write_bytes(_safetensors().save(tensors, metadata={_KEY: canonical_json(header)}))
        except OSError as error:
            raise InvalidInputError(f"{path} cannot be written: {error.strerror}. Check the folder.") from error


def load_parameters(path: str | Path) -> Parameters:
    """The parameters in that file. Raises LoadError for what is no such file, or one that was changed after it was written."""
    file = Path(path).expanduser()
    try:
        data = file.read_bytes()
        size = int.from_bytes(data[:8], "little")
        header = json.loads(json.loads(data[8 : 8 + size])["__metadata__"][_KEY])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise LoadError(f"{file} is no file of a compressor's parameters ({type(error).__name__}: {error}).") from error
    if header.get("format") != _FORMAT:
        raise LoadError(f"{file} has the format {header.get('format')!r}; this ragkit reads {_FORMAT}. Update ragkit.")
    try:
        tensors = _safetensors().load(data)
        found = Parameters(
            name=header["name"],
            model=header["model"],
            layers=tuple(header["layers"]),
            nested=tuple(header["nested"]),
            about=header["about"],
            **{name: tensors[name] for name in _TENSORS},
        )
    except MissingDependencyError:
        raise
    except Exception as error:
        raise LoadError(f"{file} is damaged: {type(error).__name__}: {error}. Copy or train it again.") from error
    if found.digest != header["digest"]:
        raise LoadError(f"{file} was changed after it was written: its digest is {found.digest}, not {header['digest']}.")
    return found


@lru_cache(maxsize=2)
def shipped(name: str) -> Parameters:
    """Parameters inside the package: "trained" or "untrained", both for all-MiniLM-L6-v2."""
    with resources.as_file(resources.files("ragkit.rerank") / "weights" / f"{name}.safetensors") as file:
        return load_parameters(file)


def _safetensors() -> Any:
    try:
        import safetensors.numpy
    except ImportError as error:
        raise MissingDependencyError("A compressor's parameters are a safetensors file: install the extra 'local'.") from error
    return safetensors.numpy
