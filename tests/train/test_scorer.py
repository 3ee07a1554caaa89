"""The trainer of scorers over codes, on a reader without a model."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ragkit.errors import CapabilityError, InvalidInputError
from ragkit.rerank import CompressedReranker, TokenCompressor, TransformerScorer
from ragkit.testing.embedders import HashReader
from ragkit.train.rerank_rules import Material
from ragkit.train.scorer import ScorerReport, train_scorer
from ragkit.train.scorer_fit import ScorerSettings

READER = HashReader(dim=64, window=200)
SETTINGS = ScorerSettings(steps=60, every=30, questions=12, candidates=8, width=32, layers=1, rate=3e-3)
TOPICS, DECOYS = [f"topic{n}" for n in range(30)], [f"decoy{n}" for n in range(12)]


def material(*, taught: bool = False) -> Material:
    """Two words of a question name its passage; three others stand in many passages and say nothing, though they are as rare in questions."""
    rng = np.random.default_rng(0)
    passages, doc, questions, gold, lists = [], [], [], [], []
    for number in range(24):
        for _ in range(4):
            words = [*rng.permutation(TOPICS)[:5].tolist(), *rng.permutation(DECOYS)[:3].tolist()]
            for _ in range(2):
                asked = [*rng.permutation(words[:5])[:2].tolist(), *rng.permutation(DECOYS)[:3].tolist()]
                questions.append(" ".join(rng.permutation(asked)))
                gold.append(len(passages))
                others = rng.integers(0, 96, 5)
                lists.append((np.array([len(passages), *others]), np.array([2.0, -1, -1, -1, -1, -1], np.float32)))
            passages.append(" ".join(rng.permutation(words)))
            doc.append(number)
    return Material(
        name="decoys",
        passages=passages,
        doc=np.array(doc),
        questions=questions,
        gold=np.array(gold),
        lists=lists if taught else (),
    )


@pytest.fixture(scope="module")
def compressor() -> TokenCompressor:
    return TokenCompressor.untrained(READER, material().passages, layers=(2, 1), vectors=6, bits=64)


def train(compressor: TokenCompressor, folder: Path, *, steps: int = 60, taught: bool = False) -> ScorerReport:
    settings = ScorerSettings(**{**{name: getattr(SETTINGS, name) for name in SETTINGS.__slots__}, "steps": steps})
    return train_scorer(
        [(material(taught=taught), 1.0)],
        reader=READER,
        compressor=compressor,
        folder=folder,
        settings=settings,
        about={"licence": "ours"},
    )


def test_it_learns_which_words_say_nothing_and_is_used(compressor: TokenCompressor, tmp_path: Path) -> None:
    report = train(compressor, tmp_path)
    assert report.won
    assert report.gains["decoys"].mean > 0.05
    assert report.to_dict()["about"]["licence"] == "ours"
    report.weights.save(tmp_path / "scorer.safetensors")
    reranker = CompressedReranker(compressor, scorer=TransformerScorer(tmp_path / "scorer.safetensors"), reader=READER)
    assert len(reranker.scores("topic1 decoy2", ["topic1 decoy1", "decoy2 decoy3"])) == 2


def test_the_same_seed_gives_the_same_weights(compressor: TokenCompressor, tmp_path: Path) -> None:
    first, again = (train(compressor, tmp_path, steps=3, taught=taught) for taught in (True, True))
    assert first.weights.digest == again.weights.digest


def test_what_cannot_be_learned_from(compressor: TokenCompressor, tmp_path: Path) -> None:
    with pytest.raises(CapabilityError, match="ragkit train rerank"):
        train_scorer([(material(), 1.0)], reader=HashReader(dim=32, window=200), compressor=compressor, folder=tmp_path)
    nested = TokenCompressor(replace(compressor.parameters, nested=(32,)), bits=32)
    with pytest.raises(InvalidInputError, match="all of them"):
        train_scorer([(material(), 1.0)], reader=READER, compressor=nested, folder=tmp_path)
    alone = replace(material(taught=True), lists=[(rows[:1], scores[:1]) for rows, scores in material(taught=True).lists])
    with pytest.raises(InvalidInputError, match="None of the 192 questions of 'decoys'"):
        train_scorer([(alone, 1.0)], reader=READER, compressor=compressor, folder=tmp_path)
    endless = replace(
        material(), passages=[f"{text} " + "more " * 300 for text in material().passages[:-4]] + list(material().passages[-4:])
    )
    with pytest.raises(InvalidInputError, match="no question about them lies with its passage"):
        train_scorer([(endless, 1.0)], reader=READER, compressor=compressor, folder=tmp_path)
    for wrong in ({"steps": -1}, {"candidates": 1}, {"questions": 0}, {"every": 0}):
        with pytest.raises(InvalidInputError, match="candidates at least 2"):
            ScorerSettings(**wrong)
