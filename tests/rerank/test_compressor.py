"""Compressing token states: sizes, order, determinism, parameters as a file, and the ones that ship."""

from __future__ import annotations

import json
from dataclasses import replace
from importlib import resources
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import pdist

from ragkit.errors import CapabilityError, InvalidInputError, LoadError
from ragkit.rerank import TokenCompressor
from ragkit.rerank.merging import ward
from ragkit.rerank.parameters import load_parameters, shipped
from ragkit.rerank.passages import require
from ragkit.rerank.types import CompressorCard
from ragkit.seams import TokenStates
from ragkit.testing.embedders import HashReader
from ragkit.vec.maxsim import max_sim


def states(n: int, *, width: int = 128, seed: int = 0) -> TokenStates:
    rng = np.random.default_rng(seed)
    places = np.arange(n)
    return TokenStates(
        rng.integers(0, 500, n).astype(np.int32), places, places + 1, rng.standard_normal((n, width)).astype(np.float32)
    )


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 60), st.integers(1, 12), st.integers(0, 2**31))
def test_a_window_has_no_more_vectors_than_tokens_or_than_asked(compressor: TokenCompressor, n: int, k: int, seed: int) -> None:
    made = TokenCompressor(compressor.parameters, vectors=k)
    code = made.compress(states(n, seed=seed))
    assert len(code) == min(n, k)
    assert set(code.members.tolist()) == set(range(len(code)))
    assert len(code.padded(made.card)) == made.card.bytes == k * 8
    again = made.compress(states(n, seed=seed))
    assert (again.vectors == code.vectors).all()
    assert (again.members == code.members).all()


@pytest.mark.parametrize("n", [40, 250])
def test_a_code_is_what_the_formulas_give(n: int) -> None:
    """Written without blocks, sorting or float32: every bit that is not within rounding of zero."""
    compressor = TokenCompressor("untrained")
    parameters, read = compressor.parameters, states(n, width=768, seed=n)
    parts = read.states.astype(np.float64).reshape(n, 2, 384)
    x = ((parts - parts.mean(axis=2, keepdims=True)) / parts.std(axis=2, keepdims=True)).reshape(n, 768)
    rows = x @ parameters.documents
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    salience = np.log1p(np.exp(x @ parameters.salience + 1))
    code = compressor.compress(read)
    sums = np.zeros((len(code), 128))
    np.add.at(sums, code.members, rows * salience[:, None])
    sure = np.abs(sums) > 1e-4
    assert sure.mean() > 0.99
    assert (np.unpackbits(code.vectors, axis=1).astype(bool) == (sums > 0))[sure].all()
    gates = np.log1p(np.exp(x @ parameters.gate + parameters.logits[read.ids]))
    np.testing.assert_allclose(compressor.query(read).gates, gates, rtol=1e-4)
    if n > 64:
        distances = pdist(rows * np.sqrt(gates)[:, None])
        expected = fcluster(linkage(distances, "ward"), 64, "maxclust")
        pairs = {(a, b) for a, b in zip(expected.tolist(), code.members.tolist(), strict=True)}
        assert len(pairs) == 64


def test_the_first_vectors_of_a_code_stand_for_more(compressor: TokenCompressor) -> None:
    """Nested: half of the vectors keep most of the best matches that the whole code gives."""
    code = compressor.compress(states(60))
    query = compressor.query(states(5, seed=0)._replace(ids=states(60).ids[:5], states=states(60).states[:5]))
    codes = np.stack([code.vectors])
    whole = max_sim(query.vectors, query.gates, codes, np.array([8]))[0]
    half = max_sim(query.vectors, query.gates, codes[:, :4], np.array([4]))[0]
    last = max_sim(query.vectors, query.gates, codes[:, 4:], np.array([4]))[0]
    assert half <= whole
    assert last <= whole
    sizes = np.bincount(code.members)
    assert sizes[:4].sum() >= sizes[4:].sum()


def test_what_no_question_counts_is_merged_first(compressor: TokenCompressor) -> None:
    logits = np.where(np.arange(500) < 250, -4.0, 3.0).astype(np.float32)
    made = TokenCompressor(replace(compressor.parameters, gate=0 * compressor.parameters.gate, logits=logits), vectors=12)
    one = states(20)._replace(ids=np.where(np.arange(20) % 2, 400, 100).astype(np.int32))
    members = made.compress(one).members
    assert len(set(members[1::2].tolist())) == 10
    assert len(set(members[::2].tolist())) == 2


