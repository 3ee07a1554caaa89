"""ragkit for LangChain: the classes of ``ragkit.langchain`` under the name LangChain users look for."""

from ragkit.langchain import (
    ChatSituator,
    LangChainEmbedder,
    RagkitDocumentTransformer,
    RagkitEmbeddings,
    RagkitRetriever,
    RagkitTextSplitter,
    RagkitVectorStore,
)

__all__ = [
    "ChatSituator",
    "LangChainEmbedder",
    "RagkitDocumentTransformer",
    "RagkitEmbeddings",
    "RagkitRetriever",
    "RagkitTextSplitter",
    "RagkitVectorStore",
]
