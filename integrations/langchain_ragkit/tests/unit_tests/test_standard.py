"""LangChain's standard unit tests."""

from __future__ import annotations

from typing import Any

from langchain_core.embeddings import DeterministicFakeEmbedding, Embeddings
from langchain_ragkit import LangChainEmbedder, RagkitEmbeddings
from langchain_tests.unit_tests import EmbeddingsUnitTests


class TestRagkitEmbeddings(EmbeddingsUnitTests):
    @property
    def embeddings_class(self) -> type[Embeddings]:
        return RagkitEmbeddings

    @property
    def embedding_model_params(self) -> dict[str, Any]:
        return {"embedder": LangChainEmbedder(DeterministicFakeEmbedding(size=6), name="fake")}
