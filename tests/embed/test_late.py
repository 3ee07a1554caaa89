"""Late chunking and blends against brute force: windows token by token, readings one by one."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ragkit.chunk import FixedChunker, Late, SentenceChunker, Situate
from ragkit.embed import TransformerEmbedder
from ragkit.embed.forward import Encoder
from ragkit.embed.inputs import Passes, Reading, batch_readings, embed_keys
from ragkit.embed.passes import first_tokens, owners_of
from ragkit.embed.tokens import TokenPlanner
from ragkit.errors import CapabilityError, InvalidInputError, TextTooLongError
from ragkit.seams import Vectors
from ragkit.types import Chunk, Document, Encoding, Span

Make = Callable[..., Path]
Cut = Callable[..., Chunk]
WORDS = ["the", "cat", "sat", "on", "a", "mat", "dog", "saw", "her", "rain", "Mat.", "zq", "猫", "old,", "town\n", "éü"]


def unit(vectors: Vectors) -> Vectors:
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def hidden(embedder: TransformerEmbedder, ids: list[int]) -> np.ndarray[Any, Any]:
    """Last hidden states of one unpadded input, straight from transformers."""
    import torch
    from transformers import AutoModel

    model = AutoModel.from_pretrained(embedder.name).eval()
    with torch.inference_mode():
        return model(input_ids=torch.tensor([ids])).last_hidden_state[0].numpy()


def brute_force(
    embedder: TransformerEmbedder, text: str, spans: list[tuple[int, int]], *, window: int, overlap: int, prompt: str = ""
) -> Vectors:
    """One pass after the other; each token's state from the pass where the nearest cut is farthest away."""
    backend = embedder.tokenizer.backend
    head = backend.encode(prompt, add_special_tokens=False).ids
    body = backend.encode(text, add_special_tokens=False)
    room = window - len(head) - 2
    states: list[tuple[float, np.ndarray[Any, Any]] | None] = [None] * len(body.ids)
    first = 0
    while True:
        first = max(0, min(first, len(body.ids) - room))
        part = body.ids[first : first + room]
        found = hidden(embedder, [2, *head, *part, 3])[1 + len(head) : -1]
        for at in range(len(part)):
            token = first + at
            left = at + 1 if first else np.inf
            right = len(part) - at if first + len(part) < len(body.ids) else np.inf
            known = states[token]
            if known is None or min(left, right) > known[0]:
                states[token] = (min(left, right), found[at])
        if first + room >= len(body.ids):
            break
        first += room - overlap
    rows = []
    for start, end in spans:
        inside = [state[1] for state, (a, b) in zip(states, body.offsets, strict=True) if state and a < end and b > start]
        rows.append(np.mean(inside, axis=0))
    return unit(np.array(rows, np.float32))


@pytest.fixture(scope="module")
def tiny(make_model: Make) -> TransformerEmbedder:
    return TransformerEmbedder(str(make_model(window=24)))


@pytest.mark.parametrize("overlap", [0, 5, 16])
@pytest.mark.parametrize("prompt", ["", "rain on: "])
def test_equal_to_brute_force(make_model: Make, cut: Cut, overlap: int, prompt: str) -> None:
    embedder = TransformerEmbedder(str(make_model(window=24, prompts={"document": prompt} if prompt else None)))
    text = " ".join(WORDS[at % len(WORDS)] for at in range(70))
    document = Document(text)
    spans = [(a, min(len(text), a + 37)) for a in range(0, len(text) - 1, 37)]
    chunks = [
        replace(cut(document, a, b, window=(0, len(text)), index=at), encoding=Encoding(overlap=overlap))
        for at, (a, b) in enumerate(spans)
    ]
    if overlap >= 24 - 2 - len(embedder.tokenizer.backend.encode(prompt, add_special_tokens=False).ids):
        with pytest.raises(InvalidInputError, match="leaves"):
            embedder.embed_chunks(document, chunks)
        return
    found = embedder.embed_chunks(document, chunks)
    np.testing.assert_allclose(found, brute_force(embedder, text, spans, window=24, overlap=overlap, prompt=prompt), atol=1e-5)


