"""What must hold of every chunker, each by its name; ``test_laws`` and ``test_stream_text`` hold those of the engine.

Slices, ascending spans, lossless text, the limit by the real count, exact counts, distinct ids, bounded overlap, uncut
graphemes: ``test_laws``. Any cutting of the text and its memory: ``test_stream_text``. Blocks whole, headers as context:
``test_markdown``, ``test_tables``. One vector per chunk: ``tests/embed``. The others are here.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer as Backend

from ragkit import Document
from ragkit.chunk import (
    AutoChunker,
    CodeChunker,
    Engine,
    FixedChunker,
    HtmlChunker,
    JsonChunker,
    MarkdownChunker,
    Parents,
    RecursiveChunker,
    SentenceChunker,
    TableChunker,
)
from ragkit.testing.texts import pathological
from ragkit.text import resolve_tokenizer
from ragkit.weights import find_model

ALL: dict[str, Callable[..., Engine]] = {
    "fixed": FixedChunker,
    "sentence": SentenceChunker,
    "best": partial(SentenceChunker, packing="best"),
    "recursive": RecursiveChunker,
    "separators": partial(RecursiveChunker, separators=["paragraph", ". "]),
    "markdown": MarkdownChunker,
    "html": HtmlChunker,
    "table": TableChunker,
    "json": JsonChunker,
    "code": partial(CodeChunker, language="python"),
    "auto": AutoChunker,
}
TEXTS = pathological(1_000)
MINILM = find_model("all-MiniLM-L6-v2") / "tokenizer.json"
each_chunker = pytest.mark.parametrize("kind", ALL)


def texts_of(chunks: Any) -> list[str]:
    return [chunk.text for chunk in chunks]


@each_chunker
@pytest.mark.parametrize("tokenizer", ["o200k_base", "words"])
def test_chunking_a_chunk_gives_that_chunk(kind: str, tokenizer: str) -> None:
    chunker = ALL[kind](40, tokenizer=tokenizer, reserve=0)
    for name, text in TEXTS.items():
        for chunk in chunker(Document(text)):
            if not chunk.text.isspace():
                assert texts_of(chunker(Document(chunk.text))) == [chunk.text], name


@pytest.fixture(scope="module")
def states() -> list[Any]:
    """One tokenizer with and without truncation and padding."""
    clean = Backend.from_file(str(MINILM))
    clean.no_truncation()
    clean.no_padding()
    tight = Backend.from_file(str(MINILM))
    tight.enable_truncation(16)
    tight.enable_padding(length=64)
    return [resolve_tokenizer(clean), resolve_tokenizer(tight)]


@each_chunker
def test_truncation_and_padding_of_a_tokenizer_move_nothing(kind: str, states: list[Any]) -> None:
    for name in ("prose with blank ends", "chinese", "special tokens"):
        document = Document(TEXTS[name], id="d")
        assert len({json.dumps([c.id for c in ALL[kind](40, tokenizer=one)(document)]) for one in states}) == 1


def test_the_callers_tokenizer_is_not_changed() -> None:
    shipped = Backend.from_file(str(MINILM))
    before = shipped.to_str()
    RecursiveChunker(40, overlap=3, tokenizer=shipped)(Document(TEXTS["prose with blank ends"]))
    assert shipped.to_str() == before


@each_chunker
@pytest.mark.parametrize("tokenizer", ["cl100k_base", "o200k_base", None])
def test_strings_like_special_tokens_are_text(kind: str, tokenizer: Any) -> None:
    text = "<|endoftext|> [SEP] [CLS] </s> <|im_start|> [MASK]x <pad> " * 20
    assert "".join(texts_of(ALL[kind](24, tokenizer=tokenizer, reserve=0)(Document(text)))) == text


@each_chunker
@pytest.mark.parametrize("cluster", ["👨‍👩‍👧‍👦", "e\u0301\u0302\u0303", "\r\n", "🇩🇪", "👍🏽", "नि", "각"])
def test_a_grapheme_is_cut_only_when_it_alone_exceeds_the_limit(kind: str, cluster: str) -> None:
    text = f"word {cluster}" * 60
    size = len(cluster)
    for limit in (size, size + 1, 2 * size + 3):
        edges = {c.start for c in ALL[kind](limit, tokenizer="characters")(Document(text))}
        inside = {at + step for at in range(5, len(text), 5 + size) for step in range(1, size)}
        assert not edges & inside
    if size > 2:
        assert "".join(texts_of(ALL[kind](size - 1, tokenizer="characters")(Document(text)))) == text


@each_chunker
def test_no_replacement_characters_appear(kind: str) -> None:
    for name in ("emoji", "chinese", "combining marks", "lone surrogates"):
        text = TEXTS[name]
        assert sum(c.text.count("\ufffd") for c in ALL[kind](16, tokenizer="cl100k_base")(Document(text))) == text.count("\ufffd")


@each_chunker
def test_equal_text_at_two_places_has_two_ids(kind: str) -> None:
    chunks = ALL[kind](8, tokenizer="words")(Document("The cat sat. " * 100, id="d"))
    assert len({c.id for c in chunks}) == len(chunks) > len(set(texts_of(chunks)))


@each_chunker
def test_metadata_is_copied_and_moves_nothing(kind: str) -> None:
    shared = {"tags": ["a"], "deep": {"x": [1]}}
    tagged = ALL[kind](8, tokenizer="words")(Document("The cat sat. " * 30, id="d", metadata=shared))
    assert [c.id for c in tagged] == [c.id for c in ALL[kind](8, tokenizer="words")(Document("The cat sat. " * 30, id="d"))]
    tagged[0].metadata["tags"].append("b")  # type: ignore[union-attr]
    tagged[0].metadata["deep"]["x"].append(2)  # type: ignore[union-attr]
    assert shared == {"tags": ["a"], "deep": {"x": [1]}}
    assert tagged[1].metadata["tags"] == ["a"]


@each_chunker
def test_threads_and_batches_give_the_same(kind: str) -> None:
    chunker = ALL[kind](30, overlap=4, tokenizer="cl100k_base")
    documents = [Document(text, id=name) for name, text in TEXTS.items()]
    alone = [chunker(document) for document in documents]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(chunker, documents)) == alone
    assert list(chunker.stream(documents)) == [chunk for chunks in alone for chunk in chunks]


def test_the_same_in_every_process_whatever_the_hash_seed() -> None:
    code = """
