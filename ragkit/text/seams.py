"""Where a long text may be sliced so that its slices tokenize as the whole does."""

from __future__ import annotations

from collections.abc import Callable, Iterator

AdditiveAt = Callable[[str, int], bool]

#: Without a safe seam within this many slice lengths, a slice ends anywhere.
_PATIENCE = 8


def slices(text: str, size: int, additive_at: AdditiveAt) -> Iterator[tuple[int, int, bool]]:
    """Cut ``text`` into ``(start, end, exact)`` slices of about ``size`` characters.

    Slices end where ``additive_at`` vouches for the cut, looked for at line ends and blanks; where there is
    none within reach the slice is cut anyway and ``exact`` is False: counts across that seam are estimates.
    """
    start, length = 0, len(text)
    while start < length:
        end = start + size
        if end >= length:
            yield start, length, True
            return
        found = _seam_before(text, start + size // 2, end, additive_at)
        if found is None:
            found = _seam_after(text, end, min(start + size * _PATIENCE, length), additive_at)
        if found is None:
            end = min(start + size * _PATIENCE, length)
            yield start, end, end == length
        else:
            end = found
            yield start, end, True
        start = end


def _seam_before(text: str, low: int, high: int, additive_at: AdditiveAt) -> int | None:
    for mark, shift in (("\n", 1), (" ", 0)):
        position = high
        for _ in range(64):
            position = text.rfind(mark, low, position)
            if position < 0:
                break
            if additive_at(text, position + shift):
                return position + shift
    return None


def _seam_after(text: str, low: int, high: int, additive_at: AdditiveAt) -> int | None:
    for mark, shift in ((" ", 0), ("\n", 1)):
        position = low
        for _ in range(64):
            position = text.find(mark, position, high)
            if position < 0:
                break
            if additive_at(text, position + shift):
                return position + shift
            position += 1
    return None
