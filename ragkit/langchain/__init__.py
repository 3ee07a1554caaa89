"""The LangChain door: ragkit's parts as LangChain's classes, and LangChain's embeddings as a ragkit part."""

from __future__ import annotations

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

__all__ = [
    "ChatSituator",
    "HypotheticalDocuments",
    "LangChainEmbedder",
    "MultiQuery",
    "RagkitContext",
    "RagkitDocumentTransformer",
    "RagkitEmbeddings",
    "RagkitRecordManager",
    "RagkitReranker",
    "RagkitRetriever",
    "RagkitTextSplitter",
    "RagkitVectorStore",
    "StandaloneQuestion",
    "reranker_from",
]
