"""Laws: splitting the work never changes a vector, and a chunk that is its whole window is a plain text."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ragkit.embed import TransformerEmbedder
from ragkit.embed.batching import plan_batches
from ragkit.types import Chunk, Document

Cut = Callable[..., Chunk]
# Any character at all, lone surrogates, control characters and the strings of special tokens included.
ANY_TEXT = st.lists(
    st.one_of(
        st.text(max_size=6),
        st.sampled_from(["the cat ", "[SEP]", "[CLS] ", "[PAD]", "\ud800", "\udfff ", "e\u0301", "\u200d", "猫犬"]),
    ),
    max_size=6,
).map("".join)


@pytest.fixture(scope="module")
def tiny(make_model: Callable[..., Path]) -> TransformerEmbedder:
    return TransformerEmbedder(str(make_model(window=64)))


@pytest.fixture(scope="module")
def prompted(make_model: Callable[..., Path]) -> TransformerEmbedder:
    return TransformerEmbedder(str(make_model(window=64, prompts={"document": "rain on: "})))


@given(st.lists(st.integers(1, 300), max_size=60), st.integers(1, 2000))
def test_batches_hold_every_row_once_within_the_budget(lengths: list[int], budget: int) -> None:
    sizes = np.array(lengths, dtype=np.int64)
    groups = plan_batches(sizes, budget=budget)
    assert sorted(np.concatenate(groups).tolist() if groups else []) == list(range(len(lengths)))
    for group in groups:
        assert len(group) == 1 or len(group) * sizes[group].max() <= budget


@given(st.lists(st.integers(1, 300), min_size=1, max_size=9), st.integers(300, 1200))
def test_batches_cost_no_more_than_any_other_cut_of_the_sorted_rows(lengths: list[int], budget: int) -> None:
    sizes = np.sort(np.array(lengths, dtype=np.int64))[::-1]

    def cost(parts: list[list[int]]) -> float:
        if any(len(part) > 1 and len(part) * part[0] > budget for part in parts):
            return float("inf")
        return sum(len(part) * part[0] + budget / 32 for part in parts)

    best = float("inf")
    for mask in range(2 ** (len(sizes) - 1)):
        borders = [0, *(place + 1 for place in range(len(sizes) - 1) if mask >> place & 1), len(sizes)]
        best = min(best, cost([sizes[a:b].tolist() for a, b in pairwise(borders)]))
    ours = cost([sizes[group].tolist() for group in plan_batches(sizes, budget=budget)])
    assert ours == pytest.approx(best)


@settings(max_examples=30)
@given(texts=st.lists(ANY_TEXT, min_size=1, max_size=6), order=st.randoms(use_true_random=False), budget=st.integers(1, 400))
def test_order_and_batches_never_change_a_vector(tiny: TransformerEmbedder, texts: list[str], order: object, budget: int) -> None:
    places = list(range(len(texts)))
    order.shuffle(places)  # type: ignore[attr-defined]
    alone = np.stack([tiny.embed_texts([text])[0] for text in texts])
    other = TransformerEmbedder(tiny.name, batch_tokens=budget)
    other._known_encoder = tiny._encoder()
    together = other.embed_texts([texts[place] for place in places])
    np.testing.assert_allclose(together, alone[places], atol=2e-6)
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1, atol=1e-5)


@settings(max_examples=40)
@given(parts=st.lists(ANY_TEXT, min_size=1, max_size=4))
def test_a_chunk_that_is_its_whole_window_is_a_plain_text(prompted: TransformerEmbedder, cut: Cut, parts: list[str]) -> None:
    document = Document("".join(parts), id="d")
    edges = np.cumsum([0] + [len(part) for part in parts]).tolist()
    chunks = [cut(document, a, b, index=i) for i, (a, b) in enumerate(pairwise(edges))]
    np.testing.assert_allclose(prompted.embed_chunks(document, chunks), prompted.embed_texts(parts), atol=2e-6)


def brute_force(embedder: TransformerEmbedder, read: str, start: int, end: int) -> np.ndarray:
    """The mean of the hidden states of the tokens that touch ``read[start:end]``, from one pass over ``read`` alone."""
    import torch
    from transformers import AutoModel

    model = AutoModel.from_pretrained(embedder.name, local_files_only=True).eval()
    encoding = embedder.tokenizer.backend.encode(read)
    wanted = [
        place
        for place, (a, b) in enumerate(encoding.offsets)
        if not encoding.special_tokens_mask[place] and any(start <= at < end for at in range(a, b))
    ]
    with torch.inference_mode():
        hidden = model(input_ids=torch.tensor([encoding.ids])).last_hidden_state[0]
    return torch.nn.functional.normalize(hidden[wanted].mean(0), dim=0).numpy()


@pytest.mark.parametrize("context", ["", "old town"])
@pytest.mark.parametrize("window", [(0, 55), (4, 40)])
def test_a_span_inside_its_window_is_the_mean_of_its_own_tokens(
    prompted: TransformerEmbedder, cut: Cut, context: str, window: tuple[int, int]
) -> None:
    document = Document("The cat sat, 猫 on a mat; the dog ébarks at night - rain.", id="d")
    text = document.text
    chunks = [cut(document, a, b, window=window, context=context, index=a) for a, b in ((4, 12), (12, 25), (8, 15), (4, 40))]
    found = prompted.embed_chunks(document, chunks)
    before = prompted.card.document_prompt + (context + "\n" if context else "")
    for chunk, vector in zip(chunks, found, strict=True):
        if chunk.window == chunk.span and not context:
            np.testing.assert_allclose(vector, prompted.embed_texts([chunk.text])[0], atol=1e-5)
            continue
        shift = len(before) - window[0]
        expected = brute_force(prompted, before + text[window[0] : window[1]], chunk.start + shift, chunk.end + shift)
        np.testing.assert_allclose(vector, expected, atol=1e-5)


@settings(max_examples=30)
@given(text=ANY_TEXT.filter(bool), data=st.data(), context=st.sampled_from(["", "the cat\ud800", " "]))
def test_one_finite_unit_vector_per_chunk_whatever_the_span(
    tiny: TransformerEmbedder, cut: Cut, text: str, data: st.DataObject, context: str
) -> None:
    document = Document(text, id="d")
    spans = data.draw(
        st.lists(st.tuples(st.integers(0, len(text)), st.integers(0, len(text))).map(sorted), min_size=1, max_size=5)
    )
    chunks = [cut(document, a, b, window=(0, len(text)), context=context, index=i) for i, (a, b) in enumerate(spans)]
    found = tiny.embed_chunks(document, chunks)
    assert found.shape == (len(chunks), 32)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)


@pytest.mark.parametrize("blank", ["   ", "\x00\x01", "\u200b", ""])
def test_a_span_without_tokens_takes_the_plain_embedding_of_what_was_read(
    tiny: TransformerEmbedder, cut: Cut, blank: str
) -> None:
    document = Document("the cat" + blank + "sat", id="d")
    whole = (0, len(document.text))
    found = tiny.embed_chunks(document, [cut(document, 7, 7 + len(blank), window=whole)])
    np.testing.assert_allclose(found[0], tiny.embed_texts([document.text])[0], atol=1e-6)


def test_documents_cross_batches_and_equal_windows_are_encoded_once(
    tiny: TransformerEmbedder, cut: Cut, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = Document("the cat sat on a mat at night", id="1")
    second = Document("her dog saw the rain", id="2")
    whole = (0, len(first.text))
    items = [
        (first, [cut(first, a, a + 7, window=whole, index=a) for a in (0, 8, 15)]),
        (second, []),
        (second, [cut(second, 0, 7), cut(second, 8, 20, index=1)]),
    ]
    one_by_one = np.concatenate([tiny.embed_chunks(document, [chunk]) for document, chunks in items for chunk in chunks])
    encoder = tiny._encoder()
    seen: list[int] = []
    encode = encoder.encode
    monkeypatch.setattr(encoder, "encode", lambda jobs, *rest: seen.append(len(jobs)) or encode(jobs, *rest))
    np.testing.assert_allclose(tiny.embed_batch(items), one_by_one, atol=2e-6)
    assert seen == [3]


def test_special_token_strings_are_text(minilm: TransformerEmbedder) -> None:
    vectors = minilm.embed_texts(["a [SEP] b", "a b", "a [MASK] b"])
    assert (vectors @ vectors.T)[0, 1] < 0.99
    assert minilm.tokenizer.count_batch(["[SEP]"]) == [3]


def test_threads_share_one_embedder(make_model: Callable[..., Path]) -> None:
    folder = str(make_model(window=64))
    texts = [
        f"the {word} sat on {word} {'night ' * (place % 7)}"
        for place, word in enumerate(["cat", "dog", "mat", "rain", "town"] * 8)
    ]
    expected = TransformerEmbedder(folder).embed_texts(texts)
    shared = TransformerEmbedder(folder)  # nothing loaded yet: the threads also race to load
    with ThreadPoolExecutor(8) as pool:
        for found in pool.map(lambda _: shared.embed_texts(texts), range(16)):
            np.testing.assert_allclose(found, expected, atol=2e-6)


def test_nothing_to_embed(tiny: TransformerEmbedder) -> None:
    assert tiny.embed_texts([]).shape == tiny.embed_queries([]).shape == tiny.embed_batch([]).shape == (0, 32)
    assert tiny.embed_texts([]).dtype == np.float32
