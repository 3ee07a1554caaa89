"""Questions of many threads share passes, and none gets another's vector or error."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from ragkit import Document, Index
from ragkit.embed import CoalescingEmbedder
from ragkit.embed.reader import token_reader
from ragkit.errors import CapabilityError, InvalidInputError
from ragkit.rerank import CompressedReranker, TokenCompressor
from ragkit.seams import Vectors
from ragkit.testing.embedders import HashEmbedder, HashReader


class Slow(HashEmbedder):
    """Takes a moment for each pass, counts them, and refuses one text."""

    def __init__(self) -> None:
        super().__init__()
        self.passes: list[int] = []

    def embed_queries(self, texts: Sequence[str], /) -> Vectors:
        time.sleep(0.02)
        self.passes.append(len(texts))
        if "bad" in texts:
            raise InvalidInputError("bad is refused")
        return super().embed_queries(texts)


def test_waiting_questions_share_a_pass_and_keep_their_vectors() -> None:
    slow = Slow()
    embedder = CoalescingEmbedder(slow, most=16)
    texts = [f"question {number}" for number in range(64)]
    with ThreadPoolExecutor(64) as pool:
        found = list(pool.map(embedder.embed_query, texts))
    np.testing.assert_array_equal(np.stack(found), HashEmbedder().embed_queries(texts))
    assert sum(slow.passes) == 64
    assert max(slow.passes) <= 16
    assert len(slow.passes) < 32


def test_a_bad_question_fails_alone() -> None:
    embedder = CoalescingEmbedder(Slow())

    def ask(text: str) -> str:
        try:
            embedder.embed_query(text)
        except InvalidInputError as error:
            return str(error)
        return "fine"

    with ThreadPoolExecutor(8) as pool:
        told = list(pool.map(ask, ["one", "two", "bad", "three", "four"]))
    assert told == ["fine", "fine", "bad is refused", "fine", "fine"]
    with pytest.raises(InvalidInputError):
        embedder.embed_query("bad")


def test_token_states_come_out_of_the_wrapped_embedders_own_pass(tmp_path: Path) -> None:
    reader = HashReader(dim=64)
    texts = ["the river rose in the old town", "the bridge is closed until morning"]
    compressor = TokenCompressor.untrained(reader, texts, layers=(1,), vectors=4, bits=64)
    with Index(tmp_path / "kb", embedder=CoalescingEmbedder(reader), compressor=compressor) as index:
        before = reader.calls, reader.reads
        index.add([Document(text) for text in texts])
        assert (reader.calls - before[0], reader.reads - before[1]) == (2, 2)
        hits = index.search("which bridge is closed", rerank=CompressedReranker(compressor))
        assert (reader.calls - before[0], reader.reads - before[1]) == (3, 3)
        assert hits[0].parts["rerank"].rank == 1


def test_an_embedder_without_token_states_has_none_behind_it_either() -> None:
    embedder = CoalescingEmbedder(HashEmbedder())
    assert token_reader(embedder) is None
    with pytest.raises(CapabilityError, match="no states"):
        embedder.read_queries(["one"], layers=(1,))
