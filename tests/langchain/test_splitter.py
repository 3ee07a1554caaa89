"""RagkitTextSplitter: LangChain's interface, ragkit's laws."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from datetime import date
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from langchain_core.document_loaders import BaseLoader
from langchain_core.documents import BaseDocumentTransformer, Document
from langchain_text_splitters import TextSplitter

from ragkit.chunk import (
    AutoChunker,
    CodeChunker,
    FixedChunker,
    HtmlChunker,
    MarkdownChunker,
    Parents,
    RecursiveChunker,
    SentenceChunker,
    Situate,
)
from ragkit.errors import InvalidInputError
from ragkit.langchain import RagkitTextSplitter

TEXT = "The same words again. " * 40 + "\n\nThe same words again. " * 20


def splitter(max_tokens: int = 20, overlap: int = 0, **options: Any) -> RagkitTextSplitter:
    return RagkitTextSplitter(RecursiveChunker(max_tokens=max_tokens, overlap=overlap, tokenizer="words"), **options)


def test_it_is_what_langchain_expects() -> None:
    assert isinstance(splitter(), TextSplitter)
    assert isinstance(splitter(), BaseDocumentTransformer)


@settings(max_examples=60, deadline=None)
@given(
    text=st.text(st.characters(codec="utf-8"), max_size=300),
    kind=st.sampled_from([FixedChunker, SentenceChunker, RecursiveChunker, MarkdownChunker]),
    overlap=st.integers(0, 4),
)
def test_start_index_is_always_right(text: str, kind: type[RecursiveChunker], overlap: int) -> None:
    chunker = kind(max_tokens=8, overlap=overlap, tokenizer="characters")
    pieces = RagkitTextSplitter(chunker).create_documents([text])
    for piece in pieces:
        start = piece.metadata["start_index"]
        assert text[start : start + len(piece.page_content)] == piece.page_content
    if overlap == 0:
        assert "".join(piece.page_content for piece in pieces) == ("" if text.isspace() else text)


def test_repeated_text_with_overlap_keeps_its_places() -> None:
    """The case where searching for the piece in the text finds the wrong place, or none."""
    pieces = splitter(20, overlap=8).create_documents([TEXT])
    starts = [piece.metadata["start_index"] for piece in pieces]
    assert len(starts) > 5
    assert starts == sorted(set(starts))


def test_texts_equal_documents() -> None:
    texts = splitter().split_text(TEXT)
    assert texts == [piece.page_content for piece in splitter().split_documents([Document(page_content=TEXT)])]
    assert "".join(texts) == TEXT


def test_metadata_is_kept_and_copied() -> None:
    shared = {"tags": ["a"], "day": date(2024, 1, 2), "source": "a.md"}
    pieces = splitter().split_documents([Document(page_content=TEXT, metadata=shared)])
    assert all(piece.metadata | {"start_index": 0} == shared | {"start_index": 0} for piece in pieces)
    pieces[0].metadata["tags"].append("b")
    assert shared["tags"] == ["a"]
    assert pieces[1].metadata["tags"] == ["a"]


def test_start_index_can_be_left_out() -> None:
    assert splitter(add_start_index=False).create_documents(["some words"], [{"a": 1}])[0].metadata == {"a": 1}


def test_what_the_chunker_found_joins_the_metadata() -> None:
    chunker = MarkdownChunker(max_tokens=8, tokenizer="words")
    pieces = RagkitTextSplitter(chunker).create_documents(["# Top\n\nwords here\n\n## Inner\n\nmore words to read here"])
    assert pieces[-1].metadata["headings"] == ["Top", "Inner"]


def test_ids_only_where_the_document_has_one() -> None:
    first, again = (splitter().split_documents([Document(page_content=TEXT, id="doc")]) for _ in range(2))
    assert [piece.id for piece in first] == [piece.id for piece in again]
    assert len({piece.id for piece in first}) == len(first)
    assert all(piece.id is None for piece in splitter().create_documents([TEXT]))


def test_metadatas_must_match() -> None:
    with pytest.raises(InvalidInputError, match="2 texts and 1 metadatas"):
        splitter().create_documents(["a", "b"], [{}])


def test_nothing_in_nothing_out() -> None:
    assert splitter().split_text("") == []
    assert splitter().split_documents([]) == []


async def test_as_a_transformer() -> None:
    documents = [Document(page_content=TEXT, metadata={"n": n}) for n in range(2)]
    assert list(await splitter().atransform_documents(documents)) == splitter().transform_documents(documents)


async def test_async_forms_give_the_same() -> None:
    documents = [Document(page_content=TEXT, metadata={"n": n}, id=str(n)) for n in range(3)]
    expected = splitter(overlap=4).split_documents(documents)

    async def loaded() -> AsyncIterator[Document]:
        for document in documents:
            yield document

    assert await splitter(overlap=4).asplit_documents(documents) == expected
    assert await splitter(overlap=4).asplit_documents(loaded()) == expected
    assert [piece async for piece in splitter(overlap=4).alazy_split_documents(loaded())] == expected
    assert await splitter().asplit_text(TEXT) == splitter().split_text(TEXT)


def test_lazily() -> None:
    read = 0

    def documents() -> Iterator[Document]:
        nonlocal read
        for _ in range(10):
            read += 1
            yield Document(page_content=TEXT)

    pieces = splitter().lazy_split_documents(documents())
    next(pieces)
    assert read == 1
    assert len([*pieces]) + 1 == len(splitter().split_documents([Document(page_content=TEXT)] * 10))


class Loader(BaseLoader):
    """A loader as LangChain's are written."""

    def lazy_load(self) -> Iterator[Document]:
        yield from (Document(page_content=TEXT, metadata={"source": f"{n}.md"}) for n in range(2))


