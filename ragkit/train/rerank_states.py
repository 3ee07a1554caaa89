"""Token states of a frozen model, read once and kept in a folder."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ragkit.errors import InvalidInputError
from ragkit.seams import TokenReader, TokenStates
from ragkit.train.rerank_lessons import States
from ragkit.train.rerank_rules import Material
from ragkit.types import canonical_json, digest

_BLOCK = 256


def read_states(
    reader: TokenReader,
    texts: Sequence[str],
    *,
    layers: tuple[int, ...],
    kind: Literal["passage", "query"],
    folder: Path,
    after: Callable[[int], None] = lambda n: None,
) -> States:
    """The states of these texts, from ``folder`` if they were read before; a passage beyond one window is left without tokens.

    The file is named by the model, the layers and the texts, about 1.5 kB a token for two layers of 384 numbers; it is written
    beside its place and moved there whole, so an interrupted run leaves nothing that looks complete.
    """
    key = digest(reader.card.fingerprint, canonical_json([list(layers), kind]), *texts)
    states, rest = folder / f"{key}.f16", folder / f"{key}.npz"
    if not rest.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        _write(reader, texts, layers, kind, states, rest, after)
    with np.load(rest) as held:
        ids, bounds = held["ids"], held["bounds"]
    if not len(ids):
        raise InvalidInputError(f"None of the {len(texts)} texts has tokens within one window; nothing can be learned from them.")
    return States(states=np.memmap(states, np.float16, "r").reshape(len(ids), -1), ids=ids, bounds=bounds)


def read_material(
    reader: TokenReader, material: Material, *, layers: tuple[int, ...], folder: Path, say: Callable[[str], None]
) -> tuple[States, States]:
    """The states of a material's passages and of its questions, as ``read_states`` reads them."""
    say(f"Reading {material.name}: {len(material.passages)} passages, {len(material.questions)} questions")
    passages = read_states(reader, material.passages, layers=layers, kind="passage", folder=folder)
    return passages, read_states(reader, material.questions, layers=layers, kind="query", folder=folder)


def _write(
    reader: TokenReader,
    texts: Sequence[str],
    layers: tuple[int, ...],
    kind: str,
    states: Path,
    rest: Path,
    after: Callable[[int], None],
) -> None:
    ids: list[NDArray[np.int32]] = []
    sizes = np.zeros(len(texts), np.int64)
    unfinished = states.with_suffix(f".{os.getpid()}")
    with unfinished.open("wb") as file:
        for first in range(0, len(texts), _BLOCK):
            block = texts[first : first + _BLOCK]
            for row, found in enumerate(_passes(reader, block, layers, kind), first):
                if found is not None:
                    sizes[row] = len(found.ids)
                    ids.append(found.ids)
                    file.write(found.states.astype(np.float16).tobytes())
            after(len(block))
    unfinished.replace(states)
    held = rest.with_suffix(f".{os.getpid()}.npz")
    np.savez(held, ids=np.concatenate([np.zeros(0, np.int32), *ids]), bounds=np.concatenate([[0], np.cumsum(sizes)]))
    held.replace(rest)


def _passes(reader: TokenReader, texts: Sequence[str], layers: tuple[int, ...], kind: str) -> Iterator[TokenStates | None]:
    if kind == "query":
        yield from reader.read_queries(texts, layers=layers)
        return
    for passes in reader.read_texts(texts, layers=layers):
        yield passes[0] if len(passes) == 1 else None