@settings(max_examples=30, deadline=None)
@given(words=st.lists(st.sampled_from(WORDS), min_size=1, max_size=120), overlap=st.integers(0, 18), size=st.integers(3, 30))
def test_one_finite_unit_vector_per_chunk_independent_of_batches(
    tiny: TransformerEmbedder, words: list[str], overlap: int, size: int
) -> None:
    document, other = Document(" ".join(words), id="a"), Document("a dog saw the mat. " * 9, id="b")
    chunker = FixedChunker(size, tokenizer=tiny.tokenizer) | Late(overlap=overlap)
    items = [(document, chunker(document)), (other, chunker(other))]
    together = tiny.embed_batch(items)
    assert together.shape == (len(items[0][1]) + len(items[1][1]), 32)
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1.0, atol=1e-5)
    narrow = TransformerEmbedder(tiny.name, batch_tokens=30)
    alone = [narrow.embed_chunks(document, chunks) for document, chunks in items[::-1]]
    np.testing.assert_allclose(together, np.concatenate(alone[::-1]), atol=1e-5)


def test_a_document_of_one_window_is_one_plain_pass(tiny: TransformerEmbedder) -> None:
    document = Document("the cat sat on a mat and saw her dog")
    chunks = (FixedChunker(8, tokenizer=tiny.tokenizer) | Late(overlap=3))(document)
    assert len(chunks) > 1
    ids = tiny.tokenizer.backend.encode(document.text)
    states = hidden(tiny, ids.ids)
    expected = [
        np.mean([state for state, (a, b) in zip(states, ids.offsets, strict=True) if a < c.end and b > c.start and a < b], axis=0)
        for c in chunks
    ]
    np.testing.assert_allclose(tiny.embed_chunks(document, chunks), unit(np.array(expected)), atol=1e-5)


def test_a_document_of_one_chunk_is_the_plain_embedding(tiny: TransformerEmbedder) -> None:
    document = Document("the cat sat on a mat")
    chunks = (FixedChunker(24, tokenizer=tiny.tokenizer) | Late())(document)
    assert len(chunks) == 1
    np.testing.assert_allclose(tiny.embed_chunks(document, chunks), tiny.embed_texts([document.text]), atol=1e-6)


def test_the_end_of_a_long_document_is_read_and_specials_stand_in_every_pass(tiny: TransformerEmbedder) -> None:
    """The reference drops chunks beyond its window and gives only the first pass a [CLS]."""
    base = "the cat sat on a mat . " * 20
    chunker = FixedChunker(12, tokenizer=tiny.tokenizer) | Late(overlap=4)
    one, two = Document(base + "rain at night", id="x"), Document(base + "a dog bark", id="x")
    a, b = (tiny.embed_chunks(document, chunker(document)) for document in (one, two))
    assert float(a[-1] @ b[-1]) < 0.999
    # Text that repeats with the passes' step gives the same inner vectors in every pass only if each has its specials.
    ids = tiny.tokenizer.backend.encode(base.strip(), add_special_tokens=False).ids
    assert len(ids) > 3 * 24


def test_offsets_decide_and_not_counts(tiny: TransformerEmbedder) -> None:
    """Characters that make no token, or several, would shift an alignment by counting."""
    text = "\u200b\u200b the cat \x00\x00 ééé 猫猫 sat on . . . a mat \ue000 and saw her dog bark at night " * 4
    document = Document(text)
    chunks = (FixedChunker(9, tokenizer=tiny.tokenizer) | Late(overlap=6))(document)
    found = tiny.embed_chunks(document, chunks)
    expected = brute_force(tiny, text, [(c.start, c.end) for c in chunks], window=24, overlap=6)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_spans_may_overlap_and_come_in_any_order(tiny: TransformerEmbedder, cut: Cut) -> None:
    text = "the cat sat on a mat . a dog saw her . rain at night . " * 5
    document = Document(text)
    spans = [(100, 140), (0, 60), (30, 90), (200, 201), (1, len(text))]
    chunks = [cut(document, a, b, window=(0, len(text)), index=i) for i, (a, b) in enumerate(spans)]
    found = tiny.embed_chunks(document, chunks)
    order = [3, 0, 4, 2, 1]
    again = tiny.embed_chunks(document, [chunks[at] for at in order])
    np.testing.assert_allclose(found[order], again, atol=1e-6)


