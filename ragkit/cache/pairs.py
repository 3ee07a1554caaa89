"""Labelled pairs of prompts: read from files, and scored as a cache would see them."""

from __future__ import annotations

import gzip
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ragkit.cache.guards import check
from ragkit.cache.prompts import exact_only
from ragkit.errors import InvalidInputError, LoadError
from ragkit.seams import Embedder, Vectors

_FILES = ("pairs.jsonl", "pairs.jsonl.gz")
_NAMES = (("a", "b", "same"), ("text_a", "text_b", "label"))


@dataclass(frozen=True, slots=True)
class LabelledPair:
    """Two prompts, and whether the answer to one does for the other."""

    a: str
    b: str
    same: bool


def load_pairs(path: str | Path) -> list[LabelledPair]:
    """The pairs in JSON lines ``{"a", "b", "same"}`` or ``{"text_a", "text_b", "label"}``, plain or .gz, or in a folder's pairs.jsonl.

    Raises LoadError for a file that cannot be read, with the line that is wrong, or that holds no pair.
    """
    file = Path(path)
    if file.is_dir():
        found = [file / name for name in _FILES if (file / name).is_file()]
        if not found:
            raise LoadError(f"The folder {file} holds neither {' nor '.join(_FILES)}. Name the file of pairs.")
        file = found[0]
    try:
        raw = gzip.decompress(file.read_bytes()) if file.suffix == ".gz" else file.read_bytes()
        lines = raw.decode("utf-8").split("\n")
    except (OSError, EOFError, ValueError) as error:
        raise LoadError(f"{file} cannot be read as labelled pairs: {error}.") from error
    pairs = [_pair(line, f"{file}:{number}") for number, line in enumerate(lines, 1) if line.strip()]
    if not pairs:
        raise LoadError(f'{file} holds no pair; write JSON lines such as {{"a": "...", "b": "...", "same": true}}.')
    return pairs


def _pair(line: str, place: str) -> LabelledPair:
    try:
        row: Any = json.loads(line)
    except ValueError as error:
        raise LoadError(f"{place} is no JSON: {error}.") from error
    for left, right, label in _NAMES:
        if isinstance(row, Mapping) and {left, right, label} <= row.keys():
            if isinstance(row[left], str) and isinstance(row[right], str) and row[label] in (0, 1):
                return LabelledPair(row[left], row[right], bool(row[label]))
            break
    raise LoadError(f'{place} is {line[:80]!r}; a pair is {{"a": text, "b": text, "same": true or false}}.')


@dataclass(frozen=True, slots=True, eq=False)
class PairScores:
    """What a cache knows of pairs ``(n,)``: cosines, labels, and whether meaning may be compared and no guard objects."""

    cosines: NDArray[np.float64]
    same: NDArray[np.bool_]
    allowed: NDArray[np.bool_]


def pair_vectors(pairs: Sequence[LabelledPair], embedder: Embedder) -> tuple[Vectors, Vectors]:
    """``(n, dim)`` unit rows of both sides, each text embedded once, on the query side as a cache does it."""
    places: dict[str, int] = {}
    for pair in pairs:
        for text in (pair.a, pair.b):
            places.setdefault(text, len(places))
    vectors = np.asarray(embedder.embed_queries(list(places)), np.float32)
    vectors = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-30)
    return vectors[[places[pair.a] for pair in pairs]], vectors[[places[pair.b] for pair in pairs]]


def score_pairs(pairs: Sequence[LabelledPair], embedder: Embedder, *, guards: Collection[str] | None = None) -> PairScores:
    """Score pairs as a cache does: ``a`` is asked, ``b`` is stored. ``guards`` names those to ask (default: all).

    Raises InvalidInputError without a pair, and what the embedder raises.
    """
    if not pairs:
        raise InvalidInputError("There is no pair to score; give labelled pairs.")
    left, right = pair_vectors(pairs, embedder)
    allowed = [exact_only(pair.a) is None and not check(pair.a, pair.b, guards=guards, first=True) for pair in pairs]
    return PairScores(
        np.einsum("nd,nd->n", left, right).astype(np.float64),
        np.array([pair.same for pair in pairs], bool),
        np.array(allowed, bool),
    )
