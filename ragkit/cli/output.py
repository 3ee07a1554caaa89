"""What the commands share: options, the two output streams, and how errors end."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ragkit.errors import InvalidInputError, RagkitError

if TYPE_CHECKING:
    from rich.console import Console

ERROR = 1
SOME_FAILED = 3
INTERRUPTED = 130

Json = Annotated[
    bool, typer.Option("--json", help="Print one JSON value on standard output; everything else goes to standard error.")
]
Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]


class Mode(StrEnum):
    """How to search."""

    dense = "dense"
    bm25 = "bm25"
    hybrid = "hybrid"


def console(*, stderr: bool = False) -> Console:
    """A console that colours nothing unless it writes to a terminal."""
    from rich.console import Console

    return Console(stderr=stderr, highlight=False, emoji=False, markup=False, soft_wrap=False)


def print_json(value: Any) -> None:
    """One JSON value on standard output; lone surrogates are escaped, so that any text can be printed."""
    sys.stdout.write(json.dumps(value, ensure_ascii=True, indent=2) + "\n")


def show_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a plain table."""
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for name in header:
        table.add_column(name)
    for row in rows:
        table.add_row(*row)
    console().print(table)


def say(message: str) -> None:
    """A line for people, on standard error."""
    typer.echo(message, err=True)


def write_file(path: Path, data: bytes) -> None:
    """Write a file that an option names. Raises InvalidInputError where that cannot be."""
    try:
        path.write_bytes(data)
    except OSError as error:
        raise InvalidInputError(f"{path} cannot be written: {error.strerror}. Check the folder.") from error


@contextmanager
def reporting(*, as_json: bool, debug: bool, on_interrupt: str = "") -> Iterator[None]:
    """Turn errors into one line and an exit code; with ``debug`` into a traceback."""
    try:
        yield
    except RagkitError as error:
        if as_json:
            print_json({"error": {"type": type(error).__name__, "message": str(error)}})
        if debug:
            raise
        say(f"ragkit: {error}")
        raise typer.Exit(ERROR) from error
    except KeyboardInterrupt:
        say(f"\nragkit: stopped.{' ' + on_interrupt if on_interrupt else ''}")
        raise typer.Exit(INTERRUPTED) from None
