"""ragkit for LangChain: the classes of ``ragkit.langchain`` under the name LangChain users look for."""

from ragkit.langchain import (
    ChatSituator,
    HypotheticalDocuments,
    LangChainEmbedder,
    MultiQuery,
    RagkitCachedRetriever,
    RagkitContext,
    RagkitDocumentTransformer,
    RagkitEmbeddings,
    RagkitRecordManager,
    RagkitReranker,
    RagkitRetriever,
    RagkitSemanticCache,
    RagkitTextSplitter,
    RagkitVectorStore,
    StandaloneQuestion,
    reranker_from,
)

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
