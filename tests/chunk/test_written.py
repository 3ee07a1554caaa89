"""Prompts and answers of any model, without LangChain."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from ragkit import Document
from ragkit.chunk import Prompt, PromptedSituator, RecursiveChunker, Reply, Situate, Situator
from ragkit.chunk.prompts import make_prompts
from ragkit.types import Chunk, Span


@given(st.lists(st.integers(1, 40), min_size=1, max_size=40), st.integers(1, 200))
def test_windows_of_long_documents(sizes: list[int], window: int) -> None:
    """Every chunk is asked about once, in order, and shown inside its window, which is over the limit only for one chunk alone."""
    chunks, at = [], 0
    for index, size in enumerate(sizes):
        chunks.append(
            Chunk(
                id=str(index),
                doc_id="d",
                start=at,
                end=at + size,
                text="a" * size,
                window=Span(at, at + size),
                index=index,
                n_tokens=size,
            )
        )
        at += size
    groups = make_prompts(Document("a" * at, id="d"), chunks, words=50, window=window, model="m")
    prompts = [prompt for group in groups for prompt in group]
    assert [prompt.span for prompt in prompts] == [chunk.span for chunk in chunks]
    assert len({prompt.key for prompt in prompts}) == len(chunks)
    for group in groups:
        assert len({prompt.shown for prompt in group}) == 1
        part = group[0].window
        assert all(part.start <= prompt.span.start and prompt.span.end <= part.end for prompt in group)
        assert part.end - part.start <= window or len(group) == 1
        assert group[0].whole == (part == (0, at))


def test_any_function_is_a_writer(tmp_path: Path) -> None:
    asked: list[Prompt] = []

    def ask(prompt: Prompt) -> Reply:
        asked.append(prompt)
        return Reply(text='Context: "Where pumps are kept dry, in a handbook of gardening."')

    situator = PromptedSituator(ask, name="mine", cache=tmp_path / "answers.db")
    assert isinstance(situator, Situator)
    chunker = RecursiveChunker(60, tokenizer="words") | Situate(write=situator, before=0, max_tokens=30)
    document = Document("Keep them dry.\n\nOil them twice.", metadata={"title": "Tools"})
    for _ in range(2):
        assert [chunk.context for chunk in chunker(document)] == ["Tools\nWhere pumps are kept dry, in a handbook of gardening."]
    assert len(asked) == 1
