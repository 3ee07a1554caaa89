"""The vector cache: free the second time, shared by threads and processes, and never a wrong vector."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ragkit.embed import CachedEmbedder, TransformerEmbedder, embed_keys
from ragkit.errors import CapabilityError, RagkitError, StoreCorruptError, StoreError, StoreFormatError, TextTooLongError
from ragkit.seams import Embedder
from ragkit.types import Chunk, Document, Encoding

Cut = Callable[..., Chunk]


class Counting(TransformerEmbedder):
    """The real thing, counting what reaches it."""

    seen = 0

    def _embed(self, readings, name, *, prompt):  # type: ignore[no-untyped-def]
        self.seen += len(readings)
        return super()._embed(readings, name, prompt=prompt)


@pytest.fixture(scope="module")
def inner(make_model: Callable[..., Path]) -> Counting:
    return Counting(str(make_model(window=64, prompts={"query": "rain: "})))


@pytest.fixture
def cached(inner: Counting, tmp_path: Path) -> CachedEmbedder:
    inner.seen = 0
    return CachedEmbedder(inner, path=tmp_path / "deep" / "vectors.db")


def inner_of(cached: CachedEmbedder) -> Counting:
    assert isinstance(cached.embedder, Counting)
    return cached.embedder


def test_it_is_an_embedder(cached: CachedEmbedder) -> None:
    assert isinstance(cached, Embedder)
    assert cached.card == inner_of(cached).card
    assert cached.tokenizer is inner_of(cached).tokenizer


def test_the_second_time_is_free_and_the_same(cached: CachedEmbedder, inner: Counting) -> None:
    texts = ["the cat", "a dog", "the cat", "", "\ud800"]
    first = cached.embed_texts(texts)
    assert inner.seen == 4
    np.testing.assert_allclose(first, inner.embed_texts(texts), atol=2e-6)
    inner.seen = 0
    again = CachedEmbedder(inner, path=cached.path)
    np.testing.assert_array_equal(again.embed_texts(texts[::-1]), first[::-1])
    assert inner.seen == 0
    found = again.stats()
    assert (found.hits, found.misses, found.damaged, found.bypassed, found.entries) == (5, 0, 0, 0, 4)
    assert found.size > 0
    assert (cached.stats().hits, cached.stats().misses) == (1, 4)


def test_queries_documents_models_and_spans_never_meet(cached: CachedEmbedder, cut: Cut, make_model: Callable[..., Path]) -> None:
    document = Document("the cat sat on a mat", id="d")
    whole = (0, 20)
    chunks = [
        cut(document, 0, 7),
        cut(document, 0, 7, window=whole, index=1),
        cut(document, 8, 20, window=whole, index=2),
        cut(document, 0, 7, context="old", index=3),
        cut(document, 0, 7, context="old", window=whole, index=4),
    ]
    direct = inner_of(cached)
    for _ in range(2):
        np.testing.assert_allclose(cached.embed_chunks(document, chunks), direct.embed_chunks(document, chunks), atol=2e-6)
        np.testing.assert_allclose(cached.embed_query("the cat"), direct.embed_query("the cat"), atol=2e-6)
    # A plain chunk is a plain text; a query is not.
    assert cached.stats().entries == 6
    cached.embed_texts(["the cat"])
    assert cached.stats().entries == 6
    other = CachedEmbedder(TransformerEmbedder(str(make_model(seed=1))), path=cached.path)
    np.testing.assert_allclose(other.embed_texts(["the cat"]), other.embedder.embed_texts(["the cat"]), atol=2e-6)
    assert other.stats().misses == 1


def test_only_missing_chunks_are_embedded(cached: CachedEmbedder, inner: Counting, cut: Cut) -> None:
    documents = [Document(f"the {word} sat on a mat at night", id=word) for word in ("cat", "dog", "old")]
    items = [(d, [cut(d, 0, 7), cut(d, 8, 14, index=1), cut(d, 15, 20, index=2)]) for d in documents]
    cached.embed_batch([(documents[1], items[1][1][:2])])
    assert inner.seen == 2
    found = cached.embed_batch(items)
    # Of nine chunks the second and third are the same texts in every document.
    assert inner.seen == 2 + 3
    np.testing.assert_allclose(found, TransformerEmbedder(inner.name).embed_batch(items), atol=2e-6)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    calls=st.lists(
        st.lists(st.sampled_from(["the cat", "a dog", "rain", "", "猫", "old town", "x\ud800"]), max_size=5), max_size=4
    )
)
def test_any_sequence_of_calls_gives_the_embedders_vectors(
    inner: Counting, cached: CachedEmbedder, calls: list[list[str]]
) -> None:
    for texts in calls:
        np.testing.assert_allclose(cached.embed_texts(texts), inner.embed_texts(texts), atol=2e-6)


def test_keys_say_what_was_encoded(inner: Counting, cut: Cut) -> None:
    document = Document("the cat sat on a mat", id="d")
    same_text = Document("the cat sat on a mat", id="elsewhere")
    longer = Document("rain. the cat sat on a mat", id="longer")

    def key(of: Document, chunk: Chunk, **encoding: Any) -> str:
        return embed_keys(inner.card, of, [replace(chunk, encoding=Encoding(**encoding))])[0]

    base = cut(document, 4, 7, window=(0, 20))
    own = key(document, base)
    assert len(own) == 32
    assert own == key(same_text, cut(same_text, 4, 7, window=(0, 20)))
    assert own == key(longer, cut(longer, 10, 13, window=(6, 26), index=9))
    # Who reads a context for words moves no vector.
    assert own == key(document, base, lexical=False)
    other_card = TransformerEmbedder(inner.name, dims=8).card
    different = {
        key(document, cut(document, 4, 11, window=(0, 20))),
        key(document, cut(document, 4, 7, window=(0, 19))),
        key(document, cut(document, 4, 7)),
        key(document, cut(document, 4, 7, window=(0, 20), context="old")),
        key(document, base, plain=0.5),
        key(document, base, document=0.5),
        key(document, base, overlap=3),
        key(document, base, window=9),
        embed_keys(other_card, document, [base])[0],
    }
    assert len(different | {own}) == 10
    alone, beside = cut(document, 4, 7), cut(document, 8, 11, index=1)
    weighted = replace(alone, encoding=Encoding(document=1.0))
    assert embed_keys(inner.card, document, [alone]) == embed_keys(inner.card, document, [alone, beside])[:1]
    assert embed_keys(inner.card, document, [weighted]) != embed_keys(inner.card, document, [weighted, beside])[:1]


def test_errors_of_the_embedder_pass_through_and_store_nothing(cached: CachedEmbedder) -> None:
    with pytest.raises(TextTooLongError):
        cached.embed_texts(["the cat", "mat " * 80])
    assert cached.stats().entries == 0


def test_threads_share_one_file(cached: CachedEmbedder, inner: Counting) -> None:
    texts = [f"the {word} {word}" for word in ("cat", "dog", "mat", "rain", "town")]
    expected = inner.embed_texts(texts)
    with ThreadPoolExecutor(8) as pool:
        for found in pool.map(lambda _: cached.embed_texts(texts), range(24)):
            np.testing.assert_allclose(found, expected, atol=2e-6)
    assert cached.stats().entries == 5


PROCESS = """
import sys
import numpy as np
from ragkit.embed import CachedEmbedder
from ragkit.types import ModelCard

