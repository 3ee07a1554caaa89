"""HTML source, by its block elements; offsets are those of the source, tags included."""

from __future__ import annotations

from dataclasses import dataclass
from html.parser import HTMLParser
from typing import ClassVar

from ragkit.chunk.engine import Engine
from ragkit.chunk.html_tables import HeaderRows
from ragkit.chunk.layout import Layout, make_layout
from ragkit.text.boundaries import Strength, prose_cuts
from ragkit.types import Document, Metadata

_BLOCKS = frozenset(
    {"address", "article", "aside", "blockquote", "body", "dd", "details", "div", "dl", "dt", "fieldset", "figure", "footer", "form",
     "head", "header", "hr", "li", "main", "nav", "ol", "p", "pre", "script", "section", "style", "table", "tbody", "thead", "tr", "ul"}
)  # fmt: skip
_WHOLE = frozenset(["dl", "li", "ol", "pre", "script", "style", "table", "tr", "ul", "h1", "h2", "h3", "h4", "h5", "h6"])
_HEADINGS = frozenset(["h1", "h2", "h3", "h4", "h5", "h6"])
_HEADING = 20


@dataclass(frozen=True)
class HtmlChunker(Engine):
    """Sections and block elements of HTML; tables, lists and preformatted text stay whole when they fit.

    For text without tags load the file with ``ragkit.load`` and use another chunker; this one keeps the source. The
    path of headings above a chunk is its ``metadata["headings"]``, a list from the outermost down. A tag is not cut while
    it fits. A table that does not fit is cut between rows, and a chunk that begins below its header row has that row's
    cells as its ``context``.
    """

    kind: ClassVar[str] = "html"

    def layout(self, document: Document) -> Layout:
        """Cuts before block elements, sentences inside them."""
        reader = _Reader(document.text)
        cuts = prose_cuts(document.text)
        for at, strength in reader.cuts.items():
            cuts[at] = max(cuts.get(at, 0), strength)
        for at in reader.after_headings:
            cuts.pop(at, None)
        contexts = tuple(reader.headers.contexts)
        return make_layout(cuts, len(document.text), atoms=reader.atoms, sections=tuple(reader.sections), contexts=contexts)


class _Reader(HTMLParser):
    """Where blocks begin, which stay whole, and what the headings say."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.cuts: dict[int, int] = {}
        self.atoms: list[tuple[int, int]] = []
        self.sections: list[tuple[int, Metadata]] = []
        self.after_headings: list[int] = []
        self.headers = HeaderRows()
        self._lines = [0]
        at = text.find("\n")
        while at >= 0:
            self._lines.append(at + 1)
            at = text.find("\n", at + 1)
        self._open: list[tuple[str, int]] = []
        self._path: list[tuple[int, str]] = []
        self._heading: list[str] | None = None
        # Behind the last ">" no tag closes, and the parser would look for its end from every "<" anew.
        self.feed(text[: text.rfind(">") + 1])
        self.close()

    def parse_html_declaration(self, i: int) -> int:
        """Read on behind ``<![...>``, on which the parser gives up; in HTML that is a comment up to the next ``>``."""
        return self.parse_bogus_comment(i) if self.rawdata.startswith("<![", i) else super().parse_html_declaration(i)

    def _place(self) -> int:
        line, column = self.getpos()
        return self._lines[line - 1] + column

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note the place of a tag."""
        at = self._place()
        source = self.get_starttag_text() or ""
        self.atoms.append((at, at + len(source)))
        self.headers.start(tag, at)
        if tag in _HEADINGS:
            self.cuts[at] = _HEADING - int(tag[1])
            self._heading = []
        elif tag in _BLOCKS:
            self.cuts[at] = max(self.cuts.get(at, 0), Strength.PARAGRAPH)
        if tag in _WHOLE:
            self._open.append((tag, at))

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note the place of a tag that closes itself."""
        at = self._place()
        self.atoms.append((at, at + len(self.get_starttag_text() or "")))

    def handle_endtag(self, tag: str) -> None:
        """Close the innermost element of that name."""
        self.headers.end(tag, self._place() + len(tag) + 3)
        if tag not in _WHOLE:
            return
        end = self._place() + len(tag) + 3
        for place in range(len(self._open) - 1, -1, -1):
            name, start = self._open[place]
            if name == tag:
                del self._open[place:]
                self.atoms.append((start, end))
                break
        else:
            return
        if tag in _HEADINGS and self._heading is not None:
            level = int(tag[1])
            self._path = [entry for entry in self._path if entry[0] < level]
            self._path.append((level, " ".join("".join(self._heading).split())))
            self.sections.append((start, {"headings": [title for _, title in self._path]}))
            self._heading = None

    def handle_data(self, data: str) -> None:
        """Collect what headings say."""
        self.headers.text(data)
        if self._heading is not None:
            self._heading.append(data)
