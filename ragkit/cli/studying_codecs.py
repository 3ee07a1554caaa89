"""``ragkit study codecs``: quality against bytes on vectors at hand."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ragkit.cli.output import Debug, Json, console, print_json, reporting, say, write_file
from ragkit.errors import InvalidInputError
from ragkit.weights import DEFAULT_MODEL

if TYPE_CHECKING:
    from ragkit.evaluate.codecs import CodecReport


def codecs(
    subject: Annotated[
        Path, typer.Argument(help="A database of ragkit, or a collection (corpus.jsonl, queries.jsonl, ...).", show_default=False)
    ],
    only: Annotated[
        str | None,
        typer.Option(
            "--codecs", help="Some codecs, separated by commas, as int8,rotated+int4,'binary -> int8 @ 10'.", show_default=False
        ),
    ] = None,
    questions: Annotated[
        Path | None,
        typer.Option(
            "--questions",
            help="For a database: a text file, one question a line; without it stored vectors ask.",
            show_default=False,
        ),
    ] = None,
    k: Annotated[int, typer.Option("--k", "-k", min=1, help="How many results are compared.")] = 10,
    limit: Annotated[int, typer.Option("--limit", min=100, help="At most so many vectors of a database, by chance.")] = 50_000,
    model: Annotated[
        str, typer.Option("--model", help="For a collection: the embedding model, a name or a folder.")
    ] = DEFAULT_MODEL,
    html: Annotated[
        Path | None, typer.Option("--html", help="Write a page to this .html file (extra study).", show_default=False)
    ] = None,
    png: Annotated[
        Path | None, typer.Option("--png", help="Write the picture to this .png file (extra study).", show_default=False)
    ] = None,
    seed: Annotated[int, typer.Option("--seed", help="For everything left to chance.")] = 0,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """See how few bytes a vector needs: each codec's size, the results it keeps, and those that no other beats.

    Your own vectors are encoded and searched with each codec; what float32 finds is the measure, and nDCG where
    questions are judged. Nothing is written to the database.
    """
    for option, path, suffixes in (("--html", html, (".html", ".htm")), ("--png", png, (".png",))):
        if path is not None and path.suffix.lower() not in suffixes:
            raise typer.BadParameter(f"{path} does not end in {suffixes[0]}.", param_hint=option)
    with reporting(as_json=as_json, debug=debug):
        from ragkit.evaluate.codecs import CODECS
        from ragkit.evaluate.codecs_page import codec_page, codec_picture
        from ragkit.evaluate.codecs_source import collection_vectors, database_vectors

        if (subject / "corpus.jsonl").is_file() or (subject / "corpus.jsonl.gz").is_file():
            if questions is not None:
                raise InvalidInputError("--questions is for a database; a collection has questions of its own.")
            source = collection_vectors(subject, model=model)
        else:
            source = database_vectors(subject, questions=_lines(questions), limit=limit, seed=seed)
        chosen = CODECS if only is None else [part.strip() for part in only.split(",") if part.strip()]
        report = source.report(codecs=chosen, k=k, seed=seed)
        pages = [
            (path, made(report))
            for path, made in ((png, codec_picture), (html, lambda one: codec_page(one).encode()))
            if path is not None
        ]
        for path, data in pages:
            write_file(path, data)
            say(f"Written to {path}.")
        _show(report, source.notes, as_json=as_json)


def _lines(path: Path | None) -> list[str] | None:
    if path is None:
        return None
    try:
        found = [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInputError(f"--questions {path} cannot be read: {error}") from error
    if not found:
        raise InvalidInputError(f"--questions {path} has no line with text; write one question a line.")
    return found


def _show(report: CodecReport, notes: tuple[str, ...], *, as_json: bool) -> None:
    if as_json:
        print_json(report.to_dict() | {"notes": notes})
        return
    from rich.table import Table

    header, rows = report.table()
    table = Table(box=None, pad_edge=False)
    for place, name in enumerate(header):
        table.add_column(name, justify="right" if 0 < place < len(header) - 1 else "left", no_wrap=True)
    for row in rows:
        table.add_row(*row)
    out = console()
    out.width = max(out.width, 130)
    out.print(table)
    out.print()
    for sentence in report.sentences():
        out.print(sentence, soft_wrap=True)
    for one in report.outcomes:
        if one.left_out:
            say(f"{one.name} was not measured: {one.left_out}")
    for note in notes:
        say(note)
    asked = "stored vectors asked for their neighbours, an easier question than people's" if report.made_queries else "questions"
    say(f"{report.source}: {report.rows:,} vectors of {report.dim} dimensions, {report.queries:,} {asked}, model {report.model}.")
