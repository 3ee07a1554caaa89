"""``ragkit chunk``: see how a file is cut."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

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
from ragkit.cli.output import Debug, Json, console, print_json, reporting, say
from ragkit.errors import InvalidInputError
from ragkit.types import Document

if TYPE_CHECKING:
    from ragkit.types import Chunk


def chunk(
    file: Annotated[
        Path, typer.Argument(help="The file to cut: text, code, Markdown, HTML, PDF or a notebook.", show_default=False)
    ],
    chunker: ChunkerOption = ChunkerName.auto,
    max_tokens: MaxTokens = 256,
    overlap: Overlap = 0,
    context: ContextOption = ContextName.none,
    tokenizer: Annotated[
        str | None,
        typer.Option(
            "--tokenizer",
            help="cl100k_base, o200k_base, words, characters, a model, or a tokenizer.json; without it that of all-MiniLM-L6-v2.",
            show_default=False,
        ),
    ] = None,
    separator: Annotated[
        list[str] | None,
        typer.Option(
            "--separator",
            help="For recursive: where to cut, the strongest first; page, paragraph, line, sentence, or any text, \\\\n for a line end; "
            "may be repeated.",
            show_default=False,
        ),
    ] = None,
    best_fit: Annotated[
        bool, typer.Option("--best-fit", help="For sentence: equally few chunks, filled as evenly as sentences allow.")
    ] = False,
    html: Annotated[
        Path | None,
        typer.Option(
            "--html",
            help="Write a page that shows the chunks in the text, to this .html file (replaced if it is there).",
            show_default=False,
        ),
    ] = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Cut a file into chunks and print them with their places, without storing anything."""
    if html is not None and html.suffix.lower() not in (".html", ".htm"):
        raise typer.BadParameter(f"{html} does not end in .html; name a page to write.", param_hint="--html")
    with reporting(as_json=as_json, debug=debug):
        made = make_chunker(
            chunker,
            max_tokens=max_tokens,
            overlap=overlap,
            tokenizer=tokenizer,
            separators=separator or (),
            best_fit=best_fit,
            source=True,
        )
        document = read(file, source=chunker is ChunkerName.html)
        chunks = with_context(made, context)(document)
        places = line_ranges(document.text, chunks)
        if html is not None:
            from ragkit.cli.chunk_page import chunk_page

            page = chunk_page(document, chunks, places, chunker=chunker.value, max_tokens=max_tokens, overlap=overlap)
            write_page(html, page, source=file)
        if as_json:
            print_json([as_dict(piece) | {"lines": list(lines)} for piece, lines in zip(chunks, places, strict=True)])
        if as_json or html is not None:
            return
        out = console()
        for piece, (first, last) in zip(chunks, places, strict=True):
            headings = printable(" > ".join(piece.metadata.get("headings", [])))
            out.print(
                f"[{piece.index + 1}] lines {first}-{last}  characters {piece.start}-{piece.end}  {piece.n_tokens} tokens"
                + (f"  {headings}" if headings else ""),
                style="bold",
                soft_wrap=True,
            )
            if piece.context:
                out.print(printable(f"context: {piece.context}"), style="italic", soft_wrap=True)
            out.print(printable(piece.text.strip("\r\n")), soft_wrap=True)
            out.print()
        where = " of the extracted text" if document.metadata.get("extracted") else ""
        say(f"{len(chunks)} chunks of {document.id}; lines and characters are those{where or ' of the file'}.")


def read(file: Path, *, source: bool) -> Document:
    """The file as the loaders read it, or with ``source`` its text as it is, tags included."""
    from ragkit.load import load_file

    if not source:
        return load_file(file)
    from ragkit.load.decode import declared_charset, decode
    from ragkit.load.file import DEFAULT_MAX_BYTES, document_id, read_bytes

    data = read_bytes(file, max_bytes=DEFAULT_MAX_BYTES)
    text, _ = decode(data, name=str(file), hint=declared_charset(data))
    return Document(text, id=document_id(file, Path.cwd()), metadata={"source": file.as_posix()})


def write_page(path: Path, page: str, *, source: Path) -> None:
    """Write the page and say so. Raises InvalidInputError when it cannot be written or would replace ``source``."""
    if path.exists() and path.samefile(source):
        raise InvalidInputError(f"--html {path} is the file to cut, and would be lost. Give the page another name.")
    try:
        path.write_text(page, encoding="utf-8", newline="")
    except OSError as error:
        raise InvalidInputError(f"--html {path} cannot be written: {error.strerror}. Check the folder.") from error
    say(f"Written to {path}; open it in a browser.")


def as_dict(piece: Chunk) -> dict[str, Any]:
    """A chunk as JSON."""
    return {
        "id": piece.id,
        "doc_id": piece.doc_id,
        "index": piece.index,
        "start": piece.start,
        "end": piece.end,
        "n_tokens": piece.n_tokens,
        "text": piece.text,
        "context": piece.context,
        "metadata": dict(piece.metadata),
    }


def line_ranges(text: str, chunks: list[Chunk]) -> list[tuple[int, int]]:
    """First and last line of each chunk, counted from 1; a line end at a chunk's own end opens no further line."""
    ranges, line, at = [], 1, 0
    for piece in chunks:
        if piece.start < at:
            line -= text.count("\n", piece.start, at)
        else:
            line += text.count("\n", at, piece.start)
        at = piece.start
        ranges.append((line, line + piece.text.rstrip("\n").count("\n")))
    return ranges


def printable(text: str) -> str:
    """Text that any terminal accepts: lines end in LF, lone surrogates and control characters are shown as replacement characters."""
    lines = text.replace("\r\n", "\n").replace("\r", "\n").replace("\x85", "\n")
    return "".join(
        "\ufffd" if (ord(c) < 32 and c not in "\n\t") or 0x7F <= ord(c) < 0xA0 or 0xD800 <= ord(c) < 0xE000 else c for c in lines
    )
