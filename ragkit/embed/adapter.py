"""A trained context adapter: how a frozen model's vectors are mixed and turned, as one small file."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ragkit.errors import InvalidInputError, LoadError, MissingDependencyError, ModelNotFoundError
from ragkit.seams import Vectors
from ragkit.types import ModelCard, canonical_json, digest

#: Folders in which an adapter is looked for by its digest, separated as in PATH; the current folder without it.
FOLDERS = "RAGKIT_ADAPTERS"
_KEY = "ragkit.adapter"
_FORMAT = 1
#: What must be the same for a base model; its name, window and precision may differ.
_BASE_FIELDS = ("dim", "pooling", "normalize", "query_prompt", "document_prompt", "weights")
_BASE_SETTINGS = ("engine", "dims", "layers", "tokenizer", "base_url", "extend", "temperature")


@dataclass(frozen=True, slots=True, kw_only=True)
class Shares:
    """How much each reading of a chunk has in its vector; each at least 0, not all 0.

    ``alone``: the text read alone; ``situated``: read with its context and window, only its own tokens pooled;
    ``document``: the unit mean of its document's chunks, read alone.
    """

    alone: float = 1.0
    situated: float = 0.0
    document: float = 0.0

    def __post_init__(self) -> None:
        values = (self.alone, self.situated, self.document)
        if not all(0.0 <= value < float("inf") for value in values) or not any(values):
            raise InvalidInputError(f"The shares are {values}; each is a finite number, at least 0, and one of them more.")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Adapter:
    """Document vectors ``unit(mixed @ documents)``, query vectors ``unit(query @ queries)``.

    ``mixed`` is the sum of a chunk's readings by ``shares``; both matrices are ``(dim, dim)`` and hold float16 values.
    ``base`` is the card of the model it was trained on, ``chunker`` the recipe of the chunks, ``about`` whatever else
    a reader should know (seed, labels, held-out figures, licence), JSON-like and not part of the digest.
    """

    shares: Shares
    documents: Vectors
    queries: Vectors
    base: ModelCard
    chunker: str = ""
    about: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("documents", "queries"):
            matrix = np.asarray(getattr(self, name), np.float32).astype(np.float16).astype(np.float32)
            if matrix.shape != (self.base.dim, self.base.dim) or not np.isfinite(matrix).all():
                raise InvalidInputError(
                    f"The matrix {name} has shape {matrix.shape} or values that are not finite; it must be finite and "
                    f"{(self.base.dim, self.base.dim)}, the dimension of {self.base.name!r}."
                )
            object.__setattr__(self, name, matrix)

    @property
    def digest(self) -> str:
        """A digest of all that changes a vector, 32 hex digits; the name of the file is no part of it."""
        shares = (self.shares.alone, self.shares.situated, self.shares.document)
        matrices = (m.astype("<f2").tobytes().hex() for m in (self.documents, self.queries))
        return digest(str(_FORMAT), canonical_json(shares), canonical_json(_identity(self.base)), *matrices)

    def fits(self, card: ModelCard) -> bool:
        """Whether this model gives the vectors the adapter was trained on."""
        return not self.differences(card)

    def differences(self, card: ModelCard) -> list[str]:
        """Each field in which this model differs from the one it was trained on, in words; empty where it fits."""
        trained, given = _identity(self.base), _identity(card)
        return [
            f"{name} was {trained.get(name)!r} and is {given.get(name)!r}"
            for name in sorted(trained.keys() | given.keys())
            if trained.get(name) != given.get(name)
        ]

    def save(self, path: str | Path) -> None:
        """Write one safetensors file; the same adapter gives the same bytes. Raises InvalidInputError where it cannot."""
        header = {
            "format": _FORMAT,
            "digest": self.digest,
            "shares": {"alone": self.shares.alone, "situated": self.shares.situated, "document": self.shares.document},
            "base": self.base.to_dict(),
            "chunker": self.chunker,
            "about": dict(self.about),
        }
        tensors = {"documents": self.documents.astype("<f2"), "queries": self.queries.astype("<f2")}
        target = Path(path)
        try:
            # One key: the format keeps no order of several.
            target.write_bytes(_safetensors().numpy.save(tensors, metadata={_KEY: canonical_json(header)}))
        except OSError as error:
            raise InvalidInputError(f"{target} cannot be written: {error.strerror}. Check the folder.") from error


def _identity(card: ModelCard) -> dict[str, Any]:
    found = {name: getattr(card, name) for name in _BASE_FIELDS}
    found |= {name: card.settings.get(name) for name in _BASE_SETTINGS}
    # A remote model has no digest of its weights; its name is all there is.
    return found if card.weights else found | {"name": card.name}


def load_adapter(path: str | Path) -> Adapter:
    """The adapter in that file. Raises LoadError for what is no adapter, or one that was changed after it was written."""
    file = Path(path).expanduser()
    header = _header(file)
    if header.get("format") != _FORMAT:
        raise LoadError(f"{file} has the adapter format {header.get('format')!r}; this ragkit reads {_FORMAT}. Update ragkit.")
    try:
        tensors = _safetensors().numpy.load_file(file)
        adapter = Adapter(
            shares=Shares(**header["shares"]),
            documents=tensors["documents"],
            queries=tensors["queries"],
            base=ModelCard.from_dict(header["base"]),
            chunker=header["chunker"],
            about=header["about"],
        )
    except (KeyError, TypeError, InvalidInputError, _safetensors().SafetensorError) as error:
        raise LoadError(f"{file} cannot be read as an adapter: {error}. Train or copy it again.") from error
    if adapter.digest != header["digest"]:
        raise LoadError(f"{file} was changed after it was written: its digest is not the one in it. Train or copy it again.")
    return adapter


def find_adapter(wanted: str) -> Path:
    """The file of the adapter with this digest, in the folders of RAGKIT_ADAPTERS or, without it, in the current one.

    Raises ModelNotFoundError, which says where it looked.
    """
    folders = [Path(part).expanduser() for part in os.environ.get(FOLDERS, "").split(os.pathsep) if part] or [Path.cwd()]
    for file in _candidates(folders):
        try:
            if _header(file).get("digest") == wanted:
                return file
        except LoadError:
            continue
    raise ModelNotFoundError(
        f"The vectors were made with the context adapter {wanted}, and no .safetensors file in "
        f"{', '.join(map(str, folders))} is it. Name its folder in {FOLDERS}, or pass embedder=AdaptedEmbedder(..., path=...)."
    )


def _candidates(folders: list[Path]) -> Iterator[Path]:
    for folder in folders:
        yield from sorted(folder.glob("*.safetensors")) if folder.is_dir() else ()


def _header(file: Path) -> dict[str, Any]:
    library = _safetensors()
    try:
        with library.safe_open(file, framework="numpy") as opened:
            header = json.loads((opened.metadata() or {})[_KEY])
    except FileNotFoundError as error:
        raise LoadError(f"There is no file {file}. Name the .safetensors file that ragkit train context wrote.") from error
    except (OSError, KeyError, ValueError, library.SafetensorError) as error:
        raise LoadError(
            f"{file} is no context adapter of ragkit: {error}. Name the file that ragkit train context wrote."
        ) from error
    return dict(header)


def _safetensors() -> Any:
    try:
        import safetensors.numpy
    except ImportError as error:
        raise MissingDependencyError("Context adapters are safetensors files: install the extra 'local'.") from error
    return safetensors
