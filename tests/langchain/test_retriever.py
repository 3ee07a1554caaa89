"""RagkitRetriever beyond the standard suite: why, where, and settings per call; the whole chain on the real model."""

from __future__ import annotations

import asyncio
import inspect
from pathlib import Path
from typing import Any

import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.documents import Document
from langchain_core.language_models import FakeListChatModel
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import RunnableConfig, RunnablePassthrough

from ragkit import Index
from ragkit.chunk import MarkdownChunker
from ragkit.embed import TransformerEmbedder
from ragkit.errors import InvalidInputError
from ragkit.langchain import RagkitContext, RagkitRetriever, RagkitTextSplitter, RagkitVectorStore
from ragkit.retrieve import Shape
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


LONG = "# Manual\n\nKeep it dry.\n\n" + "".join(
    f"## The {name}\n\nRinse the {name} with water in spring.\n\nKeep the {name} away from frost.\n\n"
    for name in ("pump", "hose")
)


@pytest.fixture
def manual(tmp_path: Path) -> Index:
    made = Index(tmp_path / "manual.lance", chunker=MarkdownChunker(11, tokenizer="words"), embedder=HashEmbedder())
    texts = {"manual": LONG, "copy": "Rinse the pump, with water in SPRING!", "cats": "Cats sleep all day."}
    RagkitVectorStore(made).add_documents(
        [Document(page_content=text, id=name, metadata={"source": f"{name}.md"}) for name, text in texts.items()]
    )
    return made


class Spy(BaseCallbackHandler):
    """What each run was told, and how it ended."""

    def __init__(self) -> None:
        self.started: list[tuple[str, list[str], dict[str, Any]]] = []
        self.ended: list[int] = []
        self.failed: list[str] = []

    def on_retriever_start(
        self, serialized: Any, query: str, *, tags: Any = None, metadata: Any = None, name: Any = None, **more: Any
    ) -> None:
        self.started.append((query, tags, {**metadata, "name": name}))

    def on_retriever_end(self, documents: Any, **more: Any) -> None:
        self.ended.append(len(documents))

    def on_retriever_error(self, error: BaseException, **more: Any) -> None:
        self.failed.append(str(error))


