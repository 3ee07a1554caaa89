"""Markdown, by its CommonMark blocks: headings, fences, tables, lists."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, ClassVar

from ragkit.chunk.engine import Engine
from ragkit.chunk.layout import Layout, make_layout
from ragkit.text.boundaries import Strength, line_cuts, prose_cuts
from ragkit.types import Document, Metadata

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from markdown_it.token import Token

_LINE_END = re.compile(r"\r\n|\r|\n")
_FRONT_MATTER = re.compile(r"\A---[ \t]*(?:\r\n|\r|\n).*?(?:\r\n|\r|\n)(?:---|\.\.\.)[ \t]*(?:\r\n|\r|\n|\Z)", re.DOTALL)
#: Blocks whose lines are not prose: sentences end nowhere inside them.
_LITERAL = frozenset({"fence", "code_block", "table_open", "html_block"})
_WHOLE = _LITERAL | {"bullet_list_open", "ordered_list_open", "list_item_open", "heading_open"}
#: Above every boundary of running text: a first-level heading is the strongest, a sixth-level one the weakest.
_HEADING = 20


@dataclass(frozen=True)
class MarkdownChunker(Engine):
    """Sections and blocks of CommonMark with tables; code fences, tables and lists stay whole when they fit.

    A chunk prefers to end before a heading, the higher the better, and not right after one. The path of headings
    above a chunk is its ``metadata["headings"]``, a list from the outermost down. YAML front matter is one block.
    """

    kind: ClassVar[str] = "markdown"

    def layout(self, document: Document) -> Layout:
        """Blocks by the parser's line ranges, sentences inside paragraphs."""
        text = document.text
        front = _FRONT_MATTER.match(text)
        body = text if front is None else "\n" * len(_LINE_END.findall(front.group())) + text[front.end() :]
        tokens = [token for token in _parser().parse(body) if token.map is not None]
        lines = [0, *(match.end() for match in _LINE_END.finditer(text))]
        spans = [_span(token, lines, len(text)) for token in tokens]

        literal = [span for token, span in zip(tokens, spans, strict=True) if token.type in _LITERAL]
        whole = [span for token, span in zip(tokens, spans, strict=True) if token.type in _WHOLE]
        if front is not None:
            literal.append(front.span())
            whole.append(front.span())
        cuts = _cuts(text, literal)
        for token, (start, _) in zip(tokens, spans, strict=True):
            if token.type != "inline":
                cuts[start] = max(cuts.get(start, 0), Strength.LINE if token.level else Strength.PARAGRAPH)
        _lead_with_headings(cuts, tokens, spans)
        return make_layout(cuts, len(text), atoms=whole, sections=_sections(tokens, spans))


@cache
def _parser() -> MarkdownIt:
    from markdown_it import MarkdownIt

    parser = MarkdownIt("commonmark").enable("table")
    # Inline markup moves no boundary.
    parser.core.ruler.enableOnly(["normalize", "block"])
    return parser


def _span(token: Token, lines: list[int], length: int) -> tuple[int, int]:
    first, last = token.map or [0, 0]
    return lines[first] if first < len(lines) else length, lines[last] if last < len(lines) else length


def _cuts(text: str, literal: list[tuple[int, int]]) -> dict[int, int]:
    """Prose cuts outside the literal blocks; inside them line ends, as a last resort before words."""
    cuts: dict[int, int] = {}
    done = 0
    for start, end in sorted(literal):
        if start < done:
            continue
        cuts |= prose_cuts(text, done, start)
        cuts |= {at: min(strength - 2, Strength.SENTENCE) for at, strength in line_cuts(text, start, end).items()}
        cuts[end] = Strength.LINE
        done = end
    return cuts | prose_cuts(text, done)


def _lead_with_headings(cuts: dict[int, int], tokens: list[Token], spans: list[tuple[int, int]]) -> None:
    """Strong cuts before headings, and none between a heading and what follows it."""
    after_heading = False
    for token, (start, end) in zip(tokens, spans, strict=True):
        if token.type == "inline":
            continue
        if after_heading:
            cuts.pop(start, None)
        after_heading = token.type == "heading_open"
        if after_heading:
            cuts.pop(end, None)
            cuts[start] = _HEADING - int(token.tag[1])


def _sections(tokens: list[Token], spans: list[tuple[int, int]]) -> tuple[tuple[int, Metadata], ...]:
    """The heading path from each heading on."""
    path: list[tuple[int, str]] = []
    sections: list[tuple[int, Metadata]] = []
    for at, token in enumerate(tokens):
        if token.type != "heading_open":
            continue
        level = int(token.tag[1])
        path = [entry for entry in path if entry[0] < level]
        title = tokens[at + 1].content if at + 1 < len(tokens) and tokens[at + 1].type == "inline" else ""
        path.append((level, " ".join(title.split())))
        sections.append((spans[at][0], {"headings": [text for _, text in path]}))
    return tuple(sections)
