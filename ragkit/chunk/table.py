"""Tables as delimited text: CSV, TSV and their relatives."""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import KW_ONLY, dataclass
from typing import ClassVar

from ragkit.chunk.engine import Engine
from ragkit.chunk.layout import Layout, make_layout
from ragkit.errors import InvalidInputError
from ragkit.text.boundaries import Strength
from ragkit.types import Document

_LINE = re.compile(r"[^\r\n]*+(?:\r\n|\r|\n)|[^\r\n]++")
_DELIMITERS = ",;\t|"
#: Characters that the delimiter is guessed from.
_SAMPLE = 16_000
#: Below Strength.LINE, with which rows end.
_BELOW_HEADER, _INSIDE_ROW = 1, 0


@dataclass(frozen=True)
class TableChunker(Engine):
    """Whole rows of CSV (RFC 4180, with line ends in quoted cells), TSV and the like, as many as fit.

    The first row names the columns: with ``header`` it is the ``context`` of every chunk that begins below it, counted
    against the limit and never part of the text. ``delimiter`` is one character; None takes a tab where the document's
    ``media_type`` says so, else the one of comma, semicolon, tab and bar that gives the most rows equally many cells. A row beyond
    the limit is cut between words.

    Raises InvalidInputError for a delimiter that is not one character.
    """

    _: KW_ONLY
    delimiter: str | None = None
    header: bool = True

    kind: ClassVar[str] = "table"
    local: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.delimiter is not None and (
            not isinstance(self.delimiter, str) or len(self.delimiter) != 1 or self.delimiter in '"\r\n'
        ):
            raise InvalidInputError(
                f"delimiter is {self.delimiter!r}; it must be one character that is no quote and no line end, such as ',' or '\\t', "
                "or None to find it."
            )
        if not isinstance(self.header, bool):
            raise InvalidInputError(
                f"header is {self.header!r}; it must be True when the first row names the columns, else False."
            )

    def layout(self, document: Document) -> Layout:
        """Cuts between rows, and the first row as the context of what follows."""
        return self._layout(document, document.text, begins=True)

    def _next_layout(self, document: Document, head: str) -> Layout:
        return self._layout(document, head, begins=False)

    def _layout(self, document: Document, head: str, *, begins: bool) -> Layout:
        """``head`` is how the table begins, ``begins`` whether the document's text begins with it."""
        text = document.text
        delimiter = self.delimiter or _delimiter(head, str(document.metadata.get("media_type")))
        cuts: dict[int, int] = {}
        atoms: list[tuple[int, int]] = []
        start = 0
        for end, lines in _rows(text, delimiter):
            cuts[end] = Strength.LINE
            if lines:
                atoms.append((start, end))
                cuts |= dict.fromkeys(lines, _INSIDE_ROW)
            start = end
        if not self.header:
            return make_layout(cuts, len(text), atoms=atoms)
        end, _ = next(_rows(head, delimiter), (0, []))
        if begins and end in cuts:
            cuts[end] = _BELOW_HEADER
        context = head[:end].strip()
        return make_layout(cuts, len(text), atoms=atoms, contexts=((end if begins else 0, context),))


def _delimiter(head: str, media_type: str) -> str:
    if media_type == "text/tab-separated-values":
        return "\t"
    sample = head[:_SAMPLE]
    if len(head) > _SAMPLE and (end := max(sample.rfind("\n"), sample.rfind("\r"))) > 0:
        sample = sample[: end + 1]
    return max(_DELIMITERS, key=lambda delimiter: _regular(sample, delimiter))


def _regular(sample: str, delimiter: str) -> tuple[float, int]:
    """How large a share of the rows has the commonest number of cells, and that number; nothing for one cell."""
    try:
        widths = Counter(len(row) for row in csv.reader(_lines(sample, 0, []), delimiter=delimiter) if row)
    except csv.Error:
        return 0.0, 0
    width, rows = max(widths.items(), key=lambda entry: (entry[1], entry[0]), default=(1, 0))
    return (rows / widths.total(), width) if width > 1 else (0.0, 0)


def _rows(text: str, delimiter: str) -> Iterator[tuple[int, list[int]]]:
    """The end of each row, and the line ends inside it."""
    at = 0
    while at < len(text):
        begin, read = at, list[int]()
        lines = _lines(text, at, read)
        try:
            for _ in csv.reader(lines, delimiter=delimiter):
                begin = read[-1]
                yield begin, read[:-1]
                read.clear()
            return
        except csv.Error:
            # A cell too long for any table: a quote that nothing closes. Its line is a row, and reading goes on below it.
            line = _LINE.match(text, begin)
            at = len(text) if line is None else line.end()
            yield at, []


def _lines(text: str, at: int, read: list[int]) -> Iterator[str]:
    """The lines of ``text`` from ``at`` on; the end of each that was taken goes to ``read``."""
    for line in _LINE.finditer(text, at):
        read.append(line.end())
        yield line.group()