class Fake:
    card, tokenizer = ModelCard(name="fake", dim=4, pooling="mean", window=9), None
    def embed_texts(self, texts):
        rows = np.array([[len(text), 1, 2, int(text)] for text in texts], dtype=np.float32)
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)

cached = CachedEmbedder(Fake(), path=sys.argv[1])
for start in range(0, 400, 10):
    texts = [str(number) for number in range(start, start + 30)]
    assert np.array_equal(cached.embed_texts(texts), Fake().embed_texts(texts))
assert cached.stats().bypassed == 0 and cached.stats().entries >= 400
"""


def test_processes_share_one_file(tmp_path: Path) -> None:
    path = str(tmp_path / "vectors.db")
    started = [subprocess.Popen([sys.executable, "-W", "error", "-c", PROCESS, path]) for _ in range(3)]
    assert [process.wait(60) for process in started] == [0, 0, 0]
    with sqlite3.connect(path) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)


class Fake:
    """Four numbers per text, as in the processes above."""

    tokenizer = None

    def __init__(self, card: object) -> None:
        self.card = card

    def embed_texts(self, texts: Sequence[str]) -> np.ndarray:
        rows = np.array([[len(text), 1, 2, int(text)] for text in texts], dtype=np.float32)
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@pytest.fixture
def fake(inner: Counting) -> Fake:
    return Fake(inner.card)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_forked_child_opens_the_file_itself(cached: CachedEmbedder, fake: Fake) -> None:
    cached.embedder = fake  # type: ignore[assignment]
    object.__setattr__(fake, "card", type(fake.card)(**(fake.card.to_dict() | {"dim": 4})))  # type: ignore[attr-defined]
    cached.embed_texts(["1", "2"])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # threads of torch live in this process
        child = os.fork()
    if child == 0:
        ok = np.array_equal(cached.embed_texts(["2", "3"]), fake.embed_texts(["2", "3"]))
        os._exit(0 if ok else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert np.array_equal(cached.embed_texts(["1", "3"]), fake.embed_texts(["1", "3"]))
    assert cached.stats().misses == 2


def test_a_damaged_row_is_embedded_again(cached: CachedEmbedder, inner: Counting) -> None:
    texts = ["the cat", "a dog", "rain"]
    good = cached.embed_texts(texts)
    with sqlite3.connect(cached.path) as connection:
        keys = [key for (key,) in connection.execute("SELECT key FROM vectors ORDER BY key")]
        connection.execute("UPDATE vectors SET vector = ? WHERE key = ?", (np.ones(32, "<f4").tobytes(), keys[0]))
        connection.execute("UPDATE vectors SET vector = substr(vector, 1, 64) WHERE key = ?", (keys[1],))
    inner.seen = 0
    np.testing.assert_allclose(cached.embed_texts(texts), good, atol=2e-6)
    assert inner.seen == 2
    assert cached.stats().damaged == 2
    cached.embed_texts(texts)
    assert inner.seen == 2


def test_swapped_rows_are_noticed(cached: CachedEmbedder, inner: Counting) -> None:
    good = cached.embed_texts(["the cat", "a dog"])
    with sqlite3.connect(cached.path) as connection:
        rows = connection.execute("SELECT key, vector, checksum FROM vectors").fetchall()
        for (key, _, _), (_, vector, check) in zip(rows, rows[::-1], strict=True):
            connection.execute("UPDATE vectors SET vector = ?, checksum = ? WHERE key = ?", (vector, check, key))
    np.testing.assert_allclose(cached.embed_texts(["the cat", "a dog"]), good, atol=2e-6)
    assert cached.stats().damaged == 2


def test_pages_of_garbage_never_give_a_wrong_vector(inner: Counting, tmp_path: Path) -> None:
    path = tmp_path / "vectors.db"
    cached = CachedEmbedder(inner, path=path)
    texts = [f"the {a} {b}" for a in ("cat", "dog", "rain", "mat") for b in "abcdefghijklmnop"]
    good = cached.embed_texts(texts)
    cached.close()
    whole = path.read_bytes()
    draw, noticed = np.random.default_rng(0), 0
    for _ in range(12):
        spoiled = bytearray(whole)
        at = int(draw.integers(100, len(whole) - 600))
        spoiled[at : at + 600] = draw.bytes(600)
        path.write_bytes(bytes(spoiled))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)
            again = CachedEmbedder(inner, path=path)
            try:
                np.testing.assert_allclose(again.embed_texts(texts), good, atol=2e-6)
                noticed += again.stats().damaged + again.stats().bypassed + again.stats().misses
            except StoreError:
                noticed += 1
            again.close()
    assert noticed > 0


def test_a_file_that_is_no_cache(inner: Counting, tmp_path: Path) -> None:
    text = tmp_path / "notes.txt"
    text.write_text("these are my notes\n" * 100)
    with pytest.raises(StoreCorruptError, match=r"notes\.txt.*Delete it"):
        CachedEmbedder(inner, path=text).embed_texts(["the cat"])
    assert text.read_text().startswith("these are my notes")
    with pytest.raises(StoreError, match="cannot be opened"):
        CachedEmbedder(inner, path=tmp_path).embed_texts(["the cat"])
    with pytest.raises(StoreError, match="cannot be opened"):
        CachedEmbedder(inner, path=text / "below" / "vectors.db").embed_texts(["the cat"])


def test_a_newer_format_is_refused(cached: CachedEmbedder) -> None:
    cached.embed_texts(["the cat"])
    cached.close()
    with sqlite3.connect(cached.path) as connection:
        connection.execute("PRAGMA user_version = 99")
    with pytest.raises(StoreFormatError, match="format 99"):
        cached.embed_texts(["the cat"])


def test_a_locked_file_is_bypassed_and_reported(cached: CachedEmbedder, inner: Counting, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ragkit.sqlite._PATIENCE", 0.05)
    cached.embed_texts(["the cat"])
    other = sqlite3.connect(cached.path, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    with pytest.warns(RuntimeWarning, match=r"1 vectors could not be stored.*locked"):
        found = cached.embed_texts(["the cat", "a dog"])
    np.testing.assert_allclose(found, inner.embed_texts(["the cat", "a dog"]), atol=2e-6)
    other.execute("ROLLBACK")
    other.close()
    assert cached.stats().bypassed == 1
    assert cached.stats().entries == 1


FULL = """
import resource, sys, warnings
import numpy as np
from ragkit.embed import CachedEmbedder
from ragkit.types import ModelCard

