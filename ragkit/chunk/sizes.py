"""Sizes of chunks: a number of tokens, or a range of them."""

from __future__ import annotations

from typing import Any

from ragkit.errors import InvalidInputError

Size = int | tuple[int, int]


def checked_size(value: Any, name: str = "max_tokens") -> Size:
    """A number of tokens, or ``(least, most)``; lists, which JSON makes of tuples, are taken too. Raises InvalidInputError."""
    if _whole(value):
        if value < 1:
            raise InvalidInputError(f"{name} is {value!r}; it must be a whole number of tokens, at least 1, or a range of two.")
        return int(value)
    if isinstance(value, (tuple, list)) and len(value) == 2 and all(map(_whole, value)):
        least, most = value
        if 1 <= least <= most:
            return least, most
    raise InvalidInputError(
        f"{name} is {value!r}; it must be a whole number of tokens, at least 1, or a range (least, most) with 1 <= least <= most."
    )


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