@pytest.mark.parametrize("blend", [0.0, 0.3, 0.5, 1.0])
def test_a_blend_is_the_weighted_sum_of_two_readings(tiny: TransformerEmbedder, blend: float) -> None:
    document = Document("the cat sat on a mat . a dog saw her . rain at night . " * 4)
    base = SentenceChunker(12, tokenizer=tiny.tokenizer)
    plain = tiny.embed_chunks(document, base(document))
    late = tiny.embed_chunks(document, (base | Late(overlap=4))(document))
    found = tiny.embed_chunks(document, (base | Late(blend=blend, overlap=4))(document))
    np.testing.assert_allclose(found, unit((1 - blend) * plain + blend * late), atol=1e-5)


def test_a_document_weight_adds_the_mean_of_its_chunks(tiny: TransformerEmbedder) -> None:
    document = Document("the cat sat on a mat . a dog saw her . rain at night . " * 4)
    chunker = SentenceChunker(70, tokenizer=tiny.tokenizer, reserve=62) | Situate(
        title=False, before=0, max_tokens=0, document=0.5
    )
    chunks = chunker(document)
    plain = tiny.embed_texts([chunk.text for chunk in chunks])
    found = tiny.embed_chunks(document, chunks)
    np.testing.assert_allclose(found, unit(plain + 0.5 * plain.mean(axis=0)), atol=1e-5)


@settings(max_examples=200)
@given(n=st.integers(1, 400), room=st.integers(1, 60), data=st.data())
def test_passes_cover_every_token_where_it_stands_best(n: int, room: int, data: st.DataObject) -> None:
    overlap = data.draw(st.integers(0, room - 1))
    firsts = first_tokens(n, room, overlap)
    owned = owners_of(firsts, room, n)
    assert owned[0] == 0
    assert owned[-1] == n
    assert (np.diff(firsts) > 0).all()
    assert (np.diff(owned) >= 0).all()
    for place, first in enumerate(firsts):
        last = min(n, first + room)
        assert first <= owned[place] <= owned[place + 1] <= last
        for token in range(owned[place], owned[place + 1]):
            here = _margin(token, first, last, n)
            others = [_margin(token, f, min(n, f + room), n) for f in firsts if f <= token < min(n, f + room)]
            assert here >= max(others)


def _margin(token: int, first: int, last: int, n: int) -> float:
    left = token - first + 1 if first else np.inf
    right = last - token if last < n else np.inf
    return min(left, right)


def test_passes_wider_than_the_model_are_refused(tiny: TransformerEmbedder) -> None:
    document = Document("the cat sat on a mat . " * 20)
    chunks = (FixedChunker(12, tokenizer=tiny.tokenizer) | Late(window=100))(document)
    with pytest.raises(InvalidInputError, match=r"passes of 100 tokens, and the model's window is 24"):
        tiny.embed_chunks(document, chunks)


@pytest.mark.parametrize("pooling", ["cls", "lasttoken"])
def test_models_that_pool_one_token_refuse_late_chunks(make_model: Make, pooling: str) -> None:
    embedder = TransformerEmbedder(str(make_model(window=24, pooling=pooling)))
    document = Document("the cat sat on a mat . " * 20)
    with pytest.raises(CapabilityError, match="pools by"):
        embedder.embed_chunks(document, (FixedChunker(12, tokenizer=embedder.tokenizer) | Late())(document))


def test_a_context_that_leaves_no_window_is_refused_and_nothing_is_cut(tiny: TransformerEmbedder, cut: Cut) -> None:
    document = Document("the cat sat on a mat . " * 20)
    chunk = cut(document, 0, 7, window=(0, len(document.text)), context="rain " * 30)
    with pytest.raises(InvalidInputError, match="leaves"):
        tiny.embed_chunks(document, [chunk])
    with pytest.raises(TextTooLongError):
        tiny.embed_chunks(document, [cut(document, 0, 7, context="rain " * 30)])


def test_a_blank_span_in_a_long_document_takes_the_mean_of_the_document(tiny: TransformerEmbedder, cut: Cut) -> None:
    text = "the cat sat on a mat .     " + "a dog saw her . " * 12
    document = Document(text)
    blank = cut(document, 23, 26, window=(0, len(text)))
    assert blank.text.isspace()
    found = tiny.embed_chunks(document, [blank])
    np.testing.assert_allclose(found, brute_force(tiny, text, [(0, len(text))], window=24, overlap=0), atol=1e-5)


