"""Declared columns on the command line: ``--column media_type:str``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from ragkit.store import Column

GivenColumns = Annotated[
    list[str] | None,
    typer.Option(
        "--column",
        metavar="KEY:TYPE",
        help="Give a metadata key a typed column of its own, so that filters on it are fast: bool, int, float, str, time, list[int] or "
        "list[str]. A document with another value is refused; with a question mark behind the type, as in year:int?, it counts as having none. "
        "May be repeated; the database keeps it.",
        show_default=False,
    ),
]


def parse_columns(given: Sequence[str] | None) -> tuple[Column, ...]:
    """The columns of ``KEY:TYPE`` texts; a key may hold colons. Raises InvalidInputError for a text without a type, or with another."""
    from ragkit.errors import InvalidInputError
    from ragkit.store import Column, declared

    found = []
    for text in given or ():
        key, colon, kind = text.rpartition(":")
        if not colon or not key:
            raise InvalidInputError(f"--column is {text!r}; give a metadata key and its type, such as media_type:str.")
        strict = not kind.endswith("?")
        kind = kind.removesuffix("?")
        # Messages call it as Python does.
        kind = "time" if kind == "datetime" else kind
        found.append(Column(key, kind, wrong="error" if strict else "null"))  # type: ignore[arg-type]
    return declared(found)
