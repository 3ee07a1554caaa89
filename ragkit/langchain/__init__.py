"""The LangChain door: ragkit's parts as LangChain's classes, and LangChain's embeddings as a ragkit part."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ragkit.errors import MissingDependencyError

try:
    import langchain_core  # noqa: F401
    import langchain_text_splitters  # noqa: F401
except ImportError as error:
    raise MissingDependencyError(
        f"ragkit.langchain needs {error.name}. Install the extra: ragkit-middleware[langchain]."
    ) from error

from ragkit.langchain.context import RagkitContext
from ragkit.langchain.embeddings import LangChainEmbedder, RagkitEmbeddings
from ragkit.langchain.records import RagkitRecordManager
from ragkit.langchain.reranker import RagkitReranker, reranker_from
from ragkit.langchain.retriever import RagkitRetriever
from ragkit.langchain.rewriters import HypotheticalDocuments, MultiQuery, StandaloneQuestion
from ragkit.langchain.situator import ChatSituator
from ragkit.langchain.splitter import RagkitTextSplitter
from ragkit.langchain.transformer import RagkitDocumentTransformer
from ragkit.langchain.vectorstore import RagkitVectorStore

if TYPE_CHECKING:
    from ragkit.langchain.cache import RagkitSemanticCache
    from ragkit.langchain.retrieval_cache import RagkitCachedRetriever

__all__ = [
    "ChatSituator",
    "HypotheticalDocuments",
    "LangChainEmbedder",
    "MultiQuery",
    "RagkitCachedRetriever",
    "RagkitContext",
    "RagkitDocumentTransformer",
    "RagkitEmbeddings",
    "RagkitRecordManager",
    "RagkitReranker",
    "RagkitRetriever",
    "RagkitSemanticCache",
    "RagkitTextSplitter",
    "RagkitVectorStore",
    "StandaloneQuestion",
    "reranker_from",
]

_LAZY = {"RagkitCachedRetriever": "ragkit.langchain.retrieval_cache", "RagkitSemanticCache": "ragkit.langchain.cache"}


def __getattr__(name: str) -> Any:
    """Import what rests on the cache when it is first used."""
    if name in _LAZY:
        from importlib import import_module

        value = globals()[name] = getattr(import_module(_LAZY[name]), name)
        return value
    raise AttributeError(f"module 'ragkit.langchain' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
