"""The laws of chunking, on the 23 texts that break chunkers and on whatever hypothesis finds."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer as Backend

from ragkit import Document
from ragkit.chunk import (
    CodeChunker,
    Engine,
    FixedChunker,
    HtmlChunker,
    JsonChunker,
    MarkdownChunker,
    RecursiveChunker,
    SemanticChunker,
    SentenceChunker,
    TableChunker,
)
from ragkit.errors import ChunkLimitError
from ragkit.seams import Tokenizer
from ragkit.testing.embedders import HashEmbedder
from ragkit.testing.laws import check_chunks
from ragkit.testing.texts import pathological
from ragkit.text import resolve_tokenizer
from ragkit.text.token_starts import token_starts
from ragkit.weights import find_model

SEPARATORS = ["page", re.compile(r"^(?=#|def |class )", re.MULTILINE), "\n\n", "line", ". ", "word"]
CHUNKERS: list[Callable[..., Engine]] = [
    FixedChunker,
    SentenceChunker,
    partial(SentenceChunker, packing="best"),
    partial(SentenceChunker, packing="one"),
    RecursiveChunker,
    partial(RecursiveChunker, separators=SEPARATORS),
    MarkdownChunker,
    HtmlChunker,
    JsonChunker,
    TableChunker,
    partial(CodeChunker, language="python"),
    partial(SemanticChunker, embedder=HashEmbedder()),
]
TEXTS = pathological(1_800)


def nasty(text: str) -> int:
    """A count that does not add up: joins save a token, long texts cost more per character."""
    return len(text) // 3 + (len(text) // 50) ** 2 // 40 + text.count("e") % 2


def make(name: str) -> Tokenizer:
    if name == "minilm as shipped":
        shipped = Backend.from_file(str(find_model("all-MiniLM-L6-v2") / "tokenizer.json"))
        assert shipped.truncation is not None, "the shipped file no longer truncates: the test has lost its point"
        return resolve_tokenizer(shipped)
    return resolve_tokenizer({"minilm": None, "function": nasty}.get(name, name))


TOKENIZERS = {
    name: make(name) for name in ("cl100k_base", "o200k_base", "minilm", "minilm as shipped", "function", "characters", "words")
}


def broken(chunker: Engine, text: str, tokenizer: Tokenizer, limit: int, overlap: int) -> list[str]:
    document = Document(text, id="doc")
    return check_chunks(document, chunker(document), tokenizer.count_batch, limit=limit, overlap=overlap)


@pytest.mark.parametrize("name", TEXTS)
@pytest.mark.parametrize("tokenizer", ["cl100k_base", "o200k_base", "minilm", "minilm as shipped", "function"])
def test_every_law_on_every_text(name: str, tokenizer: str) -> None:
    counter = TOKENIZERS[tokenizer]
    for kind, overlap in product(CHUNKERS, (0, 32)):
        chunker = kind(128, overlap=overlap, tokenizer=counter, reserve=0)
        assert broken(chunker, TEXTS[name], counter, 128, overlap) == [], f"{chunker.recipe}"
    ranged = RecursiveChunker((100, 128), overlap=8, tokenizer=counter, reserve=0)
    assert broken(ranged, TEXTS[name], counter, 128, 8) == []


words = st.sampled_from(
    ["word", "Ünïcödé", "。", "东京", ".", "e.g.", "3.14", "\n", "\n\n", "\r\n", "\t", "  ", "👩🏾‍🚀", "e\u0301", "# Head\n", "```\n", "- item\n",
     "| a | b |\n", "|---|---|\n", "<table><tr><th>a</th></tr>", "<tr><td>", "</td></tr>", '"', ";", ",", "<|endoftext|>", "[SEP]", "\ud800", "\x00", "\u2028", "antidisestablishmentarianism", "\u0e44\u0e17\u0e22"]
)  # fmt: skip
texts = st.one_of(
    st.text(st.characters(exclude_categories=()), max_size=300),
    st.lists(words, max_size=80).map("".join),
    st.lists(words, max_size=80).map(" ".join),
)


@given(
    text=texts,
    kind=st.sampled_from(CHUNKERS),
    tokenizer=st.sampled_from(sorted(TOKENIZERS)),
    limit=st.integers(1, 40),
    share=st.floats(0, 0.99),
    least=st.none() | st.floats(0, 1),
)
def test_laws_on_anything(
    text: str, kind: Callable[..., Engine], tokenizer: str, limit: int, share: float, least: float | None
) -> None:
    counter, overlap = TOKENIZERS[tokenizer], int(limit * share)
    size = limit if least is None else (max(1, int(limit * least)), limit)
    chunker = kind(size, overlap=overlap, tokenizer=counter, reserve=0)
    try:
        found = broken(chunker, text, counter, limit, overlap)
    except ChunkLimitError:
        assert max(counter.count_batch(list(text))) > limit
        return
    assert found == []


@given(text=texts, tokenizer=st.sampled_from(sorted(TOKENIZERS)), place=st.floats(0, 1))
def test_a_tokenizer_vouches_only_for_cuts_that_add_up(text: str, tokenizer: str, place: float) -> None:
    counter, at = TOKENIZERS[tokenizer], int(place * len(text))
    if counter.additive_at(text, at):
        whole, left, right = counter.count_batch([text, text[:at], text[at:]])
        assert left + right == whole


@given(text=texts, tokenizer=st.sampled_from(["cl100k_base", "o200k_base", "minilm", "words", "characters"]))
def test_token_starts_agree_with_the_count(text: str, tokenizer: str) -> None:
    counter = TOKENIZERS[tokenizer]
    starts = token_starts(counter, text)[0]
    assert (starts[1:] >= starts[:-1]).all()
    assert not len(starts) or (starts[0] >= 0 and starts[-1] < len(text))
    assert len(starts) >= counter.count_batch([text])[0]


@given(text=texts, kind=st.sampled_from(CHUNKERS))
def test_chunking_is_deterministic_and_metadata_moves_nothing(text: str, kind: Callable[..., Engine]) -> None:
    chunker = kind(16, tokenizer="words", reserve=0)
    plain, tagged = Document(text, id="d"), Document(text, id="d", metadata={"source": "a.md", "n": [1]})
    assert chunker(plain) == chunker(plain)
    assert [c.id for c in chunker(plain)] == [c.id for c in chunker(tagged)]
    assert all(c.metadata["source"] == "a.md" for c in chunker(tagged))
    assert list(chunker.stream([plain, tagged])) == chunker(plain) + chunker(tagged)


def test_ids_depend_on_document_recipe_span_and_text_only() -> None:
    text = "One sentence. " * 40
    chunker = FixedChunker(20, tokenizer="words")
    ids = [c.id for c in chunker(Document(text, id="a"))]
    assert len(set(ids)) == len(ids)
    assert ids == [c.id for c in FixedChunker(20, tokenizer="words")(Document(text, id="a"))]
    assert not set(ids) & {c.id for c in chunker(Document(text, id="b"))}
    assert not set(ids) & {c.id for c in FixedChunker(20, tokenizer="words", overlap=2)(Document(text, id="a"))}


@pytest.mark.parametrize("kind", [SentenceChunker, RecursiveChunker, MarkdownChunker])
@pytest.mark.parametrize("place", ["start", "middle"])
def test_an_edit_moves_only_the_chunks_around_it(kind: type[Engine], place: str) -> None:
    paragraphs = pathological(400_000)["prose with blank ends"].split("\n\n")
    chunker = kind(64, tokenizer="words")
    before = {chunk.text for chunk in chunker(Document("\n\n".join(paragraphs)))}
    at = 0 if place == "start" else len(paragraphs) // 2
    paragraphs[at] += " A sentence that was not there before, with several words of its own."
    after = [chunk.text for chunk in chunker(Document("\n\n".join(paragraphs)))]
    assert len(after) > 500
    assert sum(body not in before for body in after) < 0.02 * len(after)
