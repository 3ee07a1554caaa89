"""LangChain's standard integration tests, on real databases."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from langchain_core.embeddings import DeterministicFakeEmbedding, Embeddings
from langchain_core.retrievers import BaseRetriever
from langchain_core.vectorstores import VectorStore
from langchain_ragkit import LangChainEmbedder, RagkitEmbeddings, RagkitRetriever, RagkitVectorStore
from langchain_tests.integration_tests import EmbeddingsIntegrationTests, RetrieversIntegrationTests, VectorStoreIntegrationTests

from ragkit import Index
from ragkit.embed import TransformerEmbedder


class TestRagkitVectorStore(VectorStoreIntegrationTests):
    @pytest.fixture
    def vectorstore(self, tmp_path: Path) -> VectorStore:
        embedder = LangChainEmbedder(self.get_embeddings(), name="fake", tokenizer="words")
        return RagkitVectorStore(Index(tmp_path / "kb.lance", embedder=embedder))


class TestRagkitRetriever(RetrieversIntegrationTests):
    @pytest.fixture(autouse=True)
    def _database(self, tmp_path: Path) -> None:
        embedder = LangChainEmbedder(DeterministicFakeEmbedding(size=6), name="fake", tokenizer="words")
        self._index = Index(tmp_path / "kb.lance", embedder=embedder)
        RagkitVectorStore(self._index).add_texts([f"document number {n}" for n in range(6)])

    @property
    def retriever_constructor(self) -> type[BaseRetriever]:
        return RagkitRetriever

    @property
    def retriever_constructor_params(self) -> dict[str, Any]:
        return {"index": self._index}

    @property
    def retriever_query_example(self) -> str:
        return "number 3"


class TestRagkitEmbeddings(EmbeddingsIntegrationTests):
    @property
    def embeddings_class(self) -> type[Embeddings]:
        return RagkitEmbeddings

    @property
    def embedding_model_params(self) -> dict[str, Any]:
        return {"embedder": TransformerEmbedder()}
