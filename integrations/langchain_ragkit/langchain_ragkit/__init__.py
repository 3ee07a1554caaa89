"""ragkit for LangChain: the classes of ``ragkit.langchain`` under the name LangChain users look for."""

from ragkit.langchain import (
    ChatSituator,
    HypotheticalDocuments,
    LangChainEmbedder,
    MultiQuery,
    RagkitContext,
    RagkitDocumentTransformer,
    RagkitEmbeddings,
    RagkitRecordManager,
    RagkitReranker,
    RagkitRetriever,
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
