"""A layout says where a text may be cut, and how gladly; the engine decides."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ragkit.types import Metadata


def _no_spans() -> NDArray[np.int64]:
    return np.empty((0, 2), np.int64)


@dataclass(frozen=True, slots=True)
class Layout:
    """Places where a text may be cut.

    ``cuts`` are offsets, int64 ``(n,)``, strictly ascending, inside the text; ``strengths`` int64 ``(n,)`` say how
    gladly (higher is better). ``breaks``, offsets like them, are crossed by no chunk. ``atoms`` are spans, int64
    ``(m, 2)``, kept whole when they fit into a chunk: code fences, tables, lists. ``sections`` are ``(start, metadata)``
    pairs, ascending: a chunk takes the metadata of the section its first visible character lies in. ``contexts`` are
    ``(start, context)`` pairs, ascending: a chunk that begins there or later, up to the next pair, has that context; the
    engine keeps room for it, and leaves one out that would fill more than half of a chunk. ``settled``: where the text
    goes on beyond what was laid out, cuts behind this offset may turn out otherwise; None: none do.
    """

    cuts: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    strengths: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    atoms: NDArray[np.int64] = field(default_factory=_no_spans)
    sections: tuple[tuple[int, Metadata], ...] = ()
    breaks: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    contexts: tuple[tuple[int, str], ...] = ()
    settled: int | None = None


def make_layout(
    cuts: dict[int, int],
    length: int,
    *,
    atoms: list[tuple[int, int]] | None = None,
    sections: tuple[tuple[int, Metadata], ...] = (),
    breaks: list[int] | None = None,
    contexts: tuple[tuple[int, str], ...] = (),
) -> Layout:
    """A Layout from ``{offset: strength}``, in any order; offsets at the ends of the text are left out."""
    places = np.fromiter(cuts.keys(), np.int64, len(cuts))
    order = np.argsort(places)
    order = order[(places[order] > 0) & (places[order] < length)]
    places, strengths = places[order], np.fromiter(cuts.values(), np.int64, len(cuts))[order]
    spans = np.array(sorted(set(atoms)), dtype=np.int64) if atoms else _no_spans()
    return Layout(places, strengths, spans, sections, np.array(sorted(set(breaks or ())), dtype=np.int64), contexts)
