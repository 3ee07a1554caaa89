"""RagkitRetriever beyond the standard suite: why, where, and settings per call; the whole chain on the real model."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from langchain_core.documents import Document
from langchain_core.language_models import FakeListChatModel
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import RunnablePassthrough

from ragkit import Index
from ragkit.embed import TransformerEmbedder
from ragkit.errors import InvalidInputError
from ragkit.langchain import RagkitRetriever, RagkitTextSplitter, RagkitVectorStore
from ragkit.testing.embedders import HashEmbedder


@pytest.fixture
def index(tmp_path: Path) -> Index:
    made = Index(tmp_path / "kb.lance", embedder=HashEmbedder())
    texts = {"dog": "the dog barks", "cat": "the cat purrs", "car": "the car honks"}
    documents = [Document(page_content=text, id=name, metadata={"source": f"{name}.md"}) for name, text in texts.items()]
    RagkitVectorStore(made).add_documents(documents)
    return made


def test_each_document_says_why(index: Index) -> None:
    found = RagkitRetriever(index=index, k=2).invoke("cat purrs")
    hits = index.search("cat purrs", k=2)
    assert [document.id for document in found] == [hit.chunk.doc_id for hit in hits]
    for document, hit in zip(found, hits, strict=True):
        why = document.metadata["ragkit"]
        assert (why["citation"], why["score"], why["rank"]) == (hit.citation, hit.score, hit.rank)
        assert why["parts"]["bm25"]["rank"] == hit.parts["bm25"].rank
    assert found[0].metadata["ragkit"]["citation"] == "cat.md:1"


def test_settings_per_call(index: Index) -> None:
    retriever = RagkitRetriever(index=index, k=1)
    assert len(retriever.invoke("cat", k=3)) == 3
    assert [document.id for document in retriever.invoke("cat", where={"source": "dog.md"})] == ["dog"]
    assert [document.id for document in retriever.invoke("honks", mode="bm25", k=9)] == ["car"]
    assert len(retriever.invoke("cat", k=3, fetch_k=1)) == 3
    with pytest.raises(InvalidInputError, match="k is 0"):
        retriever.invoke("cat", k=0)


async def test_many_at_once(index: Index) -> None:
    retriever = RagkitRetriever(index=index, k=1)
    questions = ["dog barks", "cat purrs", "car honks"]
    expected = [retriever.invoke(question) for question in questions]
    assert await asyncio.gather(*(retriever.ainvoke(question) for question in questions)) == expected
    assert retriever.batch(questions) == expected
    assert await retriever.abatch(questions) == expected


def test_the_whole_chain_with_the_real_model(tmp_path: Path, minilm: TransformerEmbedder) -> None:
    """Split, embed, store, retrieve, prompt, answer, all in LCEL; the model says back what it was asked."""
    text = "# Requests\n\nThey give up after thirty seconds.\n\n# Keys\n\nSend the secret in a header.\n\n# Cats\n\nThey sleep all day.\n"
    pieces = RagkitTextSplitter.from_huggingface_tokenizer(minilm.tokenizer, chunk_size=16).create_documents([text])
    index = Index(tmp_path / "kb.lance", embedder=minilm)
    RagkitVectorStore(index).add_documents(pieces)

    seen = []
    prompt = ChatPromptTemplate.from_template("{passages}\n\n{question}")
    retriever = RagkitRetriever(index=index, k=1)
    chain = (
        {"passages": retriever | (lambda documents: documents[0].page_content), "question": RunnablePassthrough()}
        | prompt
        | (lambda value: seen.append(value.to_string()) or value)
        | FakeListChatModel(responses=["thirty seconds"])
        | StrOutputParser()
    )
    assert chain.invoke("When does a call to the server time out?") == "thirty seconds"
    assert "give up after thirty seconds" in seen[0]
