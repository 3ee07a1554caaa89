"""ragkit: chunking, embedding, hybrid retrieval and storage between documents and a language model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ragkit.errors import RagkitError
from ragkit.types import Chunk, Document, Hit

if TYPE_CHECKING:
    from ragkit.cache import SemanticCache
    from ragkit.index import Index

__version__ = "0.1.0"
__all__ = ["Chunk", "Document", "Hit", "Index", "RagkitError", "SemanticCache", "__version__"]

_LAZY = {"Index": "ragkit.index", "SemanticCache": "ragkit.cache"}


def __getattr__(name: str) -> Any:
    """Import heavy names on first use, so that ``import ragkit`` costs little more than numpy."""
    if name in _LAZY:
        from importlib import import_module

        value = getattr(import_module(_LAZY[name]), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module 'ragkit' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
