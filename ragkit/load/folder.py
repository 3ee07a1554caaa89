"""Whole folders, in a fixed order, with an account of everything that was left out."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Literal

from ragkit.errors import InvalidInputError, LoadError, MissingDependencyError
from ragkit.load.decode import looks_binary
from ragkit.load.file import DEFAULT_MAX_BYTES, _document, document_id, read_bytes
from ragkit.load.kinds import media_type
from ragkit.types import Document

_SNIFF = 8192


@dataclass(frozen=True, slots=True)
class Skipped:
    """A file or folder that gave no document, and why.

    ``kind``: "excluded" (by your patterns), "hidden" (the name starts with a dot), "link" (a link to a folder),
    "unsupported" (no text format: images, archives ...), "failed" (it should have been read; ``reason`` says
    what went wrong). A skipped folder is one entry for all it holds.
    """

    path: Path
    reason: str
    kind: Literal["excluded", "hidden", "link", "unsupported", "failed"]


def _matches(relative: str, patterns: Sequence[str]) -> bool:
    name = relative.rsplit("/", 1)[-1]
    return any(fnmatchcase(relative if "/" in pattern else name, pattern) for pattern in patterns)


def _patterns(value: str | Iterable[str] | None) -> tuple[str, ...]:
    return () if value is None else (value,) if isinstance(value, str) else tuple(value)


class FolderLoad(Iterator[Document]):
    """The documents of some folders, read one at a time; ``skipped`` grows while it is iterated.

    ``paths()`` walks again without reading the files: what will be tried, in order.
    """

    def __init__(
        self,
        paths: Sequence[Path],
        *,
        root: Path,
        include: Sequence[str],
        exclude: Sequence[str],
        on_error: Literal["raise", "collect"],
        encoding: str | None,
        max_bytes: int,
    ) -> None:
        self.root = root
        self.skipped: list[Skipped] = []
        self._tops = paths
        self._include = include
        self._exclude = exclude
        self._on_error = on_error
        self._encoding = encoding
        self._max_bytes = max_bytes
        self._documents = self._read()

    def __iter__(self) -> FolderLoad:
        return self

    def __next__(self) -> Document:
        return next(self._documents)

    @property
    def failed(self) -> list[Skipped]:
        """The entries of ``skipped`` that should have been readable."""
        return [entry for entry in self.skipped if entry.kind == "failed"]

    def paths(self) -> list[Path]:
        """The files that will be tried, in order; formats that turn out to be no text are still among them."""
        return list(self._walk([]))

    def _read(self) -> Iterator[Document]:
        for file in self._walk(self.skipped):
            try:
                data = read_bytes(file, max_bytes=self._max_bytes)
                if media_type(file) is None and not data.startswith(b"%PDF-") and looks_binary(data[:_SNIFF]):
                    self.skipped.append(
                        Skipped(file, f"{file.suffix or 'a file without an ending'} is no text format", "unsupported")
                    )
                    continue
                document = _document(file, data, identity=document_id(file, self.root), encoding=self._encoding)
            except (LoadError, MissingDependencyError) as error:
                if self._on_error == "raise":
                    raise
                self.skipped.append(Skipped(file, str(error), "failed"))
                continue
            yield document

    def _walk(self, skipped: list[Skipped]) -> Iterator[Path]:
        seen: set[str] = set()
        for top in self._tops:
            for file in self._files(top, skipped) if top.is_dir() else [top]:
                key = os.path.abspath(file)
                if key not in seen:
                    seen.add(key)
                    yield file

    def _files(self, top: Path, skipped: list[Skipped]) -> Iterator[Path]:
        def unreadable(error: OSError) -> None:
            problem = LoadError(f"{error.filename} cannot be listed: {error.strerror}. Change its permissions, or exclude it.")
            if self._on_error == "raise":
                raise problem from error
            skipped.append(Skipped(Path(error.filename), str(problem), "failed"))

        for here, folders, files in os.walk(top, onerror=unreadable):
            folder = Path(here)
            folders.sort()
            kept = []
            for name in folders:
                path = folder / name
                reason = self._refuse(path, top, is_folder=True)
                if reason is None:
                    kept.append(name)
                else:
                    skipped.append(reason)
            folders[:] = kept
            for name in sorted(files):
                path = folder / name
                reason = self._refuse(path, top, is_folder=False)
                if reason is None:
                    yield path
                else:
                    skipped.append(reason)

    def _refuse(self, path: Path, top: Path, *, is_folder: bool) -> Skipped | None:
        """Why a path is left out unread, or None."""
        relative = path.relative_to(top).as_posix()
        if _matches(relative, self._exclude):
            return Skipped(path, "excluded by a pattern", "excluded")
        if path.name.startswith("."):
            return Skipped(path, "its name starts with a dot", "hidden")
        if is_folder:
            return Skipped(path, "a link to a folder; name the folder itself to load it", "link") if path.is_symlink() else None
        if self._include and not _matches(relative, self._include):
            return Skipped(path, "matches no include pattern", "excluded")
        try:
            special = not stat.S_ISREG(path.stat().st_mode)
        except OSError:
            return None  # reading it will name the problem
        return Skipped(path, "not a regular file", "unsupported") if special else None


def load_folder(
    paths: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
    *,
    root: str | os.PathLike[str] | None = None,
    include: str | Iterable[str] | None = None,
    exclude: str | Iterable[str] | None = None,
    on_error: Literal["raise", "collect"] = "raise",
    encoding: str | None = None,
    max_bytes: int = DEFAULT_MAX_BYTES,
) -> FolderLoad:
    """Read every text file of one or more folders (or files), lazily and in sorted order.

    Ids are paths relative to ``root``: by default the folder itself, or for several paths their deepest common
    folder. Patterns are shell patterns: one without a slash is compared with the name of a file or folder
    (``"*.md"``, ``"node_modules"``), one with a slash with the path inside the folder (``"docs/*.md"``, where ``*``
    crosses slashes). Names that start with a dot and links to folders are left out; a path you name yourself is always taken.

    Nothing is left out in silence: ``skipped`` of the result lists each path with its reason. A file that should
    have been readable raises LoadError; with ``on_error="collect"`` it joins ``skipped`` as "failed" instead.

        documents = load_folder("docs", include=["*.md", "*.html"], on_error="collect")
        index.add(documents)
        documents.skipped

    Raises LoadError at once for a path that does not exist; the other arguments are those of ``load_file``.
    """
    if on_error not in ("raise", "collect"):
        raise InvalidInputError(f"on_error is {on_error!r}; it must be 'raise' or 'collect'.")
    if max_bytes < 1:
        raise InvalidInputError(f"max_bytes is {max_bytes}; it must be at least 1.")
    tops = [Path(paths)] if isinstance(paths, (str, os.PathLike)) else [Path(path) for path in paths]
    for top in tops:
        if not top.exists():
            raise LoadError(f"{top} does not exist. Check the path; the current folder is {Path.cwd()}.")
    if root is not None:
        base = Path(root)
    elif tops:
        folders = [os.path.abspath(top if top.is_dir() else top.parent) for top in tops]
        base = Path(os.path.commonpath(folders))
    else:
        base = Path.cwd()
    return FolderLoad(
        tops,
        root=base,
        include=_patterns(include),
        exclude=_patterns(exclude),
        on_error=on_error,
        encoding=encoding,
        max_bytes=max_bytes,
    )
