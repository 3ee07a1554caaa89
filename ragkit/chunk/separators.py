"""Ranked boundaries that the user names: levels of prose, strings, regular expressions."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from ragkit.errors import InvalidInputError
from ragkit.text.boundaries import Strength, prose_cuts
from ragkit.text.unicode import cluster_start

Separator = str | re.Pattern[str]

#: Levels by name. The engine cuts between words where nothing else fits, so "word" can only come last.
LEVELS = {
    "page": Strength.PAGE,
    "paragraph": Strength.PARAGRAPH,
    "line": Strength.LINE,
    "sentence": Strength.SENTENCE,
    "wrap": Strength.WRAP,
}
_LAST = "word"


def checked_separators(value: Any) -> tuple[Separator, ...] | None:
    """The separators as a tuple; what a recipe wrote for a pattern becomes a pattern again. Raises InvalidInputError."""
    if value is None:
        return None
    if isinstance(value, (str, re.Pattern)) or not isinstance(value, Iterable):
        raise InvalidInputError(f"separators is {value!r}; it must be a list, the strongest first, or None.")
    separators = tuple(map(_checked, value))
    if _LAST in separators[:-1]:
        raise InvalidInputError(
            f"{_LAST!r} stands before other separators in {separators!r}; words are parted last. Move it to the end."
        )
    return separators


def _checked(value: Any) -> Separator:
    if isinstance(value, dict) and value.keys() == {"pattern", "flags"}:
        value = re.compile(value["pattern"], value["flags"])
    if isinstance(value, re.Pattern) and isinstance(value.pattern, str):
        return value
    if isinstance(value, str) and value:
        return value
    raise InvalidInputError(
        f"The separator {value!r} is neither a str that is not empty nor a pattern of str (re.compile). Levels are "
        f"{', '.join(map(repr, LEVELS))} and {_LAST!r}; where nothing else fits, words and then graphemes are parted anyway."
    )


def as_json(separators: tuple[Separator, ...]) -> list[Any]:
    """For a recipe: strings as they are, patterns with their flags."""
    return [{"pattern": s.pattern, "flags": s.flags} if isinstance(s, re.Pattern) else s for s in separators]


def ranked_cuts(text: str, separators: tuple[Separator, ...]) -> dict[int, int]:
    """``{offset: strength}``: the first separator is the strongest, and a place has its strongest.

    A cut stands after what a separator matched, but before blanks at its end, which begin the next chunk; where only blanks
    or nothing matched, before it.
    """
    cuts: dict[int, int] = {}
    prose = prose_cuts(text) if any(isinstance(s, str) and s in LEVELS for s in separators) else {}
    for strength, separator in zip(range(len(separators), 0, -1), separators, strict=True):
        if isinstance(separator, str) and separator in LEVELS:
            found: Iterable[int] = [at for at, level in prose.items() if level >= LEVELS[separator]]
        elif separator == _LAST:
            continue
        else:
            found = _ends(text, separator)
        for at in found:
            cuts.setdefault(at, strength)
    return cuts


def _ends(text: str, separator: Separator) -> Iterable[int]:
    """Where a chunk may end; a match that ends inside a grapheme cluster is none."""
    pattern = separator if isinstance(separator, re.Pattern) else re.compile(re.escape(separator))
    whole = 0
    for match in pattern.finditer(text):
        at = match.start() + len(match.group().rstrip(" \t"))
        # The cluster before is looked for from the last one found on, so that all of this is linear.
        whole = cluster_start(text, at, min(whole, at))
        if whole == at:
            yield at
