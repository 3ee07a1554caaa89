"""TransformerScorer: it begins as MaxSim, reads each passage by itself, and refuses codes it did not learn from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ragkit.errors import CapabilityError, InvalidInputError, LoadError
from ragkit.rerank import CompressedReranker, QueryCode, TokenCompressor, TransformerScorer
from ragkit.rerank.attentive import Shape, Weights, interaction
from ragkit.rerank.passages import Passages
from ragkit.rerank.reranker import bit_max_sim

BITS = 32


def weights(*, moved: bool, compressor: str = "c") -> Weights:
    """What an untrained network holds, or with ``moved`` one that says something of its own."""
    import torch

    torch.manual_seed(0)
    shape = Shape(bits=BITS, width=16, layers=1, heads=2)
    nets = interaction(shape)
    if moved:
        torch.nn.init.normal_(nets["says"].weight, std=0.3)
    return Weights(
        shape=shape, compressor=compressor, tensors={name: values.numpy().copy() for name, values in nets.state_dict().items()}
    )


def codes(seed: int, *, passages: int = 5, vectors: int = 6) -> tuple[QueryCode, Passages]:
    """A question and passages of one to three windows, one of them without vectors."""
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(int(rng.integers(1, 9)), BITS)).astype(np.float32)
    empty = np.zeros(0, np.int64)
    query = QueryCode(
        rows / np.linalg.norm(rows, axis=1, keepdims=True),
        rng.random(len(rows)).astype(np.float32),
        empty.astype(np.int32),
        empty,
        empty,
    )
    sizes = rng.integers(1, 4, passages)
    ends = np.cumsum(sizes).tolist()
    counts = rng.integers(1, vectors + 1, ends[-1])
    counts[: sizes[0]] = 0
    found = Passages(
        rng.integers(0, 256, (ends[-1], vectors, BITS // 8), np.uint8),
        counts,
        {f"p{at}": (end - int(size), end) for at, (size, end) in enumerate(zip(sizes, ends, strict=True))},
    )
    return query, found


@given(st.integers(0, 10_000))
@settings(max_examples=25, deadline=None)
def test_it_begins_as_max_sim(seed: int) -> None:
    query, found = codes(seed)
    ids = list(found.rows)
    np.testing.assert_allclose(
        TransformerScorer(weights(moved=False))(query, found, ids), bit_max_sim(query, found, ids), atol=1e-5
    )


@given(st.integers(0, 10_000))
@settings(max_examples=25, deadline=None)
def test_a_passage_scores_the_same_in_any_company(seed: int) -> None:
    scorer = TransformerScorer(weights(moved=True))
    query, found = codes(seed)
    ids = list(found.rows)
    all_of_them = scorer(query, found, ids)
    assert scorer(query, found, ids[::-1]).tolist() == all_of_them[::-1].tolist()
    assert [float(scorer(query, found, [one])[0]) for one in ids] == all_of_them.tolist()
    assert np.abs(all_of_them[1:] - bit_max_sim(query, found, ids)[1:]).max() > 1e-4
    assert all_of_them[0] == -1.0


def test_a_question_without_weight_scores_nothing() -> None:
    query, found = codes(1)
    silent = query._replace(gates=np.zeros_like(query.gates))
    assert TransformerScorer(weights(moved=True))(silent, found, list(found.rows)).tolist() == [0.0] * 5


def test_a_file_holds_it(tmp_path: Path) -> None:
    path = tmp_path / "scorer.safetensors"
    held = weights(moved=True)
    held.save(path)
    query, found = codes(3)
    ids = list(found.rows)
    assert TransformerScorer(path)(query, found, ids).tolist() == TransformerScorer(held)(query, found, ids).tolist()
    assert TransformerScorer(path).weights.digest == held.digest
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(bytes(data))
    with pytest.raises(LoadError, match="digest"):
        TransformerScorer(path)
    path.write_bytes(b"something else")
    with pytest.raises(LoadError, match="no file of a scorer's weights"):
        TransformerScorer(path)


def test_codes_of_another_compressor_are_refused() -> None:
    compressor = TokenCompressor()
    with pytest.raises(CapabilityError, match="ragkit train scorer"):
        CompressedReranker(compressor, scorer=TransformerScorer(weights(moved=False))).scores("why?", ["because"])
    fitting = weights(moved=False, compressor=compressor.card.weights)
    with pytest.raises(CapabilityError, match="32 bits"):
        CompressedReranker(compressor, scorer=TransformerScorer(fitting)).compressor  # noqa: B018


def test_a_shape_must_be_one() -> None:
    with pytest.raises(InvalidInputError, match="heads divide width"):
        Shape(bits=8, width=10, heads=3)
