"""CompressedReranker by itself: what its order depends on, what it tells, and what it does with odd input."""

from __future__ import annotations

import random
import warnings
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragkit.errors import CapabilityError, InvalidInputError
from ragkit.rerank import Blend, CompressedReranker, LateInteractionReranker, TextReranker, TokenCompressor, reranker_from
from ragkit.rerank.passages import compress, compress_parts, passages
from ragkit.testing.embedders import HashReader
from ragkit.types import Chunk, Hit, Part, Span

from .conftest import TEXTS

QUESTION = "Is the bridge over the river closed until the morning?"


def hit(text: str, at: int, *, score: float | None = None, parts: bool = True) -> Hit:
    chunk = Chunk(id=f"c{at}", doc_id=f"d{at}", start=0, end=len(text), text=text, window=Span(0, len(text)), index=0, n_tokens=1)
    arms = {"dense": Part(0.9 - 0.1 * at, at + 1, 0.5), "bm25": Part(float(at % 3), None, 0.1)} if parts else {}
    return Hit(chunk=chunk, score=1.0 - 0.1 * at if score is None else score, rank=at + 1, parts=arms)


HITS = [hit(text, at) for at, text in enumerate(TEXTS)]


@pytest.fixture
def reranker(compressor: TokenCompressor, reader: HashReader) -> CompressedReranker:
    return CompressedReranker(compressor, reader=reader)


def test_the_passage_that_answers_comes_first_and_every_share_is_told(reranker: CompressedReranker) -> None:
    found = reranker(QUESTION, HITS)
    assert found[0].chunk.text == TEXTS[4]
    assert [one.rank for one in found] == [1, 2, 3, 4, 5, 6]
    assert sorted(one.chunk.id for one in found) == [one.chunk.id for one in HITS]
    assert [one.score for one in found] == sorted((one.score for one in found), reverse=True)
    assert sorted(one.parts["rerank"].rank or 0 for one in found) == [1, 2, 3, 4, 5, 6]
    for one in found:
        assert one.score == pytest.approx(sum(part.share for part in one.parts.values()))
        assert -1 <= one.parts["rerank"].score <= 1
        before = HITS[int(one.chunk.id[1:])].parts["dense"]
        assert (one.parts["dense"].score, one.parts["dense"].rank) == (before.score, before.rank)


@given(seed=st.integers(0, 1000), missing=st.sets(st.integers(0, 5), max_size=5))
def test_neither_the_order_nor_company_changes_a_result(
    compressor: TokenCompressor, reader: HashReader, seed: int, missing: set[int]
) -> None:
    reranker = CompressedReranker(compressor, reader=reader, weights=Blend(late=1.0, first=0.6, neighbours=0.3))
    question = reranker.question(QUESTION)
    codes = reranker.read({one.chunk.id: one.chunk.text for one in HITS if int(one.chunk.id[1:]) not in missing})
    shuffled = random.Random(seed).sample(HITS, len(HITS))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        straight, mixed = reranker.rank(question, HITS, codes), reranker.rank(question, shuffled, codes)
    told = [
        {one.chunk.id: (one.score, one.parts["rerank"]) for one in found if "rerank" in one.parts} for found in (straight, mixed)
    ]
    assert told[0] == told[1]
    assert list(told[0]) == list(told[1])
    for given_, found in ((HITS, straight), (shuffled, mixed)):
        # A hit without codes keeps its place, and scores never rise.
        assert [one.chunk.id for one in found if "rerank" not in one.parts] == [f"c{n}" for n in order(given_) if n in missing]
        assert all(found[at].chunk.id == one.chunk.id for at, one in enumerate(given_) if int(one.chunk.id[1:]) in missing)
        assert [one.score for one in found] == sorted((one.score for one in found), reverse=True) or len(missing) == 6


def order(hits: Sequence[Hit]) -> list[int]:
    return [int(one.chunk.id[1:]) for one in hits]