@pytest.fixture
def scans(manual: Index, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many questions each search of the index got."""
    sizes: list[int] = []
    search_many = manual.search_many

    def counted(queries: Any, **options: Any) -> Any:
        sizes.append(len(queries))
        return search_many(queries, **options)

    monkeypatch.setattr(manual, "search_many", counted)
    return sizes


SETTINGS: list[dict[str, Any]] = [
    {"mode": "dense"},
    {"mode": "bm25", "where": {"source": "manual.md"}},
    {"shape": Shape(fold=0.8, per_document=1)},
    {"shape": Shape(mmr=0.5, expand="section"), "k": 2},
    {"rewrite": lambda question: [question, question + " in spring"]},
    {"rerank": lambda query, hits: hits[::-1], "fetch_k": 4},
    {"runs": 40},
    {"runs": 40, "rewrite": lambda question: [question, question + " in spring"], "mode": "bm25"},
]


@pytest.mark.parametrize("settings", SETTINGS, ids=lambda settings: "+".join(settings))
@pytest.mark.parametrize("how", ["constructor", "call"])
async def test_batches_are_one_search_and_equal_single_calls(
    manual: Index, scans: list[int], settings: dict[str, Any], how: str
) -> None:
    retriever = RagkitRetriever(index=manual, **settings) if how == "constructor" else RagkitRetriever(index=manual)
    more = {} if how == "constructor" else settings
    questions = ["rinse the pump", "hose frost", "cats"]
    expected = [retriever.invoke(question, **more) for question in questions]
    assert any(expected)
    assert [await retriever.ainvoke(question, **more) for question in questions] == expected
    scans.clear()
    assert retriever.batch(questions, **more) == expected
    assert await retriever.abatch(questions, **more) == expected
    assert scans == [3, 3]


async def test_every_input_of_a_batch_keeps_its_config(manual: Index, scans: list[int]) -> None:
    retriever = RagkitRetriever(index=manual, k=2, tags=["own"], metadata={"app": "x"})
    for run in (retriever.batch, retriever.abatch):
        spies = [Spy(), Spy()]
        configs: list[RunnableConfig] = [
            {"callbacks": [spy], "tags": [f"t{at}"], "metadata": {"user": at}, "run_name": f"run{at}"}
            for at, spy in enumerate(spies)
        ]
        found = run(["rinse the pump", "cats"], configs)
        _ = await found if inspect.isawaitable(found) else found
        for at, (spy, question) in enumerate(zip(spies, ["rinse the pump", "cats"], strict=True)):
            [(query, tags, metadata)] = spy.started
            assert query == question
            assert {"own", f"t{at}"} <= set(tags)
            assert (metadata["user"], metadata["app"], metadata["name"]) == (at, "x", f"run{at}")
            assert spy.ended == [2]
    assert scans == [2, 2]


async def test_one_bad_input_spoils_the_others_only_if_asked_to(manual: Index) -> None:
    retriever = RagkitRetriever(index=manual, k=1)
    spy = Spy()
    found = retriever.batch(["cats", " ", "hose"], {"callbacks": [spy]}, return_exceptions=True)
    again = await retriever.abatch(["cats", " ", "hose"], return_exceptions=True)
    for answers in (found, again):
        assert [type(answer) for answer in answers] == [list, InvalidInputError, list]
    assert (spy.ended, len(spy.failed)) == ([1, 1], 1)
    spy = Spy()
    with pytest.raises(InvalidInputError, match="is blank"):
        retriever.batch(["cats", " "], {"callbacks": [spy]})
    assert (spy.ended, len(spy.failed)) == ([], 2)
    assert retriever.batch([]) == await retriever.abatch([]) == []


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"runs": 40, "shape": Shape(mmr=0.5)}, "runs and shape are both set"),
        ({"lambda_mult": 0.5}, r"unknown settings \['lambda_mult'\]"),
        ({"shape": Shape(mmr=0.5), "k": 9, "fetch_k": 3}, "k is 9 and mmr chooses from the fetch_k = 3"),
        ({"rewrite": lambda question: []}, "Phrasings is empty"),
        ({"mode": "sparse"}, "mode is 'sparse'"),
    ],
)
async def test_settings_that_contradict(manual: Index, settings: dict[str, Any], message: str) -> None:
    retriever = RagkitRetriever(index=manual)
    with pytest.raises(InvalidInputError, match=message):
        retriever.invoke("pump", **settings)
    with pytest.raises(InvalidInputError, match=message):
        await retriever.ainvoke("pump", **settings)
    with pytest.raises(InvalidInputError, match=message):
        await retriever.abatch(["pump"], **settings)


def test_sections_and_what_stands_behind(manual: Index) -> None:
    retriever = RagkitRetriever(
        index=manual, k=1, mode="bm25", shape=Shape(fold=0.8, expand="section"), where={"source": "manual.md"}
    )
    [found] = retriever.invoke("rinse the hose with water, keep from frost")
    start, end = found.metadata["ragkit"]["span"]
    assert found.page_content == LONG[start:end]
    assert found.page_content.startswith("## The hose")
    assert found.metadata["ragkit"]["document"] == "manual"
    assert found.metadata["ragkit"]["folded"]


def test_a_context_cites_spans(manual: Index) -> None:
    chain = RagkitRetriever(index=manual, k=6, mode="bm25") | RagkitContext(max_tokens=60, tokenizer="words")
    context = chain.invoke("rinse the pump with water, keep from frost")
    assert context.n_tokens <= 60
    [first, *_] = context.cited("As [1] says.")
    texts = {"manual": LONG, "copy": "Rinse the pump, with water in SPRING!", "cats": "Cats sleep all day."}
    for passage in context.passages:
        assert texts[passage.doc_id][passage.start : passage.end] == passage.text
    assert first.source in ("manual.md", "copy.md")
    with pytest.raises(InvalidInputError, match="takes documents of RagkitRetriever"):
        RagkitContext(max_tokens=60).invoke([Document(page_content="x")])
    with pytest.raises(InvalidInputError, match="max_tokens is 0"):
        RagkitContext(max_tokens=0).invoke([])
