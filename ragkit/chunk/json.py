"""JSON, by its values: objects and arrays whole while they fit, each chunk with its JSON Pointer."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from ragkit.chunk.engine import Engine
from ragkit.chunk.layout import Layout, make_layout
from ragkit.chunk.syntax import parse, span
from ragkit.text.boundaries import Strength
from ragkit.types import Document, Metadata

if TYPE_CHECKING:
    from tree_sitter import Node

#: Members of the outermost value are the best places to cut; each level of nesting is one weaker.
_OUTERMOST = 30


@dataclass(frozen=True)
class JsonChunker(Engine):
    """Members and elements of JSON or JSON Lines, minified or not; offsets are those of the file.

    ``metadata["pointer"]`` is the JSON Pointer (RFC 6901) of the first value that begins in the chunk; in JSON Lines it
    begins with the number of the value, counted from 0. Broken JSON is cut by what can be read of it.

    Raises MissingDependencyError without the extra ``code``, which carries the grammar.
    """

    kind: ClassVar[str] = "json"

    def layout(self, document: Document) -> Layout:
        """Cuts before members and elements."""
        text = document.text
        root, to_character = parse(text, "json")
        values = [child for child in root.children if child.is_named]
        cuts: dict[int, int] = {}
        atoms: list[tuple[int, int]] = []
        sections: list[tuple[int, Metadata]] = []
        todo: list[tuple[Node, int, str]] = [
            (value, 0, f"/{place}" if len(values) > 1 else "") for place, value in enumerate(values)
        ]
        while todo:
            node, depth, pointer = todo.pop()
            start, end = span(node, to_character)
            sections.append((start, {"pointer": pointer}))
            cuts[start] = _OUTERMOST - min(depth, _OUTERMOST - Strength.PAGE)
            if node.type == "pair":
                node = node.child_by_field_name("value") or node
            if node.type not in ("object", "array"):
                continue
            atoms.append((start, end))
            members = [child for child in node.children if child.is_named]
            for place, member in enumerate(members):
                key = str(place)
                if member.type == "pair" and (name := member.child_by_field_name("key")) is not None:
                    begin, stop = span(name, to_character)
                    key = _decoded(text[begin:stop]).replace("~", "~0").replace("/", "~1")
                todo.append((member, depth + 1, f"{pointer}/{key}"))
        return make_layout(cuts, len(text), atoms=atoms, sections=tuple(sorted(sections, key=lambda entry: entry[0])))


def _decoded(key: str) -> str:
    """What a key's source stands for: pointers name it without quotes and escapes."""
    try:
        return str(json.loads(key, strict=False))
    except ValueError:
        return key.strip('"')
