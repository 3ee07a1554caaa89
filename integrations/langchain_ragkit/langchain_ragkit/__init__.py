"""ragkit for LangChain: the classes of ``ragkit.langchain`` under the name LangChain users look for."""

from ragkit.langchain import (
    ChatSituator,
    LangChainEmbedder,
    RagkitEmbeddings,
    RagkitRetriever,
    RagkitTextSplitter,
    RagkitVectorStore,
)

__all__ = ["ChatSituator", "LangChainEmbedder", "RagkitEmbeddings", "RagkitRetriever", "RagkitTextSplitter", "RagkitVectorStore"]
