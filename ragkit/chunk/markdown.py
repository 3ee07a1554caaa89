"""Markdown, by its CommonMark blocks: headings, fences, tables, lists."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import ClassVar

from ragkit.chunk.commonmark import Block, blocks
from ragkit.chunk.engine import Engine
from ragkit.chunk.layout import Layout, make_layout
from ragkit.text.boundaries import Strength, line_cuts, prose_cuts
from ragkit.types import Document, Metadata

_LINE_END = re.compile(r"[\r\n]")
_FRONT_MATTER = re.compile(r"\A---[ \t]*(?:\r\n|\r|\n).*?(?:\r\n|\r|\n)(?:---|\.\.\.)[ \t]*(?:\r\n|\r|\n|\Z)", re.DOTALL)
#: Blocks whose lines are not prose: sentences end nowhere inside them.
_LITERAL = frozenset({"code", "table", "html"})
_WHOLE = _LITERAL | {"list", "item", "heading"}
#: Above every boundary of running text: a first-level heading is the strongest, a sixth-level one the weakest.
_HEADING = 20


@dataclass(frozen=True)
class MarkdownChunker(Engine):
    """Sections and blocks of CommonMark with tables; code fences, tables and lists stay whole when they fit.

    A chunk prefers to end before a heading, the higher the better, and not right after one. The path of headings
    above a chunk is its ``metadata["headings"]``, a list from the outermost down. YAML front matter is one block. A table
    that does not fit is cut between rows, and a chunk that begins below its header row has that row as its ``context``.
    """

    kind: ClassVar[str] = "markdown"

    def layout(self, document: Document) -> Layout:
        """Blocks by the parser's line ranges, sentences inside paragraphs."""
        text = document.text
        front = _FRONT_MATTER.match(text)
        found = blocks(text, front.end() if front else 0)
        literal = [(block.start, block.end) for block in found if block.kind in _LITERAL]
        whole = [(block.start, block.end) for block in found if block.kind in _WHOLE]
        if front is not None:
            literal.insert(0, front.span())
            whole.append(front.span())
        cuts = _cuts(text, literal)
        for block in found:
            cuts[block.start] = max(cuts.get(block.start, 0), Strength.LINE if block.nested else Strength.PARAGRAPH)
        _lead_with_headings(cuts, found)
        contexts = _lead_with_header_rows(text, cuts, found)
        return make_layout(cuts, len(text), atoms=whole, sections=_sections(found), contexts=contexts)


def _cuts(text: str, literal: list[tuple[int, int]]) -> dict[int, int]:
    """Prose cuts outside the literal blocks; inside them line ends, as a last resort before words."""
    cuts: dict[int, int] = {}
    done = 0
    for start, end in literal:
        if start < done:
            continue
        cuts |= prose_cuts(text, done, start)
        cuts |= {at: min(strength - 2, Strength.SENTENCE) for at, strength in line_cuts(text, start, end).items()}
        cuts[end] = Strength.LINE
        done = end
    return cuts | prose_cuts(text, done)


def _lead_with_headings(cuts: dict[int, int], found: list[Block]) -> None:
    """Strong cuts before headings, and none between a heading and what follows it."""
    after_heading = False
    for block in found:
        if after_heading:
            cuts.pop(block.start, None)
        after_heading = block.kind == "heading"
        if after_heading:
            cuts.pop(block.end, None)
            cuts[block.start] = _HEADING - block.level


def _lead_with_header_rows(text: str, cuts: dict[int, int], found: list[Block]) -> tuple[tuple[int, str], ...]:
    """The header row from where each table's rows begin to its end; a weaker cut below it than between rows."""
    contexts: list[tuple[int, str]] = []
    end = 0
    for block in found:
        if block.kind == "table":
            end = block.end
        elif block.kind == "table head":
            if block.end in cuts:
                cuts[block.end] = Strength.WRAP
            contexts += [(block.end, _LINE_END.split(text[block.start : block.end].strip(), 1)[0].strip()), (end, "")]
    return tuple(contexts)


def _sections(found: list[Block]) -> tuple[tuple[int, Metadata], ...]:
    """The heading path from each heading on."""
    path: list[tuple[int, str]] = []
    sections: list[tuple[int, Metadata]] = []
    for block in found:
        if block.kind == "heading":
            path = [entry for entry in path if entry[0] < block.level]
            path.append((block.level, " ".join(block.title.split())))
            sections.append((block.start, {"headings": [title for _, title in path]}))
    return tuple(sections)
