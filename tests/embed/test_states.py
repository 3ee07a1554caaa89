"""Token states: those of a plain transformers pass, from the pass that makes the vectors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ragkit.chunk import FixedChunker, Late
from ragkit.embed import (
    AdaptedEmbedder,
    Adapter,
    CachedEmbedder,
    Extend,
    OpenAIEmbedder,
    Shares,
    TransformerEmbedder,
    token_reader,
)
from ragkit.embed.states import Gather
from ragkit.errors import CapabilityError, InvalidInputError, TextTooLongError
from ragkit.seams import TokenReader, TokenStates
from ragkit.types import Chunk, Document, Encoding, Span

from .conftest import WORDS

LAYERS = (3, 0, 1)
TEXTS = ["the cat sat on a mat", "her dog", "rain at night while the old town saw her dog bark 猫 and 犬", "", "zzz qqq, éüñ!"]


def reference(embedder: TransformerEmbedder, text: str, layers: Sequence[int]) -> np.ndarray:
    """All hidden states of one text in a batch of its own, special tokens included."""
    import torch

    encoder = embedder._encoder()
    ids = torch.tensor([embedder.tokenizer.backend.encode(text).ids])
    with torch.inference_mode():
        output = encoder._model(input_ids=ids, attention_mask=torch.ones_like(ids), output_hidden_states=True)
    return torch.cat([output.hidden_states[layer][0] for layer in layers], dim=-1).numpy()


def read(embedder: Any, items: Sequence[tuple[Document, Sequence[Chunk]]]) -> tuple[np.ndarray, list[list[TokenStates]]]:
    gather = Gather(sum(len(chunks) for _, chunks in items))
    return embedder.embed_and_read(items, layers=LAYERS, receive=gather), gather.rows()


@pytest.mark.parametrize(
    "kind", ["bert", "roberta", "mpnet", "electra", "distilbert", "modernbert", "nomic_bert", "eurobert", "qwen3", "t5"]
)
def test_states_are_those_of_a_plain_pass(make_model: Callable[..., Path], kind: str) -> None:
    embedder = TransformerEmbedder(str(make_model(kind, window=60)))
    found = embedder.read_texts(TEXTS, layers=LAYERS)
    for text, passes in zip(TEXTS, found, strict=True):
        (states,) = passes
        own = np.flatnonzero(np.array(embedder.tokenizer.backend.encode(text).special_tokens_mask) == 0)
        np.testing.assert_allclose(states.states, reference(embedder, text, LAYERS)[own] if text else states.states, atol=1e-5)
        assert states.ids.tolist() == [embedder.tokenizer.backend.encode(text).ids[place] for place in own]
        assert states.states.shape == (len(own), 3 * 32)
        assert states.states.dtype == np.float32


def test_the_real_model_too(minilm: TransformerEmbedder) -> None:
    text = "Late interaction compares every token of the question with every token of the passage."
    (states,) = minilm.read_texts([text], layers=(6, 3))[0]
    np.testing.assert_allclose(states.states, reference(minilm, text, (6, 3))[1:-1], atol=1e-5)
    words = [text[start:end] for start, end in zip(states.starts, states.ends, strict=True)]
    assert words[:3] == ["Late", "interaction", "compares"]
    assert words[-1] == "."


@settings(max_examples=25)
@given(texts=st.lists(st.lists(st.sampled_from([*WORDS, "?!", "猫"]), max_size=30).map(" ".join), max_size=6))
def test_no_batch_changes_a_state_and_the_vectors_are_the_same(make_model: Callable[..., Path], texts: list[str]) -> None:
    embedder = TransformerEmbedder(str(make_model("bert", window=64)), batch_tokens=60)
    documents = [Document(text, id=str(place)) for place, text in enumerate(texts) if text]
    items = [(document, [whole(document)]) for document in documents]
    vectors, rows = read(embedder, items)
    assert np.array_equal(vectors, embedder.embed_batch(items))
    for document, row, alone in zip(
        documents, rows, (embedder.read_texts([d.text], layers=LAYERS)[0] for d in documents), strict=True
    ):
        same(row, alone)
        assert [document.text[s:e] for s, e in zip(row[0].starts, row[0].ends, strict=True)]


def test_prompt_and_context_are_not_the_rows_own(make_model: Callable[..., Path]) -> None:
    embedder = TransformerEmbedder(str(make_model("bert", window=64)), document_prompt="the old town: ", query_prompt="saw ")
    document = Document("cat sat on a mat. her dog bark at night", id="1")
    chunk = replace(whole(document, 0, 17), context="rain and rain")
    _, ((states,),) = read(embedder, [(document, [chunk])])
    read_whole = reference(embedder, "the old town: rain and rain\n" + chunk.text, LAYERS)
    own = len(embedder.tokenizer.backend.encode(chunk.text, add_special_tokens=False).ids)
    np.testing.assert_allclose(states.states, read_whole[-1 - own : -1], atol=1e-5)
    assert (states.starts[0], states.ends[-1]) == (0, 17)
    (query,) = embedder.read_queries(["the cat"], layers=LAYERS)
    np.testing.assert_allclose(query.states, reference(embedder, "saw the cat", LAYERS)[2:-1], atol=1e-5)
    vectors, (again,) = embedder.embed_and_read_queries(["the cat"], layers=LAYERS)
    assert np.array_equal(vectors, embedder.embed_queries(["the cat"]))
    same([query], [again])


@pytest.mark.parametrize("overlap", [0, 8])
def test_long_windows_give_each_token_once_and_chunks_share_out_their_document(
    make_model: Callable[..., Path], overlap: int
) -> None:
    embedder = TransformerEmbedder(str(make_model("bert", window=32)))
    document = Document(" ".join(WORDS[place % 7] for place in range(150)), id="1")
    chunker = (FixedChunker(20) | Late(window=32, overlap=overlap)).bind(embedder.tokenizer, window=32)
    chunks = chunker(document)
    vectors, rows = read(embedder, [(document, chunks)])
    assert np.array_equal(vectors, embedder.embed_batch([(document, chunks)]))
    assert any(len(passes) > 1 for passes in rows)
    found = [
        (chunk.start + start, chunk.start + end)
        for chunk, passes in zip(chunks, rows, strict=True)
        for states in passes
        for start, end in zip(states.starts.tolist(), states.ends.tolist(), strict=True)
    ]
    expected = embedder.tokenizer.backend.encode(document.text, add_special_tokens=False).offsets
    assert found == expected
    passes = embedder.read_texts([document.text], layers=LAYERS)[0]
    assert [pair for one in passes for pair in zip(one.starts.tolist(), one.ends.tolist(), strict=True)] == expected
    (query,) = embedder.read_queries([document.text], layers=LAYERS)
    np.testing.assert_array_equal(query.states, np.concatenate([one.states for one in passes]))
    with pytest.raises(TextTooLongError):
        embedder.embed_and_read_queries([document.text], layers=LAYERS)


def test_a_long_text_beyond_the_slices_is_read_whole(make_model: Callable[..., Path]) -> None:
    embedder = TransformerEmbedder(str(make_model("bert", window=64)))
    text = "cat sat " * 13_000
    passes = embedder.read_texts([text], layers=(0,))[0]
    starts = np.concatenate([one.starts for one in passes])
    assert len(starts) == 26_000
    assert (np.diff(starts) == 4).all()


def test_windows_in_parallel_give_their_tokens(make_model: Callable[..., Path]) -> None:
    embedder = TransformerEmbedder(str(make_model("bert", window=64)), extend=Extend("parallel", base=32), window=128)
    documents = [Document("the cat sat " * 30, id="1"), Document("her dog", id="2")]
    items = [(document, [whole(document)]) for document in documents]
    vectors, rows = read(embedder, items)
    assert np.array_equal(vectors, embedder.embed_batch(items))
    assert [sum(len(states.ids) for states in passes) for passes in rows] == [90, 2]
    assert [len(passes) for passes in rows] == [3, 1]


@pytest.mark.parametrize("extend", ["grouped", "recurrent", "interpolated"])
def test_longer_reach_gives_states_too(make_model: Callable[..., Path], extend: str) -> None:
    embedder = TransformerEmbedder(str(make_model("bert", window=64)), extend=extend, window=128)
    ((states,),) = embedder.read_texts(["the cat sat on " * 25], layers=(3,))
    assert states.states.shape == (100, 32)
    assert np.isfinite(states.states).all()


def test_mixed_chunks_give_their_text_read_alone(make_model: Callable[..., Path]) -> None:
    embedder = TransformerEmbedder(str(make_model("bert", window=64)))
    document = Document("the cat sat on a mat and saw her dog", id="1")
    mixed = replace(whole(document, 0, 20), context="rain", encoding=Encoding(plain=0.4, document=0.3), id="a")
    alone = replace(whole(document, 20, 36), index=1, id="b")
    items = [(document, [mixed, alone])]
    vectors, rows = read(embedder, items)
    assert np.array_equal(vectors, embedder.embed_batch(items))
    same(rows[0], embedder.read_texts([mixed.text], layers=LAYERS)[0])
    same(rows[1], embedder.read_texts([alone.text], layers=LAYERS)[0])


def test_wrappers_pass_states_on_and_say_when_there_are_none(make_model: Callable[..., Path], tmp_path: Path) -> None:
    base = TransformerEmbedder(str(make_model("bert", window=64)))
    cached = CachedEmbedder(base, path=tmp_path / "vectors.sqlite")
    document = Document("the cat sat on a mat", id="1")
    items = [(document, [whole(document), replace(whole(document), id="again", index=1)])]
    known = cached.embed_batch(items)
    vectors, rows = read(cached, items)
    assert np.array_equal(vectors, known)
    assert cached.stats().misses == 1
    same(rows[0], base.read_texts([document.text], layers=LAYERS)[0])
    same(rows[1], rows[0])
    assert token_reader(cached) is cached
    assert isinstance(base, TokenReader)
    remote = OpenAIEmbedder("m", dim=3, window=10, base_url="http://localhost:1")
    assert token_reader(remote) is None
    assert token_reader(CachedEmbedder(remote, path=tmp_path / "other.sqlite")) is None
    with pytest.raises(CapabilityError, match="no states of single tokens"):
        CachedEmbedder(remote, path=tmp_path / "other.sqlite").read_texts(["a"], layers=(0,))


def test_an_adapter_leaves_states_as_they_are(make_model: Callable[..., Path]) -> None:
    base = TransformerEmbedder(str(make_model("bert", window=64)))
    eye = np.eye(32, dtype=np.float32)
    adapter = Adapter(
        base=base.card, chunker="{}", shares=Shares(alone=0.5, situated=0.5, document=0.0), documents=eye, queries=eye
    )
    adapted = AdaptedEmbedder(base, path=adapter)
    document = Document("the cat sat on a mat", id="1")
    items = [(document, [replace(whole(document, 0, 7), context="rain"), replace(whole(document, 8, 20), index=1, id="b")])]
    vectors, rows = read(adapted, items)
    assert np.array_equal(vectors, adapted.embed_batch(items))
    assert [passes[0].ends[-1] for passes in rows] == [7, 12]
    same(rows[0], base.read_texts(["the cat"], layers=LAYERS)[0])


@pytest.mark.parametrize("layers", [(), (4,), (-1,), (0, 1.5)])
def test_layers_that_are_not_there(make_model: Callable[..., Path], layers: Any) -> None:
    with pytest.raises(InvalidInputError, match="0 \\(its input\\) to 3"):
        TransformerEmbedder(str(make_model("bert"))).read_texts(["a"], layers=layers)


def test_memory_holds_one_batch(make_model: Callable[..., Path]) -> None:
    """States are handed out as each batch is done: nothing of an earlier batch is needed for a later one."""
    import weakref

    embedder = TransformerEmbedder(str(make_model("bert", window=64)), batch_tokens=64)
    document = Document("the cat sat on a mat " * 40, id="1")
    chunks = FixedChunker(8).bind(embedder.tokenizer)(document)
    alive: list[weakref.ref[Any]] = []
    most = 0

    def receive(row: int, number: int, states: TokenStates) -> None:
        nonlocal most
        alive.append(weakref.ref(states.states))
        most = max(most, sum(one() is not None for one in alive))

    embedder.embed_and_read([(document, chunks)], layers=(3,), receive=receive)
    assert len(alive) == len(chunks) > 20
    assert most <= 10


def whole(document: Document, start: int = 0, end: int | None = None) -> Chunk:
    stop = len(document.text) if end is None else end
    text = document.text[start:stop]
    return Chunk(
        id=f"{document.id}:{start}",
        doc_id=document.id,
        start=start,
        end=stop,
        text=text,
        window=Span(start, stop),
        index=0,
        n_tokens=1,
    )


def same(left: Sequence[TokenStates], right: Sequence[TokenStates]) -> None:
    assert len(left) == len(right)
    for one, other in zip(left, right, strict=True):
        assert np.array_equal(one.ids, other.ids)
        assert np.array_equal(one.starts, other.starts)
        assert np.array_equal(one.ends, other.ends)
        np.testing.assert_allclose(one.states, other.states, atol=1e-5)