def test_loaders_load_and_split_with_it() -> None:
    pieces = Loader().load_and_split(splitter())
    assert {piece.metadata["source"] for piece in pieces} == {"0.md", "1.md"}
    assert "".join(piece.page_content for piece in pieces) == TEXT * 2


CSV = "name,price\n" + "".join(f"part {n},{n}\n" for n in range(30))


@pytest.mark.parametrize(
    ("chunker", "text", "metadata", "found"),
    [
        (AutoChunker(20, tokenizer="words"), CSV, {"media_type": "text/csv"}, "context"),
        (CodeChunker(20, tokenizer="words"), "def step(x):\n    y = x\n    return y\n" * 9, {"language": "python"}, "scope"),
        (CodeChunker(20, tokenizer="words"), "def step(x):\n    y = x\n    return y\n" * 9, {"source": "a.py"}, "scope"),
        (RecursiveChunker(20, tokenizer="words") | Parents((60,)), TEXT, {}, "parents"),
        (MarkdownChunker(30, tokenizer="words") | Situate(max_tokens=9), f"# Top\n\n{TEXT}", {}, "context"),
        (HtmlChunker(30, tokenizer="words"), f"<h1>Top</h1><p>{TEXT}</p>", {}, "headings"),
    ],
)
def test_any_chunker_can_be_given(chunker: Any, text: str, metadata: dict[str, str], found: str) -> None:
    pieces = RagkitTextSplitter(chunker).split_documents([Document(page_content=text, metadata={**metadata, "kept": [1]})])
    assert "".join(piece.page_content for piece in pieces) == text
    assert all(text.startswith(piece.page_content, piece.metadata["start_index"]) for piece in pieces)
    assert all(piece.metadata["kept"] == [1] for piece in pieces)
    assert found in pieces[-1].metadata


def test_what_is_no_chunker() -> None:
    for thing in (RecursiveChunker, 200, "recursive", len):
        with pytest.raises(InvalidInputError, match="no ragkit chunker"):
            RagkitTextSplitter(thing)  # type: ignore[arg-type]


@pytest.mark.usefixtures("tiktoken_cache")
def test_from_tiktoken() -> None:
    pieces = RagkitTextSplitter.from_tiktoken_encoder("cl100k_base", chunk_size=32, chunk_overlap=4).create_documents([TEXT])
    assert pieces == RagkitTextSplitter(RecursiveChunker(max_tokens=32, overlap=4, tokenizer="cl100k_base")).create_documents(
        [TEXT]
    )
    by_model = RagkitTextSplitter.from_tiktoken_encoder(model_name="gpt-4", chunk_size=32)
    assert by_model.split_text(TEXT) == RagkitTextSplitter.from_tiktoken_encoder(chunk_size=32).split_text(TEXT)
    ranged = RagkitTextSplitter.from_tiktoken_encoder(chunk_size=(20, 32), separators=["\n\n", ". "])
    assert ranged.chunker.recipe == RecursiveChunker((20, 32), tokenizer="cl100k_base", separators=["\n\n", ". "]).recipe


def test_what_cannot_be_split_says_so() -> None:
    splitter = RagkitTextSplitter(RecursiveChunker(20, tokenizer="words"))
    for things in (["text"], Document(page_content="text")):
        with pytest.raises(InvalidInputError, match="no LangChain Document"):
            splitter.split_documents(things)  # type: ignore[arg-type]
    with pytest.raises(InvalidInputError, match="give a list"):
        splitter.create_documents("text")  # type: ignore[arg-type]
    with pytest.raises(InvalidInputError, match=r"gpt-77.*encoding_name"):
        RagkitTextSplitter.from_tiktoken_encoder(model_name="gpt-77")