def test_long_texts_are_tokenized_in_slices_with_the_same_result(tiny: TransformerEmbedder, monkeypatch: Any) -> None:
    text = "the cat sat on a mat . 猫 a dog\nsaw her, old town \n\n" * 30
    document = Document(text)
    chunks = (FixedChunker(12, tokenizer=tiny.tokenizer) | Late(overlap=5))(document)
    found = tiny.embed_chunks(document, chunks)
    monkeypatch.setattr("ragkit.embed.tokens.LONG_TEXT", 50)
    monkeypatch.setattr("ragkit.text.token_starts._SLICE", 200)
    np.testing.assert_allclose(tiny.embed_chunks(document, chunks), found, atol=1e-5)


def test_planning_a_very_long_document_is_linear(tiny: TransformerEmbedder) -> None:
    """Some 200,000 tokens and 20,000 chunks: looking every token over for every chunk would take minutes."""
    text = "the cat sat on a mat and saw her dog bark at night while rain " * 14_000
    step = len(text) // 20_000
    readings = [Reading(text, Span(a, min(len(text), a + step)), Passes(overlap=6)) for a in range(0, len(text), step)]
    planner = TokenPlanner(tokenizer=tiny.tokenizer, prompt="", window=24, vocab=10_000, pool_prompt=True)
    begun = time.process_time()
    jobs = planner.jobs(readings, str)
    assert time.process_time() - begun < 20
    assert max(len(job.ids) for job in jobs) == 24
    pooled = {row for job in jobs for row, _ in job.pools}
    assert pooled == set(range(len(readings)))
    tokens = sum(len(pool) for job in jobs for _, pool in job.pools if pool is not None)
    assert tokens >= len(tiny.tokenizer.backend.encode(text, add_special_tokens=False).ids)


def test_situated_chunks_of_a_long_document_do_not_each_read_all_of_it(tiny: TransformerEmbedder) -> None:
    """A context stands in every pass, so such chunks share none: a window of the whole document would cost its square."""
    text = "the cat sat on a mat . " * 20_000
    document = Document(text, metadata={"title": "rain"})
    situated = FixedChunker(4_000, tokenizer="words") | Situate(before=0, max_tokens=5) | Late(overlap=4)
    chunks = situated(document)
    assert all(chunk.context == "rain" for chunk in chunks)
    assert all(chunk.window.start <= chunk.start < chunk.end <= chunk.window.end for chunk in chunks)
    assert max(window.end - window.start for window in (chunk.window for chunk in chunks)) < len(text) / 3
    assert all(chunk.window == (0, 9_200) for chunk in situated(Document(text[:9_200], metadata={"title": "rain"})))


def test_no_pass_is_larger_than_the_budget_however_long_the_document(tiny: TransformerEmbedder, monkeypatch: Any) -> None:
    """What is kept of a document between its passes is one row per chunk: states never outlive their batch."""
    sizes: list[int] = []
    kept: list[tuple[int, ...]] = []
    hidden, pools = Encoder._hidden, Encoder.pools

    def spied(self: Encoder, inputs: Sequence[Any], asked: Any) -> Any:
        found = hidden(self, inputs, asked)
        sizes.append(found[0].shape[0] * found[0].shape[1])
        return found

    def made(self: Encoder, n: int) -> Any:
        empty = pools(self, n)
        kept.append(empty.values.shape)
        return empty

    monkeypatch.setattr(Encoder, "_hidden", spied)
    monkeypatch.setattr(Encoder, "pools", made)
    document = Document("the cat sat on a mat . " * 400)
    chunks = (FixedChunker(12, tokenizer=tiny.tokenizer) | Late(overlap=4))(document)
    TransformerEmbedder(tiny.name, batch_tokens=96).embed_chunks(document, chunks)
    assert max(sizes) <= 96
    assert len(sizes) > 20
    assert kept == [(len(chunks), 32)]


def test_chunks_of_one_document_share_their_window(tiny: TransformerEmbedder) -> None:
    """Otherwise a long document would be copied, and hashed, once for each of its chunks."""
    text = "the cat sat on a mat . " * 60_000
    document = Document(text, metadata={"title": "rain"})
    chunks = [
        Chunk(id=str(a), doc_id=document.id, start=a, end=a + 46, text=text[a : a + 46], window=Span(0, len(text)), index=a,
              n_tokens=14, context="rain")
        for a in range(0, len(text), 46)
    ]  # fmt: skip
    begun = time.process_time()
    readings, _ = batch_readings([(document, chunks)])
    assert len({id(reading.text) for reading in readings}) == 1
    assert len(set(embed_keys(tiny.card, document, chunks))) == len(chunks)
    assert time.process_time() - begun < 10
