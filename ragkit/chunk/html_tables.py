"""The header rows of HTML tables, as what is read before a chunk that begins below them."""

from __future__ import annotations

from dataclasses import dataclass, field

_CELLS = ("td", "th")


@dataclass(slots=True)
class _Table:
    """A table being read: its header rows so far, and whether more may come."""

    rows: list[str] = field(default_factory=list)
    cells: list[str] = field(default_factory=list)
    in_head: bool = False
    in_row: bool = False
    has_data: bool = False
    done: bool = False

    @property
    def context(self) -> str:
        return "\n".join(self.rows) if self.done else ""


class HeaderRows:
    """Told of tags and text in order, it lists ``(offset, header)``: a chunk that begins there or later is below that header.

    The header of a table is the rows in its ``thead``, else its first row where all cells are ``th``; a row is its cells,
    parted by bars. ``""`` ends a header's reach.
    """

    def __init__(self) -> None:
        self.contexts: list[tuple[int, str]] = []
        self._open: list[_Table] = []

    def start(self, tag: str, at: int) -> None:
        """A start tag at ``at``."""
        if tag == "table":
            if self._open:
                self.contexts.append((at, ""))
            self._open.append(_Table())
        elif self._open:
            table = self._open[-1]
            if tag == "tr":
                self._end_row(at)
                table.in_row, table.has_data, table.cells = True, False, []
            elif tag == "thead":
                table.in_head = True
            elif tag == "tbody":
                self._end_row(at)
                self._end_head(at)
            elif tag in _CELLS and table.in_row:
                table.has_data |= tag == "td"
                table.cells.append("")

    def end(self, tag: str, after: int) -> None:
        """An end tag that ends before ``after``."""
        if not self._open:
            return
        if tag == "tr":
            self._end_row(after)
        elif tag == "thead":
            self._end_row(after)
            self._end_head(after)
        elif tag == "table":
            self._open.pop()
            self.contexts.append((after, self._open[-1].context if self._open else ""))

    def text(self, data: str) -> None:
        """Text between tags."""
        if self._open and self._open[-1].cells and not self._open[-1].done:
            self._open[-1].cells[-1] += data

    def _end_row(self, at: int) -> None:
        table = self._open[-1]
        if not table.in_row:
            return
        table.in_row = False
        if table.done or not table.cells:
            return
        if table.in_head or not table.has_data:
            table.rows.append(" | ".join(" ".join(cell.split()) for cell in table.cells))
        if not table.in_head:
            self._end_head(at)

    def _end_head(self, at: int) -> None:
        table = self._open[-1]
        table.in_head = False
        if not table.done:
            table.done = True
            if table.rows:
                self.contexts.append((at, table.context))
