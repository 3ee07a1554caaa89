"""The vectors of one scope in memory, and the nearest of them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ragkit.cache.entry import Entry
from ragkit.seams import Vectors

_FIRST = 16
#: More than the rounding of a cosine can make of it, in float32.
_ROUNDING = 1e-5


class View(NamedTuple):
    """Rows of a scope, float32: their first halves ``(n, dim // 2)``, the others, the lengths of those ``(n,)``; and the entry of
    each row, None where it is gone."""

    heads: Vectors
    tails: Vectors
    lengths: Vectors
    entries: list[Entry | None]


class Partition:
    """A growing matrix of unit rows, in two halves, with the entry of each row.

    One thread at a time may ``add`` and ``remove``, while any number search: rows are only ever appended to an array, a row of a
    removed entry is zeroed, and when most rows are dead a new array takes the place of the old.
    """

    def __init__(self, dim: int) -> None:
        self._half = dim // 2
        self._heads: Vectors = np.zeros((_FIRST, self._half), np.float32)
        self._tails: Vectors = np.zeros((_FIRST, dim - self._half), np.float32)
        self._lengths: Vectors = np.zeros(_FIRST, np.float32)
        self._entries: list[Entry | None] = []
        self._dead = 0

    def __len__(self) -> int:
        return len(self._entries) - self._dead

    def add(self, entry: Entry, vector: Vectors) -> None:
        """Append an entry with its unit vector ``(dim,)``."""
        count = len(self._entries)
        if count == len(self._heads):
            self._move(max(_FIRST, 2 * len(self)))
            count = len(self._entries)
        self._heads[count], self._tails[count] = vector[: self._half], vector[self._half :]
        self._lengths[count] = np.linalg.norm(vector[self._half :])
        entry.slot = count
        self._entries.append(entry)

    def remove(self, entry: Entry) -> None:
        """Forget an entry that is in here."""
        self._heads[entry.slot] = self._tails[entry.slot] = self._lengths[entry.slot] = 0
        self._entries[entry.slot] = None
        self._dead += 1
        entry.slot = -1
        if self._dead > _FIRST and self._dead > len(self._entries) // 2:
            self._move(max(_FIRST, 2 * len(self)))

    def _move(self, size: int) -> None:
        places = [place for place, entry in enumerate(self._entries) if entry is not None]
        entries = [entry for entry in self._entries if entry is not None]
        for place, entry in enumerate(entries):
            entry.slot = place

        def moved(rows: Vectors) -> Vectors:
            found = np.zeros((size, *rows.shape[1:]), np.float32)
            found[: len(places)] = rows[places]
            return found

        self._heads, self._tails, self._lengths = moved(self._heads), moved(self._tails), moved(self._lengths)
        self._entries, self._dead = [*entries], 0

    def view(self) -> View:
        """Rows in use and their entries; entries that come later are appended to the same list."""
        count = len(self._entries)
        return View(self._heads[:count], self._tails[:count], self._lengths[:count], self._entries)


def above(view: View, vector: Vectors, floor: float) -> tuple[NDArray[np.intp], Vectors]:
    """The places of all rows with a cosine of at least ``floor``, and their cosines.

    The first halves are read for every row, and the others only where they can still matter: their share of the cosine is at most
    the product of their lengths (Cauchy and Schwarz), so nothing is missed.
    """
    half = view.heads.shape[1]
    rest = vector[half:]
    cosines: Vectors = view.heads @ vector[:half]
    bounds = view.lengths * math.sqrt(float(rest @ rest))
    bounds += cosines
    (places,) = (bounds >= floor - _ROUNDING).nonzero()
    if len(places) > len(cosines) // 4:
        # Reading all in order is quicker than picking.
        cosines += view.tails @ rest
        (places,) = (cosines >= floor).nonzero()
        return places, cosines[places]
    cosines = cosines[places] + view.tails[places] @ rest
    kept = cosines >= floor
    return places[kept], cosines[kept]


def nearest(view: View, vector: Vectors, floor: float) -> Iterator[tuple[float, Entry]]:
    """Every living entry with a cosine of at least ``floor``, nearest first."""
    places, cosines = above(view, vector, floor)
    if len(places) > 1:
        order = np.argsort(-cosines, kind="stable")
        places, cosines = places[order], cosines[order]
    for place, cosine in zip(places.tolist(), cosines.tolist(), strict=True):
        entry = view.entries[place]
        if entry is not None and entry.alive:
            yield min(1.0, cosine), entry
