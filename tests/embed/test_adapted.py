"""Vectors through a context adapter: what they are, where the file is found, and who may be mixed with whom."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ragkit.chunk import FixedChunker, Late, Situate
from ragkit.embed import AdaptedEmbedder, Adapter, CachedEmbedder, Shares, TransformerEmbedder, load_adapter, load_embedder
from ragkit.errors import InvalidInputError, LoadError, ModelNotFoundError, StoreMismatchError
from ragkit.testing.embedders import HashEmbedder
from ragkit.types import Document, Encoding

DIM = 16
TEXT = "The cat sat on a mat and saw her dog bark at night while rain fell. The old town slept. A dog saw the cat. " * 3
DOCUMENT = Document(TEXT, id="d", metadata={"title": "Night"})
CHUNKER = FixedChunker(14, tokenizer="words") | Situate(title=True, before=1, max_tokens=4, document=0.2)
PLAIN = FixedChunker(10, tokenizer="words")


def adapter_of(base: HashEmbedder | TransformerEmbedder, seed: int = 0, **shares: float) -> Adapter:
    rng = np.random.default_rng(seed)
    dim = base.card.dim
    matrices = rng.standard_normal((2, dim, dim)).astype(np.float32) + 3 * np.eye(dim, dtype=np.float32)
    return Adapter(shares=Shares(**shares), documents=matrices[0], queries=matrices[1], base=base.card, chunker=CHUNKER.recipe)


def still(base: HashEmbedder, **shares: float) -> Adapter:
    one = np.eye(base.card.dim, dtype=np.float32)
    return Adapter(shares=Shares(**shares), documents=one, queries=one, base=base.card)


def unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def test_an_adapter_that_changes_nothing():
    base = HashEmbedder(dim=DIM)
    adapted = AdaptedEmbedder(base, path=still(base))
    chunks = PLAIN(DOCUMENT)
    np.testing.assert_allclose(adapted.embed_chunks(DOCUMENT, chunks), base.embed_chunks(DOCUMENT, chunks), atol=1e-6)
    np.testing.assert_allclose(adapted.embed_query("cat"), base.embed_query("cat"), atol=1e-6)
    np.testing.assert_allclose(adapted.embed_texts(["cat", "dog"]), base.embed_texts(["cat", "dog"]), atol=1e-6)


def test_shares_equal_to_the_encoding_give_the_same_vectors():
    """What an encoding mixes, an adapter without matrices mixes too."""
    base = HashEmbedder(dim=DIM)
    chunker = FixedChunker(14, tokenizer="words") | Situate(title=True, before=1, max_tokens=4, blend=0.3)
    chunks = chunker(DOCUMENT)
    adapted = AdaptedEmbedder(base, path=still(base, alone=0.7, situated=0.3))
    from ragkit.vec.mixing import embed_mixed

    expected = embed_mixed([(DOCUMENT, chunks)], base.embed_batch)
    np.testing.assert_allclose(adapted.embed_chunks(DOCUMENT, chunks), expected, atol=1e-6)


def test_the_formula():
    base = HashEmbedder(dim=DIM)
    adapter = adapter_of(base, alone=0.5, situated=0.3, document=0.2)
    chunks = CHUNKER(DOCUMENT)
    alone = base.embed_texts([chunk.text for chunk in chunks])
    situated = base.embed_chunks(DOCUMENT, [replace(chunk, encoding=Encoding()) for chunk in chunks])
    mean = unit(alone.mean(axis=0))
    expected = unit(unit(0.5 * alone + 0.3 * situated + 0.2 * mean) @ adapter.documents)
    np.testing.assert_allclose(AdaptedEmbedder(base, path=adapter).embed_chunks(DOCUMENT, chunks), expected, atol=1e-5)
    asked = unit(base.embed_queries(["cat", "dog bark"]) @ adapter.queries)
    np.testing.assert_allclose(AdaptedEmbedder(base, path=adapter).embed_queries(["cat", "dog bark"]), asked, atol=1e-5)


@settings(deadline=None, max_examples=20)
@given(st.lists(st.integers(0, 400), min_size=1, max_size=5), st.integers(0, 3))
def test_batches_change_nothing(cuts: list[int], seed: int):
    base = HashEmbedder(dim=DIM)
    adapted = AdaptedEmbedder(base, path=adapter_of(base, seed, alone=0.5, situated=0.5, document=0.1))
    items = [(one, CHUNKER(one)) for one in (Document(TEXT[: 20 + cut], id=f"d{place}") for place, cut in enumerate(cuts))]
    together = adapted.embed_batch(items)
    assert together.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1.0, atol=1e-5)
    assert (together == np.concatenate([adapted.embed_batch([item]) for item in items])).all()


def test_a_real_model_late_and_cached(make_model: Callable[..., Path], tmp_path: Path):
    base = TransformerEmbedder(str(make_model()))
    adapter = adapter_of(base, alone=0.5, situated=0.5, document=0.1)
    chunker = FixedChunker(12) | Situate(title=True, before=0, max_tokens=4, document=0.1) | Late(window=40, overlap=4)
    chunks = chunker.bind(base.tokenizer, window=base.card.window)(DOCUMENT)
    with_cache = AdaptedEmbedder(CachedEmbedder(base, path=tmp_path / "v.sqlite"), path=adapter)
    fresh = AdaptedEmbedder(base, path=adapter).embed_chunks(DOCUMENT, chunks)
    np.testing.assert_allclose(with_cache.embed_chunks(DOCUMENT, chunks), fresh, atol=1e-5)
    assert with_cache.base.stats().misses > 0
    other = AdaptedEmbedder(with_cache.base, path=adapter_of(base, 1, alone=0.1, situated=0.9))
    before = with_cache.base.stats().misses
    other.embed_chunks(DOCUMENT, chunks)
    assert with_cache.base.stats().misses == before, "another adapter reads nothing again"


def test_files(tmp_path: Path):
    base = HashEmbedder(dim=DIM)
    adapter = replace(adapter_of(base, alone=0.5, situated=0.5), about={"seed": 3, "licence": "CC BY-SA 4.0"})
    adapter.save(tmp_path / "a.safetensors")
    adapter.save(tmp_path / "b.safetensors")
    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()
    found = load_adapter(tmp_path / "a.safetensors")
    assert (found.digest, found.shares, found.about, found.chunker, found.base) == (
        adapter.digest,
        adapter.shares,
        adapter.about,
        adapter.chunker,
        adapter.base,
    )
    assert (found.documents == adapter.documents).all()
    assert (found.queries == adapter.queries).all()


def test_the_digest_covers_what_changes_a_vector():
    base = HashEmbedder(dim=DIM)
    adapter = adapter_of(base)
    changed = [
        replace(adapter, documents=adapter.documents + np.eye(DIM, dtype=np.float32)),
        replace(adapter, queries=adapter.queries + np.eye(DIM, dtype=np.float32)),
        replace(adapter, shares=Shares(alone=0.9, situated=0.1)),
        replace(adapter, base=replace(base.card, pooling="other")),
    ]
    assert len({one.digest for one in [adapter, *changed]}) == 5
    assert replace(adapter, about={"seed": 1}).digest == adapter.digest
    cards = {AdaptedEmbedder(base, path=one).card.fingerprint for one in changed[:3]}
    assert len(cards | {base.card.fingerprint}) == 4


@pytest.mark.parametrize("damage", ["bytes", "text", "other", "missing", "short"])
def test_damaged_files(tmp_path: Path, damage: str):
    from safetensors.numpy import save_file

    file = tmp_path / "a.safetensors"
    adapter_of(HashEmbedder(dim=DIM)).save(file)
    data = bytearray(file.read_bytes())
    if damage == "bytes":
        data[-3] ^= 0x04
        file.write_bytes(data)
    elif damage == "text":
        file.write_text("no tensors at all")
    elif damage == "other":
        save_file({"documents": np.eye(3)}, file)
    elif damage == "short":
        file.write_bytes(data[:-100])
    else:
        file.unlink()
    with pytest.raises(LoadError, match=str(file.name)):
        load_adapter(file)


def test_refused(tmp_path: Path):
    base = HashEmbedder(dim=DIM)
    adapter = adapter_of(base, alone=0.5, document=0.5)
    with pytest.raises(InvalidInputError, match="no document weight"):
        AdaptedEmbedder(base, path=adapter).embed_chunks(DOCUMENT, PLAIN(DOCUMENT))
    other = AdaptedEmbedder(HashEmbedder(dim=DIM, name="another"), path=adapter)
    for call in (lambda: other.card, lambda: other.embed_query("cat"), lambda: other.embed_texts(["cat"])):
        with pytest.raises(StoreMismatchError, match=r"trained on 'hash'.*: name was 'hash' and is 'another'"):
            call()
    with pytest.raises(InvalidInputError, match="Wrap the base"):
        CachedEmbedder(AdaptedEmbedder(base, path=adapter), path=tmp_path / "v.sqlite")
    with pytest.raises(InvalidInputError, match="at least 0"):
        Shares(alone=-1.0)
    with pytest.raises(InvalidInputError, match="must be finite"):
        replace(adapter, documents=np.full((DIM, DIM), np.nan, np.float32))
    with pytest.raises(InvalidInputError, match="cannot be written"):
        adapter.save(tmp_path / "none" / "a.safetensors")


def test_found_again_by_its_digest(make_model: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    base = TransformerEmbedder(str(make_model()))
    adapter = adapter_of(base, alone=0.5, situated=0.5)
    card = AdaptedEmbedder(base, path=adapter).card
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ModelNotFoundError, match="RAGKIT_ADAPTERS"):
        load_embedder(card)
    (tmp_path / "noise.safetensors").write_text("not one")
    (tmp_path / "else").mkdir()
    adapter_of(base, 7).save(tmp_path / "else" / "another.safetensors")
    adapter.save(tmp_path / "else" / "any name.safetensors")
    monkeypatch.setenv("RAGKIT_ADAPTERS", str(tmp_path / "else"))
    again = load_embedder(card)
    assert isinstance(again, AdaptedEmbedder)
    assert again.card == card
    assert again.card.fingerprint == card.fingerprint