class Fake:
    card, tokenizer = ModelCard(name="fake", dim=256, pooling="mean", window=9), None
    def embed_texts(self, texts):
        rows = np.stack([np.random.default_rng(int(text)).normal(size=256) for text in texts]).astype(np.float32)
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)

cached = CachedEmbedder(Fake(), path=sys.argv[1])
cached.embed_texts(["0", "1"])
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
with warnings.catch_warnings(record=True) as seen:
    warnings.simplefilter("always")
    for start in range(0, 1000, 200):
        texts = [str(number) for number in range(start, start + 200)]
        assert np.array_equal(cached.embed_texts(texts), Fake().embed_texts(texts))
assert any("could not be stored" in str(warning.message) for warning in seen), seen
assert cached.stats().bypassed > 0
assert np.array_equal(cached.embed_texts(["0", "1"]), Fake().embed_texts(["0", "1"]))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs a limit on file sizes")
def test_a_full_disk_is_bypassed_and_reported(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-c", FULL, str(tmp_path / "vectors.db")], check=True, timeout=60)


def test_capability_errors_pass_through(make_model: Callable[..., Path], cut: Cut, tmp_path: Path) -> None:
    cached = CachedEmbedder(TransformerEmbedder(str(make_model(pooling="cls"))), path=tmp_path / "v.db")
    document = Document("the cat sat", id="d")
    with pytest.raises(CapabilityError):
        cached.embed_chunks(document, [cut(document, 0, 7, window=(0, 11))])
    with pytest.raises(RagkitError):
        cached.embed_texts("the cat")
