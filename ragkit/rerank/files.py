"""Small tensors with a header in one safetensors file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ragkit.errors import InvalidInputError, LoadError, MissingDependencyError
from ragkit.types import canonical_json

Tensors = Mapping[str, NDArray[Any]]


def write_tensors(path: str | Path, key: str, header: Mapping[str, Any], tensors: Tensors) -> None:
    """Write one file, values as float16; the same content gives the same bytes. Raises InvalidInputError where it cannot."""
    halves = {name: np.asarray(values).astype("<f2") for name, values in tensors.items()}
    try:
        # One key: the format keeps no order of several.
        Path(path).write_bytes(_safetensors().save(halves, metadata={key: canonical_json(dict(header))}))
    except OSError as error:
        raise InvalidInputError(f"{path} cannot be written: {error.strerror}. Check the folder.") from error


def read_tensors(path: str | Path, key: str, *, what: str, format: int) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """The header and the tensors of ``what``. Raises LoadError for another kind of file, another format, or a damaged one."""
    file = Path(path).expanduser()
    try:
        data = file.read_bytes()
        size = int.from_bytes(data[:8], "little")
        header: dict[str, Any] = json.loads(json.loads(data[8 : 8 + size])["__metadata__"][key])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise LoadError(f"{file} is no file of {what} ({type(error).__name__}: {error}).") from error
    if header.get("format") != format:
        raise LoadError(f"{file} has the format {header.get('format')!r}; this ragkit reads {format}. Update ragkit.")
    reader = _safetensors()
    try:
        return header, reader.load(data)
    except Exception as error:
        raise damaged(file, error) from error


def damaged(path: str | Path, error: Exception) -> LoadError:
    """What to say of a file whose parts do not belong together."""
    return LoadError(f"{path} is damaged: {type(error).__name__}: {error}. Copy or train it again.")


def _safetensors() -> Any:
    try:
        import safetensors.numpy
    except ImportError as error:
        raise MissingDependencyError("Parameters for reranking are a safetensors file: install the extra 'local'.") from error
    return safetensors.numpy
