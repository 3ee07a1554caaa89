"""Source code, by its syntax tree: whole functions, whole classes, whole statements while they fit."""

from __future__ import annotations

import re
from dataclasses import KW_ONLY, dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, ClassVar

from ragkit.chunk.engine import Engine
from ragkit.chunk.layout import Layout, make_layout
from ragkit.chunk.syntax import LANGUAGES, parse, span
from ragkit.errors import InvalidInputError
from ragkit.seams import Offsets
from ragkit.text.boundaries import Strength, line_cuts
from ragkit.types import Document, Metadata

if TYPE_CHECKING:
    from tree_sitter import Node

_SCOPE = re.compile(r"class|function|method|struct|interface|impl|module|namespace|enum|trait|constructor|protocol|object_decl")
_BODY = re.compile(r"block|body|declaration_list")
_DECORATED = "decorated_definition"
#: The outermost definitions are the best places to cut; each level of nesting is one weaker.
_OUTERMOST = 20


@dataclass(frozen=True)
class CodeChunker(Engine):
    """Definitions and statements by their tree-sitter syntax tree; comments stay with what they precede.

    ``language`` is tree-sitter's name ("python", "typescript", ...); None takes it from the document's ``language``
    metadata, else from the ending of its ``source`` or id. The path of classes and functions around a chunk's first
    visible character is its ``metadata["scope"]``, a list from the outermost down. Grammars come from an installed
    package (extra ``code``); nothing is downloaded.

    Raises InvalidInputError when the language is unknown or cannot be told, MissingDependencyError.
    """

    _: KW_ONLY
    language: str | None = None

    kind: ClassVar[str] = "code"

    def layout(self, document: Document) -> Layout:
        """Cuts before definitions and statements that begin a line."""
        text = document.text
        root, to_character = parse(text, self.language or _language_of(document))
        cuts: dict[int, int] = {at: min(strength - 2, Strength.SENTENCE) for at, strength in line_cuts(text).items()}
        atoms: list[tuple[int, int]] = []
        sections: list[tuple[int, Metadata]] = []
        todo: list[tuple[Node, int, tuple[str, ...]]] = [(root, 0, ())]
        while todo:
            node, depth, path = todo.pop()
            comment: int | None = None
            body = bool(_BODY.search(node.type)) and depth > 0
            for place, child in enumerate(node.children):
                start, end = span(child, to_character)
                begin = _line_start(text, start)
                if "comment" in child.type:
                    comment = begin if comment is None else comment
                    continue
                if begin is not None and place == 0 and body:
                    cuts.pop(begin, None)  # a body's first line stays with the head above it
                elif begin is not None:
                    lead = begin if comment is None else comment
                    cuts[lead] = max(cuts.get(lead, 0), _OUTERMOST - min(depth, _OUTERMOST - Strength.PAGE))
                    if child.end_point.row > child.start_point.row:
                        atoms.append((lead, end))
                comment = None
                if child.end_point.row == child.start_point.row:
                    continue
                inner = path
                if name := None if node.type == _DECORATED else _name(child, text, to_character):
                    inner = (*path, name)
                    sections += [(start, {"scope": list(inner)}), (end, {"scope": list(path)})]
                todo.append((child, depth + 1, inner))
        return make_layout(cuts, len(text), atoms=atoms, sections=_ordered(sections))


def _language_of(document: Document) -> str:
    named: Any = document.metadata.get("language")
    if isinstance(named, str):
        return named
    name = str(document.metadata.get("source") or document.id)
    suffix = PurePosixPath(name).suffix.lower().removeprefix(".")
    if suffix not in LANGUAGES:
        raise InvalidInputError(
            f"The language of document {document.id!r} cannot be told from its name {name!r}. "
            "Pass CodeChunker(language=...), or give the document a 'language' metadata."
        )
    return LANGUAGES[suffix]


def _line_start(text: str, at: int) -> int | None:
    """The start of the line that ``at`` is the first visible character of, else None."""
    begin = at
    while begin > 0 and text[begin - 1] in " \t":
        begin -= 1
    return begin if begin == 0 or text[begin - 1] in "\r\n" else None


def _name(node: Node, text: str, to_character: Offsets | None) -> str | None:
    """The name that a definition introduces."""
    if node.type == _DECORATED:
        node = node.child_by_field_name("definition") or node
    if not _SCOPE.search(node.type):
        return None
    found, declarator = node.child_by_field_name("name"), node.child_by_field_name("declarator")
    if found is None and declarator is None:
        found = node.child_by_field_name("type")  # Rust's impl blocks
    while found is None and declarator is not None:
        found = declarator if declarator.type.endswith("identifier") else None
        declarator = declarator.child_by_field_name("declarator")
    if found is None:
        return None
    start, end = span(found, to_character)
    return text[start:end]


def _ordered(sections: list[tuple[int, Metadata]]) -> tuple[tuple[int, Metadata], ...]:
    """By place; where one scope ends and another begins, the one that begins counts."""
    return tuple(sorted(sections, key=lambda entry: (entry[0], len(entry[1]["scope"]))))
