"""The vectors of one scope in memory, and the nearest of them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from ragkit.cache.entry import Entry
from ragkit.seams import Vectors

#: Rows of a scope, float32 ``(n, dim)``, and the entry of each, None where it is gone.
View = tuple[Vectors, list[Entry | None]]
_FIRST = 16


class Partition:
    """A growing matrix of unit rows with the entry of each row.

    One thread at a time may ``add`` and ``remove``, while any number search: rows are only ever appended to an array, a row of a
    removed entry is zeroed, and when most rows are dead a new array takes the place of the old.
    """

    def __init__(self, dim: int) -> None:
        self._rows: Vectors = np.zeros((_FIRST, dim), np.float32)
        self._entries: list[Entry | None] = []
        self._dead = 0

    def __len__(self) -> int:
        return len(self._entries) - self._dead

    def add(self, entry: Entry, vector: Vectors) -> None:
        """Append an entry with its unit vector ``(dim,)``."""
        count = len(self._entries)
        if count == len(self._rows):
            self._move(max(_FIRST, 2 * len(self)))
            count = len(self._entries)
        self._rows[count] = vector
        entry.slot = count
        self._entries.append(entry)

    def remove(self, entry: Entry) -> None:
        """Forget an entry that is in here."""
        self._rows[entry.slot] = 0
        self._entries[entry.slot] = None
        self._dead += 1
        entry.slot = -1
        if self._dead > _FIRST and self._dead > len(self._entries) // 2:
            self._move(max(_FIRST, 2 * len(self)))

    def _move(self, size: int) -> None:
        places = [place for place, entry in enumerate(self._entries) if entry is not None]
        rows = np.zeros((size, self._rows.shape[1]), np.float32)
        rows[: len(places)] = self._rows[places]
        entries = [entry for entry in self._entries if entry is not None]
        for place, entry in enumerate(entries):
            entry.slot = place
        # Both at once: a search takes the pair.
        self._rows, self._entries, self._dead = rows, [*entries], 0

    def view(self) -> View:
        """Rows in use and their entries; entries that come later are appended to the same list."""
        return self._rows[: len(self._entries)], self._entries


def nearest(view: View, vector: Vectors, floor: float) -> Iterator[tuple[float, Entry]]:
    """Every living entry with a cosine of at least ``floor``, nearest first."""
    rows, entries = view
    cosines: NDArray[np.float32] = rows @ vector
    places = np.flatnonzero(cosines >= floor)
    for place in places[np.argsort(-cosines[places], kind="stable")].tolist():
        entry = entries[place]
        if entry is not None and entry.alive:
            yield min(1.0, float(cosines[place])), entry
