"""One file to one Document."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path
from typing import Any

from ragkit.errors import InvalidInputError, LoadError
from ragkit.load.decode import declared_charset, decode
from ragkit.load.kinds import media_type
from ragkit.types import Document

DEFAULT_MAX_BYTES = 100_000_000
_FENCE = re.compile(r"^ {0,3}(?:```|~~~)", re.MULTILINE)
_TITLE = re.compile(r"^#[ \t]+(\S.*?)[ \t]*#*[ \t]*\r?$", re.MULTILINE)


def document_id(path: Path, root: Path) -> str:
    """The path relative to ``root``, with forward slashes; absolute for a file outside of it. LoadError for broken names."""
    absolute = Path(os.path.abspath(path))
    base = Path(os.path.abspath(root))
    name = (absolute.relative_to(base) if absolute.is_relative_to(base) else absolute).as_posix()
    try:
        name.encode("utf-8")
    except UnicodeEncodeError as error:
        raise LoadError(f"The file name {name!r} is not valid UTF-8, so it cannot serve as an id. Rename the file.") from error
    return name


def read_bytes(path: Path, *, max_bytes: int) -> bytes:
    """The bytes of a regular file of at most ``max_bytes``. Raises LoadError with the reason and the remedy."""
    try:
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            raise LoadError(f"{path} is a folder. Use load_folder for it.")
        if not stat.S_ISREG(mode):
            raise LoadError(f"{path} is not a regular file (a pipe, socket or device). Copy its content into a file first.")
        with path.open("rb") as file:
            data = file.read(max_bytes + 1)
    except LoadError:
        raise
    except FileNotFoundError as error:
        broken = "is a link to a file that does not exist" if path.is_symlink() else "does not exist"
        raise LoadError(f"{path} {broken}. Check the path; the current folder is {Path.cwd()}.") from error
    except PermissionError as error:
        raise LoadError(f"{path} may not be read by this user. Change its permissions, or leave it out.") from error
    except OSError as error:
        raise LoadError(f"{path} cannot be read: {error.strerror or error}. Check the file and the disk.") from error
    except ValueError as error:
        raise LoadError(f"{str(path)!r} is no path: {error}. Give the path of a file.") from error
    if len(data) > max_bytes:
        raise LoadError(f"{path} is larger than the limit of {max_bytes} bytes. Split it, or pass a larger max_bytes=.")
    return data


def _markdown_title(text: str) -> str | None:
    """The first heading of level 1 before any fenced code."""
    fence = _FENCE.search(text)
    found = _TITLE.search(text, 0, fence.start() if fence else len(text))
    return found.group(1) if found else None


def load_file(
    path: str | os.PathLike[str],
    *,
    root: str | os.PathLike[str] | None = None,
    encoding: str | None = None,
    max_bytes: int = DEFAULT_MAX_BYTES,
) -> Document:
    """Read one file as a Document: plain text, source code, Markdown, HTML, PDF or a notebook.

    The id is the path relative to ``root`` (default: the current folder) with forward slashes, or the absolute
    path for a file outside it. Metadata: ``source`` (the path as given), ``media_type``, ``title`` where the
    file has one, ``encoding`` where it is not plain UTF-8 (recognised by mark, declaration or a guess; pass
    ``encoding`` to settle it), ``pages`` for PDF.

    Text, code and Markdown are taken exactly: offsets are those of
    ``open(path, encoding=metadata.get("encoding", "utf-8"), newline="").read()``. HTML, PDF and notebooks give
    extracted text, marked by ``extracted: true``: offsets and lines then refer to that text. In a PDF's text a form
    feed stands between pages. An empty file is a document with empty text.

    Raises LoadError for a missing, unreadable, binary, damaged or protected file and one above ``max_bytes``;
    MissingDependencyError where the extra ``load`` is needed.
    """
    if max_bytes < 1:
        raise InvalidInputError(f"max_bytes is {max_bytes}; it must be at least 1.")
    file = Path(path)
    data = read_bytes(file, max_bytes=max_bytes)
    return _document(file, data, identity=document_id(file, Path.cwd() if root is None else Path(root)), encoding=encoding)


def _document(file: Path, data: bytes, *, identity: str, encoding: str | None) -> Document:
    name = str(file)
    kind = media_type(file) or ("application/pdf" if data.startswith(b"%PDF-") else "text/plain")
    title: str | None = None
    extra: dict[str, Any] = {}
    if kind == "application/pdf":
        from ragkit.load.pdf import pdf_text

        text, title, pages = pdf_text(data, name=name)
        extra = {"extracted": True, "pages": pages}
    else:
        hint = declared_charset(data) if kind == "text/html" else None
        text, used = decode(data, name=name, encoding=encoding, hint=hint)
        if used != "utf-8":
            extra["encoding"] = used
        if kind == "text/html":
            from ragkit.load.html import html_text

            text, title = html_text(text, name=name)
            extra["extracted"] = True
        elif kind == "application/x-ipynb+json":
            from ragkit.load.notebook import notebook_text

            text = notebook_text(text, name=name)
            title = _markdown_title(text)
            extra["extracted"] = True
        elif kind == "text/markdown":
            title = _markdown_title(text)
    metadata = {"source": file.as_posix(), "media_type": kind} | ({"title": title} if title else {}) | extra
    return Document(text, id=identity, metadata=metadata)
