"""Speed that can be held in CI: time is linear in the text, and stays near the tokenizer's own."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import tiktoken

from ragkit import Chunk, Document
from ragkit.chunk import Engine, FixedChunker, MarkdownChunker, RecursiveChunker, SentenceChunker
from ragkit.testing.texts import pathological
from ragkit.text import TiktokenTokenizer, resolve_tokenizer

CHUNKERS = [FixedChunker, SentenceChunker, RecursiveChunker, MarkdownChunker]
TOKENIZERS = {"cl100k": TiktokenTokenizer(tiktoken.get_encoding("cl100k_base"), threads=1), "minilm": resolve_tokenizer(None)}
#: The bare tokenizer's time as a share of the chunker's: half of what is measured, so that only a real fall trips it.
FLOORS = [(FixedChunker, 0.33), (SentenceChunker, 0.18), (RecursiveChunker, 0.18), (MarkdownChunker, 0.13)]
#: One line each.
LINES = {
    "words": "Some words of no great length, and a sentence. ",
    "no spaces": "abcdefghijklmnopqrstuvwxyz0123456789",
    "dots": ".",
    "spaces": " ",
    "repeats": "word ",
    "one letter": "a",
    "one cluster": "\u0301",
    "joined": "👩\u200d",
}


def seconds(run: Callable[[str], Any], text: str) -> float:
    begun = time.process_time()
    run(text)
    return time.process_time() - begun


def chunk(chunker: Engine, text: str) -> list[Chunk]:
    return chunker(Document(text, id="d"))


@pytest.mark.parametrize("tokenizer", TOKENIZERS)
@pytest.mark.parametrize("name", LINES)
def test_time_is_linear_on_one_line(name: str, tokenizer: str) -> None:
    # Linear work takes 4 times as long, quadratic work 16 times.
    text = "x" + LINES[name] * (80_000 // len(LINES[name]))
    for kind in CHUNKERS:
        run = partial(chunk, kind(128, tokenizer=TOKENIZERS[tokenizer]))
        for attempt in range(4):
            short = min(seconds(run, text[: len(text) // 4]) for _ in range(2))
            if seconds(run, text) < 8 * max(short, 0.004):
                break
            assert attempt < 3, f"{kind.__name__} is not linear on {name}"


@pytest.mark.parametrize("tokenizer", TOKENIZERS)
def test_two_megabytes_in_one_line_take_as_long_as_in_many(tokenizer: str) -> None:
    line = "Some words of no great length, and a sentence. " * 42_000
    run = partial(chunk, RecursiveChunker(128, tokenizer=TOKENIZERS[tokenizer]))
    many = seconds(run, line[:400_000].replace("sentence. ", "sentence.\n"))
    for attempt in range(3):
        if seconds(run, line) < 10 * max(many, 0.05):
            break
        assert attempt < 2


@pytest.mark.parametrize(("kind", "least"), FLOORS)
def test_chunking_costs_little_beside_the_tokenizer(kind: type[Engine], least: float) -> None:
    text = "\n\n".join(
        f"Paragraph {at} tells of {at * 7919 % 1009} things, and of words. It has sentences; some longer than others, with "
        f"commas, names such as Ada-{at % 97} and numbers like {at * 31}.\nAnother line follows it, and ends here."
        for at in range(700)
    )
    encode, run = tiktoken.get_encoding("cl100k_base").encode_ordinary, partial(chunk, kind(128, tokenizer=TOKENIZERS["cl100k"]))
    run(text[:2_000])
    found = [seconds(encode, text) / seconds(run, text) for _ in range(9)]
    assert statistics.median(found) > least, found


def test_threads_change_nothing() -> None:
    texts = list(pathological(3_000).values())
    texts += ["\n".join(texts) * 4]
    encoding = tiktoken.get_encoding("cl100k_base")
    one, four = TiktokenTokenizer(encoding, threads=1), TiktokenTokenizer(encoding, threads=4)
    assert one.count_batch(texts) == four.count_batch(texts)
    assert [s.tolist() for s in one.starts_batch(texts)] == [s.tolist() for s in four.starts_batch(texts)]
    document = Document("\n\n".join(texts), id="d")
    assert RecursiveChunker(64, tokenizer=one)(document) == RecursiveChunker(64, tokenizer=four)(document)
    with pytest.raises(ValueError, match="threads"):
        TiktokenTokenizer(encoding, threads=0)