import json, sys
from ragkit import Document
from ragkit.chunk import *
from ragkit.testing.texts import pathological
made = [FixedChunker, SentenceChunker, RecursiveChunker, MarkdownChunker, HtmlChunker, TableChunker, JsonChunker, AutoChunker]
chunkers = [kind(20, overlap=3) for kind in made]
chunkers += [SentenceChunker((10, 20), packing="best"), RecursiveChunker(20, separators=["line", ". "]) | Parents((60,))]
chunkers += [CodeChunker(20, language="python")]
texts = pathological(300)
print(json.dumps([[c.id, c.context, c.metadata] for k in chunkers for n, t in texts.items() for c in k(Document(t, id=n))]))
"""
    runs = {
        subprocess.run(
            [sys.executable, "-c", code],
            env=os.environ | {"PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "77")
    }
    assert len(runs) == 1
    assert len(runs.pop()) > 5_000


@each_chunker
@pytest.mark.parametrize("overlap", [1, 5, 19])
def test_overlap_is_bounded_on_both_sides(kind: str, overlap: int) -> None:
    """At most what was asked, something where words allow it, and no flood of chunks at the largest overlap."""
    words = resolve_tokenizer("words")
    text = " ".join(f"word{at}" for at in range(600))
    chunks = ALL[kind](20, overlap=overlap, tokenizer="words")(Document(text))
    shared = words.count_batch([text[b.start : a.end] for a, b in pairwise(chunks)])
    assert max(shared) <= overlap
    assert sum(shared) >= 0.8 * overlap * len(shared)
    assert len(chunks) <= 600


@pytest.mark.parametrize("kind", ["fixed", "sentence", "recursive", "separators", "markdown", "html", "table"])
def test_text_after_a_far_paragraph_break_leaves_earlier_chunks_alone(kind: str) -> None:
    text = pathological(9_000)["prose with blank ends"].rstrip() + "\n\n"
    chunker = ALL[kind](40, tokenizer="words")
    before, after = (chunker(Document(whole, id="d")) for whole in (text, text + "More words were added here. " * 50))
    assert [c.id for c in after[: len(before) - 2]] == [c.id for c in before[:-2]]


@pytest.mark.parametrize("tokenizer", ["minilm", "words"])
def test_a_word_that_is_one_unknown_token_is_cut_all_the_same(tokenizer: str) -> None:
    """12,000 letters are one [UNK]: within any limit, and worthless as an embedding."""
    text = TEXTS["letters without blanks"] * 8
    chunks = FixedChunker(128, tokenizer=None if tokenizer == "minilm" else tokenizer)(Document(text))
    assert max(len(chunk.text) for chunk in chunks) <= 4 * 128
    assert "".join(texts_of(chunks)) == text


@pytest.mark.parametrize("name", ["one line", "no blanks", "dots", "blanks", "repeats", "marks"])
@pytest.mark.parametrize("kind", ["fixed", "best", "recursive", "markdown", "html", "table"])
def test_time_is_linear(kind: str, name: str) -> None:
    unit = {
        "one line": "some words here, ",
        "no blanks": "abcdefgh",
        "dots": ".",
        "blanks": " ",
        "repeats": "The cat sat. ",
        "marks": "e\u0301",
    }[name]
    chunker = ALL[kind](64, tokenizer="words")

    def seconds(size: int) -> float:
        document = Document((unit * size)[:size] + "x")
        begun = time.process_time()
        chunker(document)
        return time.process_time() - begun

    seconds(1_000)
    small, large = (min(seconds(size) for _ in range(3)) for size in (10_000, 40_000))
    assert large < 4 * 2.3 * small + 0.02, f"{large / small:.1f} times the time for four times the text"


@given(
    text=st.text(st.characters(exclude_categories=()), max_size=200), kind=st.sampled_from(sorted(ALL)), size=st.integers(2, 20)
)
def test_ranges_change_sizes_and_no_law(text: str, kind: str, size: int) -> None:
    chunker = ALL[kind]((size // 2, size), tokenizer="characters")
    assert "".join(texts_of(chunker(Document(text)))) == ("" if text.isspace() else text)


def test_parents_do_not_move_chunks() -> None:
    document = Document(TEXTS["prose with blank ends"], id="d")
    plain = RecursiveChunker(20, tokenizer="words")
    assert texts_of((plain | Parents((60,)))(document)) == texts_of(plain(document))