def test_a_passage_finds_itself(compressor: TokenCompressor) -> None:
    passages = [states(40, seed=seed) for seed in range(6)]
    codes = np.stack([compressor.compress(one).vectors for one in passages])
    for row, one in enumerate(passages):
        query = compressor.query(one)
        assert int(max_sim(query.vectors, query.gates, codes, np.full(6, 8)).argmax()) == row


def test_tokens_beyond_the_table_count_as_the_rarest(compressor: TokenCompressor) -> None:
    some = states(3)
    far = compressor.query(some._replace(ids=np.array([10**6, 10**6, 10**6], np.int32)))
    logits = compressor.parameters.logits
    rarest = compressor.query(some._replace(ids=np.full(3, int(logits.argmax()), np.int32)))
    assert np.allclose(far.gates, rarest.gates)
    assert (far.gates > 0).all()


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 50), st.integers(1, 50), st.integers(0, 2**31))
def test_ward_numbers_clusters_by_their_first_row(n: int, k: int, seed: int) -> None:
    labels = ward(np.random.default_rng(seed).standard_normal((n, 4)).astype(np.float32), k)
    assert len(set(labels.tolist())) == min(n, k)
    first = [labels.tolist().index(one) for one in range(labels.max() + 1)]
    assert first == sorted(first)


def test_ward_puts_what_is_near_together() -> None:
    rng = np.random.default_rng(0)
    centres = 10 * np.eye(4)
    rows = np.concatenate([centre + 0.1 * rng.standard_normal((5, 4)) for centre in centres]).astype(np.float32)
    assert ward(rows, 4).tolist() == [0] * 5 + [1] * 5 + [2] * 5 + [3] * 5


def test_parameters_come_back_from_their_file_and_damage_is_told(compressor: TokenCompressor, tmp_path: Path) -> None:
    file = tmp_path / "some.safetensors"
    compressor.parameters.save(file)
    assert load_parameters(file).digest == compressor.parameters.digest
    assert TokenCompressor(str(file), vectors=8).card == compressor.card
    data = file.read_bytes()
    compressor.parameters.save(tmp_path / "again.safetensors")
    assert (tmp_path / "again.safetensors").read_bytes() == data
    for broken in (data[:200], data[:-3] + b"abc", b"", json.dumps({}).encode()):
        file.write_bytes(broken)
        with pytest.raises(LoadError):
            load_parameters(file)
    with pytest.raises(LoadError):
        load_parameters(tmp_path / "nothing.safetensors")


def test_the_fingerprint_follows_what_changes_a_code(compressor: TokenCompressor) -> None:
    parameters = compressor.parameters
    cards = [
        compressor.card,
        TokenCompressor(parameters, vectors=4).card,
        TokenCompressor(replace(parameters, model="another")).card,
        TokenCompressor(replace(parameters, salience=parameters.salience + 1), vectors=8).card,
    ]
    assert len({card.fingerprint for card in cards}) == len(cards)
    assert (
        TokenCompressor(replace(parameters, name="other", about={"a": 1}), vectors=8).card.fingerprint
        == compressor.card.fingerprint
    )
    assert CompressorCard.from_dict(json.loads(json.dumps(compressor.card.to_dict()))) == compressor.card


@pytest.mark.parametrize("wrong", [{"vectors": 0}, {"vectors": True}, {"bits": 24}])
def test_sizes_that_do_not_exist_are_told(compressor: TokenCompressor, wrong: dict[str, int]) -> None:
    with pytest.raises(InvalidInputError):
        TokenCompressor(compressor.parameters, **wrong)


def test_fitting_without_training_needs_texts_and_a_width_that_is_there(reader: HashReader) -> None:
    with pytest.raises(InvalidInputError):
        TokenCompressor.untrained(reader, [], layers=(1,))
    with pytest.raises(InvalidInputError):
        TokenCompressor.untrained(reader, ["one text of a few words"], layers=(1,), bits=1024)


def test_the_shipped_parameters_are_small_and_for_one_model(reader: HashReader) -> None:
    trained, untrained = TokenCompressor(), TokenCompressor("untrained")
    assert trained.card.model == untrained.card.model
    assert trained.card.bytes == 1024
    assert TokenCompressor(bits=64).card.bytes == 512
    assert trained.card.fingerprint != untrained.card.fingerprint
    assert trained.card.layers == untrained.card.layers
    with pytest.raises(CapabilityError, match="untrained"):
        require(trained, reader)
    folder = resources.files("ragkit.rerank") / "weights"
    assert len((folder / "trained.safetensors").read_bytes()) < 600_000
    assert "CC BY-SA 4.0" in (folder / "MODEL_CARD.md").read_text(encoding="utf-8")
    assert shipped("trained").about
