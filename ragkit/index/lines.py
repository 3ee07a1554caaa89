"""Line numbers of spans, as editors count them."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Sequence

from ragkit.types import Chunk

_BREAK = re.compile(r"\r\n|\r|\n")


def lines_of(text: str, chunks: Sequence[Chunk]) -> list[tuple[int, int]]:
    """First and last line (from 1) of each chunk's visible text; lines end at LF, CR or CR LF."""
    starts = [0, *(match.end() for match in _BREAK.finditer(text))]
    places = []
    for chunk in chunks:
        visible = chunk.text.strip()
        first = chunk.start + (len(chunk.text) - len(chunk.text.lstrip()) if visible else 0)
        last = first + max(len(visible) - 1, 0)
        places.append((bisect_right(starts, first), bisect_right(starts, last)))
    return places
