"""Questions of many threads share passes, and none gets another's vector or error."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from ragkit.embed import CoalescingEmbedder
from ragkit.errors import InvalidInputError
from ragkit.seams import Vectors
from ragkit.testing.embedders import HashEmbedder


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
