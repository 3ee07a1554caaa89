"""Codes and scorers of one's own: a compressor that keeps float vectors, and a model that reads question and passage together."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from ragkit import Document, Index
from ragkit.rerank import Code, CompressedReranker, Compressor, CompressorCard, QueryCode
from ragkit.rerank.passages import Passages
from ragkit.rerank.states import unit
from ragkit.seams import TokenStates
from ragkit.testing.embedders import HashReader

from .conftest import TEXTS
from .test_reranker import HITS, QUESTION

DIM, MEMORIES = 64, 4


class Memories:
    """A few means of neighbouring tokens, as float16: the shape of what large compressors keep."""

    card = CompressorCard(
        name="memories",
        model=f"hash of {DIM} numbers",
        layers=(1,),
        vectors=MEMORIES,
        bits=16 * DIM,
        window=256,
        weights="of this test",
    )
    layers = (1,)

    def compress(self, states: TokenStates, /) -> Code:
        n = min(MEMORIES, len(states.ids))
        members = np.arange(len(states.ids)) * n // max(len(states.ids), 1)
        means = [states.states[members == at].mean(axis=0) for at in range(n)]
        rows = np.array(means, np.float16).reshape(n, DIM)
        return Code(rows.view(np.uint8), members.astype(np.int16))

    def query(self, states: TokenStates, /) -> QueryCode:
        return QueryCode(unit(states.states), np.ones(len(states.ids), np.float32), states.ids, states.starts, states.ends)


def joint(query: QueryCode, found: Passages, ids: Sequence[str]) -> np.ndarray:
    """One layer of attention over the question's tokens and a passage's memories together, and the mean of what the tokens become."""
    codes, counts, owners = found.only(ids)
    scores = np.full(len(ids), -np.inf)
    for code, count, owner in zip(codes, counts, owners, strict=True):
        memory = unit(np.ascontiguousarray(code[:count]).view(np.float16).astype(np.float32))
        rows = np.concatenate([query.vectors, memory])
        weights = np.exp(20 * query.vectors @ rows.T)
        seen = weights[:, len(query.vectors) :].sum(axis=1) / weights.sum(axis=1)
        scores[owner] = max(scores[owner], float(seen.mean()) if count else -1.0)
    return scores


@pytest.fixture
def reranker() -> CompressedReranker:
    return CompressedReranker(Memories(), scorer=joint, reader=HashReader(dim=DIM))


def test_a_joint_model_ranks_hits_by_its_own_codes(reranker: CompressedReranker) -> None:
    assert isinstance(reranker.compressor, Compressor)
    found = reranker(QUESTION, HITS)
    assert found[0].chunk.text == TEXTS[4]
    assert reranker(QUESTION, HITS[::-1])[0].chunk.text == TEXTS[4]


def test_likes_have_no_vote_where_bytes_are_no_signs(reranker: CompressedReranker) -> None:
    for hit in reranker(QUESTION, HITS):
        assert hit.score == pytest.approx(sum(part.share for part in hit.parts.values()))
    assert reranker.weights.neighbours > 0
    question = reranker.question(QUESTION)
    codes = reranker.read({hit.chunk.id: hit.chunk.text for hit in HITS})
    alone = type(reranker.weights)(late=reranker.weights.late, first=reranker.weights.first, neighbours=0.0)
    assert reranker.rank(question, HITS, codes) == reranker.rank(question, HITS, codes, weights=alone)


def test_an_index_keeps_them_and_asks_the_model(tmp_path: Path, reranker: CompressedReranker) -> None:
    with Index(tmp_path / "kb", embedder=HashReader(dim=DIM), compressor=Memories()) as index:
        index.add([Document(text, id=f"d{at}") for at, text in enumerate(TEXTS)])
        (state,) = index.codes.status()
        assert (state.bytes, state.missing) == (MEMORIES * DIM * 2, 0)
        assert index.search(QUESTION, rerank=reranker)[0].chunk.doc_id == "d4"
