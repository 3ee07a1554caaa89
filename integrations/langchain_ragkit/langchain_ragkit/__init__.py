"""ragkit for LangChain: the classes of ``ragkit.langchain`` under the name LangChain users look for."""

from ragkit.langchain import LangChainEmbedder, RagkitEmbeddings, RagkitRetriever, RagkitTextSplitter, RagkitVectorStore

__all__ = ["LangChainEmbedder", "RagkitEmbeddings", "RagkitRetriever", "RagkitTextSplitter", "RagkitVectorStore"]
