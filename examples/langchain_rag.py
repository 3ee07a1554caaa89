"""Retrieval-augmented generation with LangChain: RagkitRetriever | prompt | chat model, in LCEL.

    python examples/langchain_rag.py

Runs offline: the model here is a stand-in that repeats a fixed answer. For a real one, replace ``stand_in()`` by, say,
``ChatOpenAI(model="gpt-4o-mini")`` from langchain-openai; nothing else changes.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from langchain_core.documents import Document
from langchain_core.language_models import BaseChatModel, FakeListChatModel
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import Runnable, RunnablePassthrough

from ragkit import Index
from ragkit.embed import TransformerEmbedder
from ragkit.langchain import RagkitRetriever, RagkitVectorStore

DOCUMENTS = [
    Document(
        id="net", page_content="Requests time out after 30 seconds. Set `timeout` to change that.", metadata={"source": "net.md"}
    ),
    Document(
        id="retry", page_content="Failed requests are retried three times, with growing pauses.", metadata={"source": "retry.md"}
    ),
    Document(id="auth", page_content="Send the API key in the `Authorization` header.", metadata={"source": "auth.md"}),
]

PROMPT = ChatPromptTemplate.from_messages(
    [
        ("system", "Answer from the passages only, and cite them by their [place].\n\n{passages}"),
        ("human", "{question}"),
    ]
)


def stand_in() -> BaseChatModel:
    return FakeListChatModel(responses=["After 30 seconds [net.md:1]."])


def cited(documents: list[Document]) -> str:
    return "\n\n".join(f"[{document.metadata['ragkit']['citation']}]\n{document.page_content}" for document in documents)


def make_chain(index: Index, model: BaseChatModel) -> Runnable[str, str]:
    retriever = RagkitRetriever(index=index, k=2)
    return {"passages": retriever | cited, "question": RunnablePassthrough()} | PROMPT | model | StrOutputParser()


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        index = Index(Path(folder) / "kb.lance", embedder=TransformerEmbedder())
        RagkitVectorStore(index).add_documents(DOCUMENTS)
        question = "How long until a request times out?"
        print(cited(RagkitRetriever(index=index, k=2).invoke(question)))
        print("\nAnswer:", make_chain(index, stand_in()).invoke(question))


if __name__ == "__main__":
    main()
