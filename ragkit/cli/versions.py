"""``ragkit history`` and ``ragkit restore``: what a database was, and the way back."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ragkit.cli.output import Debug, Json, console, print_json, reporting, say

_Db = Annotated[Path, typer.Option("--db", help="The database that `ragkit index` made.", show_default=False)]


def history(
    db: _Db,
    tag: Annotated[
        str | None, typer.Option("--tag", help="First name the newest version, so that it is kept.", show_default=False)
    ] = None,
    untag: Annotated[str | None, typer.Option("--untag", help="First remove that name.", show_default=False)] = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """List the versions of a database, oldest first: number, time, chunks, tags. Every commit makes one.

    Versions older than a day are dropped as the database is optimized. A tag keeps its version, and the later ones with it.
    """
    with reporting(as_json=as_json, debug=debug):
        from ragkit.index.history import History
        from ragkit.store import ChunkStore

        known = History(ChunkStore.open(db))
        if tag is not None:
            known.tag(tag)
        if untag is not None:
            known.untag(untag)
        found = known.versions()
        if as_json:
            print_json(
                [
                    {"version": one.number, "time": one.time.isoformat(), "chunks": one.chunks, "tags": list(one.tags)}
                    for one in found
                ]
            )
            return
        out = console()
        for one in found:
            when = one.time.astimezone().isoformat(sep=" ", timespec="seconds")
            out.print(f"{one.number:>7}  {when}  {one.chunks:>9,} chunks  {', '.join(one.tags)}".rstrip(), soft_wrap=True)


def restore(
    db: _Db,
    version: Annotated[str, typer.Option("--version", help="The number of a version, or a tag.", show_default=False)],
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Make a database what it was at a version or a tag. That is one more commit: the way back stays open."""
    with reporting(as_json=as_json, debug=debug):
        from ragkit.index.history import History
        from ragkit.store import ChunkStore

        number = History(ChunkStore.open(db)).restore(int(version) if version.isdecimal() else version)
        if as_json:
            print_json({"db": str(db), "restored": version, "version": number})
        say(f"{db} is as it was at {version}; this is version {number}.")
