"""The blocks of a CommonMark text and the lines they cover."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ragkit.seams import Offsets
from ragkit.text.unicode import encodable

if TYPE_CHECKING:
    from pyromark import Markdown

#: The parser's names, and ours; what is not here is inline.
_KINDS = {
    "BlockQuote": "quote", "CodeBlock": "code", "Heading": "heading", "HtmlBlock": "html", "Item": "item", "List": "list",
    "Paragraph": "paragraph", "Rule": "rule", "Table": "table", "TableHead": "table head", "TableRow": "table row",
}  # fmt: skip

#: The parser takes a lone carriage return for a line end in some blocks only.
_LONE_RETURN = re.compile(r"\r(?!\n)")


@dataclass(frozen=True, slots=True)
class Block:
    """Whole lines ``[start, end)`` of one kind: "heading", "paragraph", "code", "html", "quote", "list", "item", "rule",
    "table", "table head" or "table row".

    ``level`` is a heading's, 1 to 6, and 0 for other kinds; ``title`` its text as it was written. ``nested`` says that
    another block holds this one.
    """

    kind: str
    start: int
    end: int
    nested: bool
    level: int = 0
    title: str = ""


@cache
def _parser() -> Markdown:
    from pyromark import Markdown, Options

    return Markdown(options=Options.ENABLE_TABLES)


def blocks(text: str, begin: int = 0) -> list[Block]:
    """The blocks of ``text[begin:]``, in order, a block before those inside it; offsets are of ``text``."""
    body = _LONE_RETURN.sub("\n", encodable(text[begin:]))
    kinds, marks, headings = _read(body)
    data = body.encode("utf-8")
    edges = _whole_lines(np.array(marks, np.int64).reshape(-1, 2), np.frombuffer(data, np.uint8))
    spans = (_characters(edges, data) + begin).tolist()
    titles = {at: (level, data[first:last].decode("utf-8", "replace")) for at, level, first, last in headings}
    found: list[Block] = []
    outer = begin
    for at, (kind, (start, end)) in enumerate(zip(kinds, spans, strict=True)):
        level, title = titles.get(at, (0, ""))
        found.append(Block(kind, start, end, start < outer, level, title))
        outer = max(outer, end)
    return found


def _read(body: str) -> tuple[list[str], list[tuple[int, int]], list[tuple[int, int, int, int]]]:
    """Kinds of blocks, their bytes, and of each heading its place, level and the bytes of its content."""
    kinds: list[str] = []
    marks: list[tuple[int, int]] = []
    headings: list[tuple[int, int, int, int]] = []
    level = first = last = 0
    for event, where in _parser().events_with_range(body):
        if type(event) is dict and "Start" in event:
            tag: Any = event["Start"]
            name = tag if type(tag) is str else next(iter(tag))
            kind = _KINDS.get(name)
            if kind is not None:
                kinds.append(kind)
                marks.append((where["start"], where["end"]))
                if kind == "heading":
                    level, first, last = int(tag["Heading"]["level"][1]), -1, -1
                continue
        elif event == "Rule":
            kinds.append("rule")
            marks.append((where["start"], where["end"]))
            continue
        if level:
            if type(event) is dict and "End" in event and type(event["End"]) is dict and "Heading" in event["End"]:
                headings.append((len(kinds) - 1, level, max(first, 0), max(last, 0)))
                level = 0
            elif where["end"] > where["start"]:
                first = where["start"] if first < 0 else first
                last = where["end"]
    return kinds, marks, headings


def _whole_lines(edges: Offsets, data: NDArray[np.uint8]) -> Offsets:
    """The spans, widened to whole lines."""
    lines = np.concatenate([[0], np.flatnonzero(data == ord("\n")) + 1, [len(data)]])
    wide = np.empty_like(edges)
    wide[:, 0] = lines[np.searchsorted(lines, edges[:, 0], side="right") - 1]
    wide[:, 1] = lines[np.minimum(np.searchsorted(lines, edges[:, 1], side="left"), len(lines) - 1)]
    return wide


def _characters(edges: Offsets, data: bytes) -> Offsets:
    """Byte offsets as offsets of characters."""
    inside = np.flatnonzero((np.frombuffer(data, np.uint8) & 0xC0) == 0x80)
    return edges - np.searchsorted(inside, edges) if len(inside) else edges
