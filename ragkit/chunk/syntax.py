"""Syntax trees by tree-sitter, in characters: the ground of the chunkers of code and of JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import numpy as np

from ragkit.errors import InvalidInputError, MissingDependencyError
from ragkit.seams import Offsets
from ragkit.text.unicode import encodable

if TYPE_CHECKING:
    from tree_sitter import Node

#: Language by the end of a file's name, where tree-sitter's name for it is not the ending itself.
LANGUAGES = {
    "bash": "bash", "c": "c", "cc": "cpp", "clj": "clojure", "cpp": "cpp", "cs": "csharp", "css": "css", "cxx": "cpp", "dart": "dart",
    "erl": "erlang", "ex": "elixir", "exs": "elixir", "go": "go", "h": "c", "hpp": "cpp", "hs": "haskell", "htm": "html", "html": "html",
    "java": "java", "jl": "julia", "js": "javascript", "json": "json", "jsx": "javascript", "kt": "kotlin", "lua": "lua", "mjs": "javascript",
    "ml": "ocaml", "php": "php", "pl": "perl", "proto": "proto", "py": "python", "pyi": "python", "r": "r", "rb": "ruby", "rs": "rust",
    "scala": "scala", "sh": "bash", "sql": "sql", "swift": "swift", "toml": "toml", "ts": "typescript", "tsx": "tsx", "xml": "xml",
    "yaml": "yaml", "yml": "yaml", "zig": "zig",
}  # fmt: skip


def parse(text: str, language: str) -> tuple[Node, Offsets | None]:
    """The root of the syntax tree, and the map from its byte offsets to characters (None: they are equal).

    Broken code gives a tree with error nodes. Raises InvalidInputError for an unknown language,
    MissingDependencyError without the grammars' package.
    """
    try:
        import tree_sitter_language_pack as pack
    except ImportError as error:
        raise MissingDependencyError(
            "Chunking by syntax needs the tree-sitter grammars. Install the extra: ragkit-middleware[code]."
        ) from error
    try:
        parser = pack.get_parser(cast(Any, language))
    except LookupError as error:
        raise InvalidInputError(
            f"There is no grammar for the language {language!r}. Use one of tree-sitter's names, such as 'python', 'typescript' or 'rust'."
        ) from error
    data = encodable(text).encode("utf-8")
    root = parser.parse(data).root_node
    if len(data) == len(text):
        return root, None
    leads = (np.frombuffer(data, dtype=np.uint8) & 0xC0) != 0x80
    return root, np.append(np.cumsum(leads) - 1, len(text)).astype(np.int64)


def span(node: Node, to_character: Offsets | None) -> tuple[int, int]:
    """The characters of a node."""
    if to_character is None:
        return node.start_byte, node.end_byte
    return int(to_character[node.start_byte]), int(to_character[node.end_byte])
