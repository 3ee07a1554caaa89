"""HTML to readable text: one pass over the parser's events, so neither depth nor size of a page matters."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from ragkit.errors import LoadError, MissingDependencyError

if TYPE_CHECKING:
    from collections.abc import Mapping


def _tags(names: str) -> frozenset[str]:
    return frozenset(names.split())


_HIDDEN = _tags("script style template noscript nav svg select button iframe object canvas audio video")
_PARAGRAPHS = _tags(
    "address article aside blockquote body center details dialog dl fieldset figure footer form h1 h2 h3 h4 h5 h6 header hgroup "
    "hr main ol p pre section table ul"
)
_LINES = _tags("caption dd div dt figcaption legend li optgroup option summary tr")
_VOID = _tags("area base br col embed hr img input link meta source track wbr")
_BLANKS = re.compile(r"[ \t\r\n\f]+")


class _Reader:
    """A parser target that gathers text: ``breaks`` line ends are owed before the next word, ``gap`` a blank."""

    def __init__(self) -> None:
        self.parts: list[str] = []
        self.title: list[str] = []
        self.heading: list[str] = []
        self.hidden: list[str] = []
        self.inside: dict[str, int] = {"pre": 0, "title": 0, "h1": 0}
        self.breaks = 0
        self.gap = False

    def start(self, tag: str, attributes: Mapping[str, str]) -> None:
        if self.hidden or (tag in _HIDDEN or "hidden" in attributes):
            if tag not in _VOID:
                self.hidden.append(tag)
            return
        self._edge(tag)
        if tag == "br":
            self.parts.append("\n")
            self.gap = False
        elif tag in ("td", "th"):
            self.gap = True
        if tag in self.inside:
            self.inside[tag] += 1

    def end(self, tag: str) -> None:
        if self.hidden:
            if tag in self.hidden:
                del self.hidden[len(self.hidden) - 1 - self.hidden[::-1].index(tag) :]
            return
        self._edge(tag)
        if self.inside.get(tag):
            self.inside[tag] -= 1

    def data(self, text: str) -> None:
        if self.hidden:
            return
        if self.inside["title"]:
            self.title.append(text)
            return
        if self.inside["h1"]:
            self.heading.append(text)
        if self.inside["pre"]:
            self._settle()
            self.parts.append(text)
            return
        words = _BLANKS.sub(" ", text)
        if not words:
            return
        self.gap = self.gap or words[0] == " "
        stripped = words.strip(" ")
        if stripped:
            self._settle()
            self.parts.append(stripped)
            self.gap = words[-1] == " "

    def close(self) -> None:
        """Part of lxml's target interface; the reader itself holds the result."""

    def _edge(self, tag: str) -> None:
        self.breaks = max(self.breaks, 2 if tag in _PARAGRAPHS else 1 if tag in _LINES else 0)

    def _settle(self) -> None:
        """Pay the owed line ends or blank before a word; nothing is owed at the very start."""
        if self.parts:
            if self.breaks:
                ended = self.parts[-1].endswith("\n")
                self.parts.append("\n" * (self.breaks - ended))
            elif self.gap and not self.parts[-1].endswith("\n"):
                self.parts.append(" ")
        self.breaks = 0
        self.gap = False


def html_text(page: str, *, name: str) -> tuple[str, str | None]:
    """The readable text of an HTML page, and its title (``<title>``, else the first ``<h1>``).

    Scripts, styles, navigation, form controls and elements marked ``hidden`` are left out. Paragraphs,
    headings, lists and tables are set apart by a blank line, list items, rows and ``<div>`` by a line end, cells by a
    blank; ``<pre>`` keeps its layout. Offsets into the result are not offsets into the file.

    Raises MissingDependencyError without lxml, LoadError (naming ``name``) when the parser gives up.
    """
    try:
        from lxml import etree
    except ImportError as error:
        raise MissingDependencyError("Reading HTML needs lxml. Install the extra: ragkit-middleware[load].") from error
    reader = _Reader()
    parser: Any = etree.HTMLParser(target=reader, encoding="utf-8", huge_tree=True, remove_comments=True, remove_pis=True)
    try:
        parser.feed(page.encode("utf-8", "replace"))
        parser.close()
    except etree.XMLSyntaxError as error:
        if page.strip():
            raise LoadError(f"{name} cannot be read as HTML: {error}. Check the file, or leave it out.") from error
    title = _BLANKS.sub(" ", "".join(reader.title) or "".join(reader.heading)).strip()
    return "".join(reader.parts).strip("\n"), title or None
