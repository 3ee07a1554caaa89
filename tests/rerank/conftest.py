"""A reader and a compressor without a model."""

from __future__ import annotations

import pytest

from ragkit.rerank import TokenCompressor
from ragkit.testing.embedders import HashReader

TEXTS = [
    "The cat sat on the mat while it rained in the old town.",
    "Dogs bark at night, and nobody knows why they bark so much.",
    "Late interaction compares every token of a question with every token of a passage.",
    "Signs of projected states take one bit a number, and a thousand bytes a window.",
    "Rain falls on the town; the river rises, and the bridge is closed until morning.",
    "A compressor merges tokens that say the same, so that few vectors stand for many.",
]


@pytest.fixture(scope="session")
def reader() -> HashReader:
    return HashReader(dim=64, window=200)


@pytest.fixture(scope="session")
def compressor(reader: HashReader) -> TokenCompressor:
    return TokenCompressor.untrained(reader, TEXTS * 3, layers=(2, 1), vectors=8, bits=64)
