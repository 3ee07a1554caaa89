"""``ragkit index``: files into a database."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ragkit.cli.choices import (
    ChunkerName,
    ChunkerOption,
    ContextName,
    ContextOption,
    MaxTokens,
    Overlap,
    make_chunker,
    with_context,
)
from ragkit.cli.output import SOME_FAILED, Debug, Json, print_json, reporting, say
from ragkit.weights import DEFAULT_MODEL

if TYPE_CHECKING:
    from ragkit.load import FolderLoad
    from ragkit.types import Document

_RESUME = "Documents that were finished are kept and none is half stored; run the same command again to go on."


_COUNTS = ("added", "replaced", "unchanged", "removed", "chunks", "embedded", "reused")


class _Counted:
    """The documents with the number of files, so that the progress bar knows how far it is."""

    def __init__(self, documents: FolderLoad) -> None:
        self._documents = documents

    def __iter__(self) -> Iterator[Document]:
        return iter(self._documents)

    def __len__(self) -> int:
        return len(self._documents.paths())


def index(
    paths: Annotated[
        list[Path], typer.Argument(help="Folders and files: text, code, Markdown, HTML, PDF, notebooks.", show_default=False)
    ],
    db: Annotated[Path, typer.Option("--db", help="The database, a folder; made when it does not exist.", show_default=False)],
    root: Annotated[Path, typer.Option("--root", help="Document ids are paths relative to this folder.")] = Path("."),
    include: Annotated[
        list[str] | None,
        typer.Option("--include", help="Take only files that match, such as '*.md'; may be repeated.", show_default=False),
    ] = None,
    exclude: Annotated[
        list[str] | None,
        typer.Option("--exclude", help="Leave out files and folders that match; may be repeated.", show_default=False),
    ] = None,
    model: Annotated[str, typer.Option("--model", help="The embedding model: a name or a folder.")] = DEFAULT_MODEL,
    chunker: ChunkerOption = ChunkerName.auto,
    max_tokens: MaxTokens = 256,
    overlap: Overlap = 0,
    context: ContextOption = ContextName.none,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only list the files that would be read, and what would be left out.")
    ] = False,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Chunk, embed and store documents. Run it again at any time: only what changed is worked on.

    Nothing is left out in silence: the summary counts what was skipped, and names each file that could not be read.
    """
    with reporting(as_json=as_json, debug=debug, on_interrupt="" if dry_run else _RESUME):
        from ragkit.load import load_folder

        # The database may lie inside a folder that is indexed; its own files are no documents.
        place = Path(os.path.abspath(db))
        inside = any(place.is_relative_to(os.path.abspath(path)) for path in paths)
        left_out = [*(exclude or []), *([place.name] if inside else [])]
        documents = load_folder(paths, root=root, include=include, exclude=left_out, on_error="collect")
        if dry_run:
            files = [path.as_posix() for path in documents.paths()]
            if as_json:
                print_json({"files": files})
            else:
                typer.echo("\n".join(files))
                say(f"{len(files)} files would be read.")
            return
        from ragkit.embed import TransformerEmbedder
        from ragkit.index import Index

        made = with_context(make_chunker(chunker, max_tokens=max_tokens, overlap=overlap), context)
        store = Index(db, chunker=made, embedder=TransformerEmbedder(model))
        report = store.add(_Counted(documents), progress=True)
        failed = documents.failed
        skipped = [{"path": str(entry.path), "kind": entry.kind, "reason": entry.reason} for entry in documents.skipped]
        skipped += [{"path": doc_id, "kind": "empty", "reason": reason} for doc_id, reason in report.skipped]
        if as_json:
            counts = {name: getattr(report, name) for name in _COUNTS}
            print_json({"db": str(db)} | counts | {"seconds": round(report.seconds, 3), "skipped": skipped})
        say(
            f"{db}: {report.added} documents added, {report.replaced} replaced, {report.unchanged} unchanged; "
            f"{report.chunks} chunks written in {report.seconds:.1f} seconds."
        )
        others = Counter(entry["kind"] for entry in skipped if entry["kind"] != "failed")
        if others:
            say(
                "Left out: " + ", ".join(f"{count} {kind}" for kind, count in sorted(others.items())) + ". List them with --json."
            )
        for entry in failed:
            say(f"Could not be read: {entry.reason}")
        if failed:
            raise typer.Exit(SOME_FAILED)
