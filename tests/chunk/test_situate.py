"""Steps after cutting: the context counts against the limit, stays apart from the text, and moves no boundary of its own."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ragkit import Index
from ragkit.chunk import (
    CodeChunker,
    FixedChunker,
    Late,
    MarkdownChunker,
    RecursiveChunker,
    SentenceChunker,
    Situate,
    TableChunker,
    from_recipe,
)
from ragkit.embed import TransformerEmbedder
from ragkit.errors import InvalidInputError
from ragkit.text import resolve_tokenizer
from ragkit.types import Chunk, Document, Encoding, Span

WORDS = st.lists(
    st.sampled_from(["cat", "dogs", "unbelievable", "Mr.", "end.", "Ω≈ç", "猫の", "e\u0301", "\n\n", "x" * 30, "[SEP]", "(a)"]),
    max_size=60,
).map(" ".join)
TOKENIZERS = ["cl100k_base", "words", "characters"]


class Shouts:
    """A situator: what it says is as long as asked."""

    def __init__(self, words: int = 3) -> None:
        self.recipe: Mapping[str, Any] = {"by": "shouts", "words": words}
        self.words = words

    def __call__(self, document: Document, chunks: Sequence[Chunk], /) -> list[str]:
        return [f"chunk {chunk.index} " + "hey " * self.words for chunk in chunks]


def minilm() -> Any:
    from ragkit.embed import TransformerEmbedder

    return TransformerEmbedder().tokenizer


@pytest.fixture(scope="module", params=[*TOKENIZERS, "minilm"])
def tokenizer(request: pytest.FixtureRequest) -> Any:
    return minilm() if request.param == "minilm" else resolve_tokenizer(request.param)


@settings(max_examples=40, deadline=None)
@given(
    text=WORDS,
    title=st.one_of(st.none(), WORDS),
    budget=st.integers(0, 40),
    before=st.integers(0, 3),
    after=st.integers(0, 2),
    summary=st.sampled_from([0, 5, 30]),
    written=st.booleans(),
    size=st.integers(34, 80),
)
def test_context_and_text_together_keep_the_limit(
    tokenizer: Any, text: str, title: str | None, budget: int, before: int, after: int, summary: int, written: bool, size: int
) -> None:
    document = Document(text, id="d", metadata={"title": title} if title else {"source": "a/b.md"})
    step = Situate(
        before=before, after=after, summary=summary, write=Shouts(20) if written else None, max_tokens=min(budget, size - 33)
    )
    base = RecursiveChunker(size, tokenizer=tokenizer, reserve=2)
    chunks = (base | step)(document)
    for chunk in chunks:
        together = f"{chunk.context}\n{chunk.text}" if chunk.context else chunk.text
        assert tokenizer.count_batch([together])[0] <= size - 2
        assert tokenizer.count_batch([together])[0] - chunk.n_tokens <= step.max_tokens
        assert document.text[chunk.start : chunk.end] == chunk.text
        assert chunk.context == chunk.context.strip()
    roomier = replace(base, reserve=2 + step.max_tokens)
    assert [chunk.span for chunk in chunks] == [chunk.span for chunk in roomier(document)]
    assert len({chunk.id for chunk in chunks}) == len(chunks)


def test_the_place_is_title_headings_or_path() -> None:
    text = "# Cats\n\nThey purr.\n\n## Food\n\nFish, mostly. And milk.\n\n# Dogs\n\nThey bark."
    chunker = MarkdownChunker(40, tokenizer="words") | Situate(before=0, max_tokens=30)
    contexts = [chunk.context for chunk in chunker(Document(text, metadata={"title": "Pets"}))]
    assert contexts[0] == "Pets > Cats"
    assert contexts[-1].startswith("Pets > ")
    untitled = [chunk.context for chunk in chunker(Document("no heading here", metadata={"source": "docs/pets.txt"}))]
    assert untitled == ["docs/pets.txt"]
    assert [chunk.context for chunk in chunker(Document("nothing known"))] == [""]
    twice = chunker(Document("# Pets\n\nThey are nice.", metadata={"title": "Pets"}))
    assert [chunk.context for chunk in twice] == ["Pets"]


def test_code_is_situated_by_class_and_function() -> None:
    code = "class Cat:\n    def purr(self):\n        return 1\n\n    def eat(self):\n        return 2\n" * 2
    chunker = CodeChunker(40, tokenizer="words", language="python") | Situate(before=0, max_tokens=20)
    contexts = {chunk.context for chunk in chunker(Document(code, metadata={"source": "cat.py"}))}
    assert any("Cat" in context for context in contexts)


def test_neighbouring_sentences_are_the_nearest() -> None:
    text = "One is first. Two is second. Three is third. Four is fourth. Five is fifth."
    chunker = SentenceChunker(4 + 20, tokenizer="words") | Situate(title=False, before=1, after=1, max_tokens=20)
    chunks = chunker(Document(text))
    middle = next(chunk for chunk in chunks if "Three" in chunk.text)
    assert middle.text.strip() == "Three is third."
    assert middle.context.split("\n") == ["Four is fourth.", "Two is second."]
    assert chunks[0].context == "Two is second."
    assert chunks[-1].context == "Four is fourth."


def test_a_blank_line_is_no_sentence() -> None:
    text = "Unplug it first.\n\nThen lift the lid.\n\n\n  Last, clean it."
    chunker = SentenceChunker(6 + 20, tokenizer="words") | Situate(title=False, before=1, after=1, max_tokens=20)
    contexts = [chunk.context for chunk in chunker(Document(text))]
    assert contexts == ["Then lift the lid.", "Last, clean it.\nUnplug it first.", "Then lift the lid."]
    two = SentenceChunker(6 + 20, tokenizer="words") | Situate(title=False, before=2, max_tokens=20)
    assert two(Document(text))[-1].context.split() == ["Unplug", "it", "first.", "Then", "lift", "the", "lid."]


def test_what_does_not_fit_is_shortened_at_words_nearest_last() -> None:
    text = "Alpha beta gamma delta epsilon zeta eta theta. Then comes this."
    chunker = SentenceChunker(3 + 4, tokenizer="words") | Situate(title=False, before=1, max_tokens=4)
    last = chunker(Document(text))[-1]
    assert last.context
    assert "Alpha beta gamma delta epsilon zeta eta theta.".endswith(last.context) or last.context in text
    assert len(last.context.split()) <= 4


@pytest.mark.parametrize(("use", "plain", "lexical"), [("dense", 0.5, False), ("bm25", 1.0, True), ("both", 0.5, True)])
def test_use_says_who_reads_the_context(use: Any, plain: float, lexical: bool) -> None:
    document = Document("They purr. They eat.", metadata={"title": "Cats"})
    (chunk,) = (FixedChunker(60, tokenizer="words") | Situate(use=use, max_tokens=20))(document)
    assert chunk.context == "Cats"
    assert chunk.encoding == Encoding(plain=plain, lexical=lexical)


def test_steps_follow_each_other_and_recipes_come_back() -> None:
    pipeline = RecursiveChunker(80, tokenizer="words") | Situate(before=2, summary=5, blend=0.25) | Late(blend=0.75, overlap=9)
    document = Document("One two three. Four five six. " * 20, metadata={"title": "Numbers"})
    chunks = pipeline(document)
    assert {chunk.window for chunk in chunks} == {Span(0, len(document.text))}
    assert {chunk.encoding.plain for chunk in chunks} == {0.25}
    assert {chunk.encoding.overlap for chunk in chunks} == {9}
    again = from_recipe(pipeline.recipe).bind(resolve_tokenizer("words"))
    assert again.recipe == pipeline.recipe
    assert again(document) == chunks
    plain = RecursiveChunker(80, tokenizer="words", reserve=64)(document)
    assert [c.span for c in plain] == [c.span for c in chunks]
    assert not {c.id for c in plain} & {c.id for c in chunks}
    assert list(pipeline.stream([document, document])) == chunks * 2


def test_a_situator_is_asked_once_per_document_and_named_in_the_recipe() -> None:
    pipeline = FixedChunker(30, tokenizer="words") | Situate(title=False, before=0, write=Shouts(2), max_tokens=10)
    chunks = pipeline(Document("word " * 50))
    assert [chunk.context for chunk in chunks] == [f"chunk {i} hey hey" for i in range(len(chunks))]
    assert '"by":"shouts"' in pipeline.recipe
    with pytest.raises(InvalidInputError, match="Pass the chunker"):
        from_recipe(pipeline.recipe)


def test_a_situator_that_returns_too_few_texts_is_refused() -> None:
    class Forgetful(Shouts):
        def __call__(self, document: Document, chunks: Sequence[Chunk], /) -> list[str]:
            return ["only one"]

    with pytest.raises(InvalidInputError, match=r"returned 1 texts for \d+ chunks of document 'd'"):
        (FixedChunker(30, tokenizer="words") | Situate(write=Forgetful(), max_tokens=10))(Document("word " * 50, id="d"))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Situate(before=-1), "before is -1"),
        (lambda: Situate(max_tokens=1.5), "max_tokens is 1.5"),
        (lambda: Situate(use="words"), "use is 'words'"),
        (lambda: Situate(blend=1.5), "blend is 1.5"),
        (lambda: Situate(document=-1.0), "document is -1.0"),
        (lambda: Situate(write=len), "needs a recipe"),
        (lambda: Late(blend=2), "blend is 2"),
        (lambda: Late(overlap=-1), "overlap is -1"),
        (lambda: Late(window=10, overlap=10), "windows must advance"),
        (lambda: FixedChunker() | Late, "Late is a class"),
        (lambda: FixedChunker() | 3, "3 is no step"),
        (lambda: (FixedChunker(60, tokenizer="words") | Situate(max_tokens=60))(Document("a")), "no room"),
    ],
)
def test_bad_settings_name_themselves(make: Any, message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        make()


def test_an_edit_far_away_changes_no_context() -> None:
    text = "".join(f"Sentence number {n} says something{' more' * (n % 13)}.{'  '[n % 3 :] or chr(10) * 2}" for n in range(400))
    chunker = RecursiveChunker(128, tokenizer="words") | Situate(before=2)
    before = {(c.text, c.context) for c in chunker(Document(text, id="d"))}
    after = {(c.text, c.context) for c in chunker(Document("A new beginning. " + text, id="d"))}
    assert len(after - before) <= 3


def test_endless_sentences_cost_no_more_than_others() -> None:
    """One sentence as long as the document is before every chunk of it, and must not be counted for each."""
    seconds = []
    for size in (40_000, 160_000):
        document = Document("word " * (size // 5))
        chunker = RecursiveChunker(64, tokenizer="words") | Situate(title=False, before=2, after=2, max_tokens=20)
        begun = time.process_time()
        chunks = chunker(document)
        seconds.append(time.process_time() - begun)
        assert all(chunk.context for chunk in chunks)
    assert seconds[1] < 9 * seconds[0]


def test_context_that_leaves_no_room_is_named(tmp_path: Path) -> None:
    """Before a database is made, and with what to change."""
    chunker = RecursiveChunker(60) | Situate(max_tokens=64)
    with pytest.raises(
        InvalidInputError, match=r"max_tokens is 60; 64 of them are kept free for context and 2 .*Situate\(max_tokens"
    ):
        Index(tmp_path / "kb", chunker=chunker, embedder=TransformerEmbedder())
    assert not (tmp_path / "kb").exists()


@pytest.mark.parametrize("use", ["dense", "bm25", "both"])
def test_a_tables_header_is_read_by_both(use: Any) -> None:
    """It is part of the chunk's meaning, whoever reads the title beside it."""
    table = Document("name,age\n" + "\n".join(f"cat{row},{row}" for row in range(30)), metadata={"title": "Cats"})
    for chunk in (TableChunker(50, tokenizer="words") | Situate(max_tokens=16, use=use))(table)[1:]:
        assert chunk.context.startswith("name,age\nCats")
        assert chunk.encoding.plain < 1
        assert chunk.encoding.lexical
