"""``ragkit index``: files into a database."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ragkit.cli.choices import GivenChunker, GivenContext, GivenOverlap, MaxTokens
from ragkit.cli.declaring import GivenColumns, parse_columns
from ragkit.cli.output import SOME_FAILED, Debug, Json, print_json, reporting, say
from ragkit.cli.settings import choose_chunker, choose_embedder, new_recipe
from ragkit.weights import DEFAULT_MODEL

if TYPE_CHECKING:
    from ragkit.index.preview import Preview
    from ragkit.index.reports import AddReport
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
    model: Annotated[
        str | None,
        typer.Option("--model", help=f"The embedding model, a name or a folder; {DEFAULT_MODEL} for a new database."),
    ] = None,
    adapter: Annotated[
        Path | None,
        typer.Option(
            "--adapter", help="A context adapter, a file of `ragkit train context`, over the model.", show_default=False
        ),
    ] = None,
    chunker: GivenChunker = None,
    max_tokens: MaxTokens = None,
    overlap: GivenOverlap = None,
    context: GivenContext = None,
    prune: Annotated[
        bool, typer.Option("--prune", help="Remove documents under these paths whose file is gone; --dry-run shows which.")
    ] = False,
    compress: Annotated[
        bool | None,
        typer.Option(
            "--compress/--no-compress",
            help="Codes for reranking: --compress also makes those that are missing, --no-compress makes none. Without either they are "
            "made with the vectors where the model is the one they were trained for.",
            show_default=False,
        ),
    ] = None,
    column: GivenColumns = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would change; embed nothing, write nothing.")] = False,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Chunk, embed and store documents. Run it again at any time: only what changed is worked on.

    Settings that are not given are those of the database. A new one takes --chunker auto, --max-tokens 256, --overlap 0 and --context none.
    Nothing is left out in silence: the summary counts what was skipped, and names each file that could not be read.
    """
    with reporting(as_json=as_json, debug=debug, on_interrupt="" if dry_run else _RESUME):
        from ragkit.cli.gone import gone_documents
        from ragkit.index import Index
        from ragkit.load import load_folder
        from ragkit.store import ChunkStore

        columns = parse_columns(column)
        # The database may lie inside a folder that is indexed; its own files are no documents.
        place = Path(os.path.abspath(db))
        inside = any(place.is_relative_to(os.path.abspath(path)) for path in paths)
        left_out = [*(exclude or []), *([place.name] if inside else [])]
        documents = load_folder(paths, root=root, include=include, exclude=left_out, on_error="collect")
        store = ChunkStore.open(db) if ChunkStore.exists(db) else None
        embedder = choose_embedder(model, adapter, store.header.card if store is not None else None)
        recipe = new_recipe(adapter) if store is None else store.last_recipe()
        made = choose_chunker(recipe, name=chunker, max_tokens=max_tokens, overlap=overlap, context=context)
        gone = gone_documents(store, documents, paths, root) if prune and store is not None else []
        if dry_run:
            from ragkit.index.preview import preview

            tokenizer = embedder.tokenizer
            bound = made if tokenizer is None else made.bind(tokenizer, window=embedder.card.window)
            seen = preview(documents, chunker=bound, stored=store.digests if store is not None else lambda ids: {}, gone=gone)
            _show(seen, documents, db, as_json=as_json)
            return
        with Index(
            db, chunker=made, embedder=embedder, columns=columns, compressor=None if compress is False else "auto"
        ) as into:
            report = into.add(_Counted(documents), progress=True)
            pruned = into.delete(gone)
            if compress:
                say(f"{into.codes.fill(progress=True)} chunks were compressed that had no codes.")
        _tell(report, documents, db, pruned, as_json=as_json)
        if documents.failed:
            raise typer.Exit(SOME_FAILED)


def _show(seen: Preview, documents: FolderLoad, db: Path, *, as_json: bool) -> None:
    lists: dict[str, list[str]] = {what: seen.ids(what) for what in ("added", "replaced", "unchanged", "removed")}
    if as_json:
        left_out = _skipped(documents, [(doc_id, "no text") for doc_id in seen.empty])
        print_json({"db": str(db)} | lists | {"chunks": seen.chunks, "skipped": left_out})
        return
    for change in seen.changes:
        if change.what != "unchanged":
            count = "" if change.chunks is None else f"{change.chunks} chunk{'s' * (change.chunks != 1)}"
            typer.echo(f"{change.what:<9} {count:>12}  {change.doc_id}")
    counts = ", ".join(f"{len(ids)} {what}" for what, ids in lists.items())
    say(f"{db} would have {counts}; {'an unknown number of' if seen.chunks is None else seen.chunks} chunks would be written.")
    _name_failed(documents)


def _tell(report: AddReport, documents: FolderLoad, db: Path, pruned: int, *, as_json: bool) -> None:
    skipped = _skipped(documents, report.skipped)
    if as_json:
        counts = {name: getattr(report, name) for name in _COUNTS} | {"removed": report.removed + pruned}
        print_json({"db": str(db)} | counts | {"seconds": round(report.seconds, 3), "skipped": skipped})
    removed = f", {report.removed + pruned} removed" if report.removed + pruned else ""
    say(
        f"{db}: {report.added} documents added, {report.replaced} replaced, {report.unchanged} unchanged{removed}; "
        f"{report.chunks} chunks written in {report.seconds:.1f} seconds."
    )
    others = Counter(entry["kind"] for entry in skipped if entry["kind"] != "failed")
    if others:
        say("Left out: " + ", ".join(f"{count} {kind}" for kind, count in sorted(others.items())) + ". List them with --json.")
    _name_failed(documents)


def _name_failed(documents: FolderLoad) -> None:
    for entry in documents.failed:
        say(f"Could not be read: {entry.reason}")


def _skipped(documents: FolderLoad, empty: Any) -> list[dict[str, str]]:
    skipped = [{"path": str(entry.path), "kind": str(entry.kind), "reason": entry.reason} for entry in documents.skipped]
    return skipped + [{"path": doc_id, "kind": "empty", "reason": reason} for doc_id, reason in empty]
