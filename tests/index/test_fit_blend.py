"""A blend fitted to labelled questions wins on questions it has not seen, or the reranker's own stays."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from ragkit import Document, Index
from ragkit.errors import InvalidInputError
from ragkit.index import fit_blend
from ragkit.rerank import Blend, CompressedReranker, TokenCompressor
from ragkit.testing.embedders import HashReader

WORDS = [
    "cat",
    "mat",
    "rain",
    "town",
    "dog",
    "night",
    "bark",
    "river",
    "bridge",
    "morning",
    "signs",
    "bits",
    "window",
    "passage",
    "question",
    "token",
    "late",
    "vector",
]
TEXTS = [" ".join(np.random.default_rng(seed).choice(WORDS, 25)) for seed in range(15)]
QUESTIONS = [" ".join(np.random.default_rng(1000 + seed).choice(WORDS, 4)) for seed in range(40)]
FIRST, LATE = Blend(late=0.0, first=1.0, neighbours=0.0), Blend(late=1.0, first=0.0, neighbours=0.0)


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Index]:
    reader = HashReader(dim=64)
    compressor = TokenCompressor.untrained(reader, TEXTS, layers=(1,), vectors=4, bits=64)
    with Index(tmp_path_factory.mktemp("fit") / "kb", embedder=reader, compressor=compressor) as made:
        made.add([Document(text, id=f"d{at}") for at, text in enumerate(TEXTS)])
        yield made


def reranker(index: Index, weights: Blend) -> CompressedReranker:
    return CompressedReranker(index.codes.compressor, weights=weights)


def test_what_the_reranker_knows_is_found_and_kept(index: Index) -> None:
    """Labels are what MaxSim puts first, so trusting it alone is right."""
    hits = index.search_many(QUESTIONS, k=1, rerank=reranker(index, LATE))
    for relevant in ([{some[0].chunk.id: 1.0} for some in hits], [{some[0].chunk.doc_id: 2.0} for some in hits]):
        report = fit_blend(index, QUESTIONS, relevant, reranker=reranker(index, FIRST), choices=[LATE])
        assert report.won
        assert report.blend == report.best == LATE
        assert report.ndcg == pytest.approx(1.0)
        assert report.gain.low > 0
        assert "wins" in report.verdict
    assert report == fit_blend(index, QUESTIONS, relevant, reranker=reranker(index, FIRST), choices=[LATE])


def test_noise_keeps_the_rerankers_own_blend(index: Index) -> None:
    rng = np.random.default_rng(0)
    relevant = [{f"d{rng.integers(len(TEXTS))}": 1.0} for _ in QUESTIONS]
    report = fit_blend(index, QUESTIONS, relevant, reranker=reranker(index, Blend()), choices=[FIRST, LATE])
    assert not report.won
    assert report.blend == report.default == Blend()
    assert "is kept" in report.verdict


def test_what_cannot_be_fitted_is_said(index: Index) -> None:
    fine = [{"d1": 1.0}] * len(QUESTIONS)
    some = reranker(index, Blend())
    for questions, relevant, match in (
        (QUESTIONS, fine[1:], "40 questions"),
        (QUESTIONS, [*fine[1:], {}], "at least one chunk or document"),
        (QUESTIONS, [*fine[1:], {"d1": 0.0}], "above 0"),
        (QUESTIONS[:5], fine[:5], "at least 20"),
    ):
        with pytest.raises(InvalidInputError, match=match):
            fit_blend(index, questions, relevant, reranker=some, choices=[LATE])
    with pytest.raises(InvalidInputError, match="k is 0"):
        fit_blend(index, QUESTIONS, fine, reranker=some, choices=[LATE], k=0)
    with pytest.raises(InvalidInputError, match="choices"):
        fit_blend(index, QUESTIONS, fine, reranker=some, choices=[Blend()])