def test_missing_codes_are_told_and_nothing_else_happens(reranker: CompressedReranker) -> None:
    with pytest.warns(RuntimeWarning, match="6 of 6 hits have no codes .* index.codes.fill"):
        assert reranker.rank(reranker.question(QUESTION), HITS, passages(reranker.compressor.card, [])) == HITS


def test_depth_leaves_the_rest_behind(compressor: TokenCompressor, reader: HashReader) -> None:
    found = CompressedReranker(compressor, reader=reader, depth=3)(QUESTION, HITS)
    assert [one.chunk.id for one in found[3:]] == ["c3", "c4", "c5"]
    assert all(("rerank" in one.parts) == (one.rank <= 3) for one in found)


def test_hits_that_only_have_an_order(reranker: CompressedReranker) -> None:
    found = reranker(QUESTION, [hit(text, at, parts=False) for at, text in enumerate(TEXTS)])
    assert found[0].chunk.text == TEXTS[4]
    assert set(found[0].parts) == {"rerank", "first"}
    assert found[0].score == pytest.approx(sum(part.share for part in found[0].parts.values()))


def test_fewer_vectors_and_bits_of_the_same_codes(compressor: TokenCompressor, reader: HashReader) -> None:
    whole = TokenCompressor(compressor.parameters, vectors=8)
    small = CompressedReranker(whole, vectors=3, reader=reader)
    codes = small.read({"a": TEXTS[0]})
    assert small.score(small.question(TEXTS[0]), codes, ["a"])[0] < CompressedReranker(whole, reader=reader).scores(
        TEXTS[0], TEXTS[:1]
    )
    with pytest.raises(InvalidInputError, match="bits is 12"):
        CompressedReranker(whole, bits=12, reader=reader)(QUESTION, HITS)


def test_empty_passages_and_one_word(reranker: CompressedReranker) -> None:
    scores = reranker.scores("river", ["", "   ", "river", "a"])
    assert scores[0] == scores[1] == -1.0
    assert scores[2] == scores.max()
    found = reranker("river", [hit("", 0), hit("the river", 1), hit("?!", 2)])
    assert found[0].chunk.text == "the river"
    assert reranker(QUESTION, []) == []


def test_a_question_without_words_leaves_it_to_the_arms(reranker: CompressedReranker) -> None:
    found = reranker("?!", HITS)
    assert {one.parts["rerank"].share for one in found} == {0.0}


def test_more_vectors_than_tokens(reader: HashReader, compressor: TokenCompressor) -> None:
    many = TokenCompressor(compressor.parameters, vectors=500)
    assert CompressedReranker(many, reader=reader)(QUESTION, HITS)[0].chunk.text == TEXTS[4]


def test_questions_of_two_thousand_words(reranker: CompressedReranker) -> None:
    assert reranker(f"{QUESTION} " * 200, HITS)[0].chunk.text == TEXTS[4]
    assert len(reranker.question("word " * 2000).ids) == 2000


def test_long_texts_are_compressed_window_by_window_and_found_anywhere(reranker: CompressedReranker) -> None:
    noise = " ".join(TEXTS[1].split() * 60)
    long = noise + " " + TEXTS[4] + " " + noise
    read = reranker.reader.read_texts([long], layers=reranker.compressor.layers)[0]
    codes = compress(reranker.compressor, read)
    assert len(codes) == len(read) > 5
    assert sum(len(part.ids) for part, _ in compress_parts(reranker.compressor, read)) == len(long.split())
    assert reranker.scores(QUESTION, [noise, long]).argmax() == 1


def test_one_pass_of_more_tokens_than_the_window_is_cut_in_equal_parts(compressor: TokenCompressor) -> None:
    wide = HashReader(dim=64, window=5000)
    parts = compress_parts(compressor, wide.read_texts(["word " * 1000], layers=(2, 1))[0])
    assert [len(part.ids) for part, _ in parts] == [250] * 4


@pytest.mark.parametrize("wrong", [{"depth": 0}, {"depth": 2.5}, {"vectors": 0}, {"vectors": True}])
def test_settings_out_of_range(wrong: dict[str, int]) -> None:
    with pytest.raises(InvalidInputError, match="at least 1"):
        CompressedReranker(**wrong)


def test_a_compressor_of_another_model(compressor: TokenCompressor) -> None:
    with pytest.raises(CapabilityError, match=r"hash of 64 numbers.*hash of 32 numbers"):
        CompressedReranker(compressor, reader=HashReader(dim=32))(QUESTION, HITS)


def test_another_scorer_sees_the_codes(compressor: TokenCompressor, reader: HashReader) -> None:
    seen = []

    def shortest(query: object, found: object, ids: Sequence[str]) -> np.ndarray:
        seen.append(list(ids))
        return np.arange(len(ids), 0.0, -1.0)

    found = CompressedReranker(compressor, reader=reader, scorer=shortest, weights=Blend(first=0.0, neighbours=0.0))(
        QUESTION, HITS
    )
    assert [one.chunk.id for one in found] == [one.chunk.id for one in HITS]
    assert seen == [[one.chunk.id for one in HITS]]


def test_full_late_interaction_is_the_brute_force_sum(compressor: TokenCompressor, reader: HashReader) -> None:
    late = LateInteractionReranker(compressor, reader=reader)
    (asked,) = reader.read_queries([QUESTION], layers=(2, 1))
    gates = compressor.query(asked).gates
    ((text,),) = reader.read_texts([TEXTS[4]], layers=(2,))
    query = asked.states[:, :64] / np.linalg.norm(asked.states[:, :64], axis=1, keepdims=True)
    rows = text.states / np.linalg.norm(text.states, axis=1, keepdims=True)
    expected = sum(gate * max(float(q @ row) for row in rows) for q, gate in zip(query, gates, strict=True)) / gates.sum()
    assert late.scores(QUESTION, [TEXTS[4], ""]) == pytest.approx([expected, -1.0], abs=1e-5)
    assert late(QUESTION, HITS)[0].chunk.text == TEXTS[4]


class Result:
    def __init__(self, doc_id: int, score: float | None) -> None:
        self.doc_id, self.score = doc_id, score


class Ranked:
    """What the library "rerankers" gives, the last passage left out."""

    def __init__(self, scored: bool) -> None:
        self.scored = scored

    def rank(self, query: str, docs: list[str], doc_ids: list[int]) -> object:
        best = sorted(doc_ids[:-1], key=lambda at: -len(docs[at]))
        self.results = [Result(at, float(len(docs[at])) if self.scored else None) for at in best]
        return self


class Predicts:
    def predict(self, pairs: list[tuple[str, str]]) -> list[float]:
        return [float(len(text)) for _, text in pairs]


@pytest.mark.parametrize("scored", [True, False])
def test_rerankers_of_other_libraries(scored: bool) -> None:
    longest = sorted(HITS, key=lambda one: -len(one.chunk.text))
    assert [one.chunk.id for one in reranker_from(Predicts())(QUESTION, HITS)] == [one.chunk.id for one in longest]
    found = reranker_from(Ranked(scored))(QUESTION, HITS)
    assert [one.chunk.id for one in found if "rerank" in one.parts] == [one.chunk.id for one in longest if one.chunk.id != "c5"]
    assert found[5].chunk.id == "c5"
    by_function = reranker_from(lambda query, texts: [len(text) for text in texts])
    assert by_function(QUESTION, HITS) == reranker_from(Predicts())(QUESTION, HITS)
    assert by_function(QUESTION, []) == []
    with pytest.raises(InvalidInputError, match="predict"):
        reranker_from(object())


@pytest.mark.parametrize("wrong", [[1.0], [float("nan")] * 6, {9: 1.0}])
def test_scores_that_cannot_be(wrong: object) -> None:
    with pytest.raises(InvalidInputError):
        TextReranker(lambda query, texts: wrong)(QUESTION, HITS)


def test_a_hit_that_comes_twice(reranker: CompressedReranker) -> None:
    found = reranker(QUESTION, [*HITS, replace(HITS[4], rank=7)])
    assert [one.chunk.id for one in found[:2]] == ["c4", "c4"]
    assert len(found) == 7
