"""Late interaction as a search: the ranks of a scan over all codes, with filters first, and nothing that is gone."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from ragkit import Document, Index
from ragkit.chunk import FixedChunker
from ragkit.errors import InvalidInputError, StoreCorruptError
from ragkit.rerank import CompressedReranker, TokenCompressor
from ragkit.testing.embedders import HashReader

WORDS = ["cat", "mat", "rain", "town", "dog", "night", "bark", "river", "bridge", "morning", "signs", "bits", "window", "token"]
DOCUMENTS = [
    Document(" ".join(np.random.default_rng(n).choice(WORDS, 40)) + f" special{n}", id=f"d{n}", metadata={"n": n})
    for n in range(25)
]
QUESTION = "river bridge morning special7"


@pytest.fixture(scope="module")
def compressor() -> TokenCompressor:
    texts = [document.text for document in DOCUMENTS]
    return TokenCompressor.untrained(HashReader(dim=64), texts, layers=(2, 1), vectors=8, bits=64)


@pytest.fixture
def index(tmp_path: Path, compressor: TokenCompressor) -> Iterator[Index]:
    with Index(tmp_path / "kb", embedder=HashReader(dim=64), compressor=compressor, chunker=FixedChunker(20)) as made:
        made.add(DOCUMENTS)
        yield made


def test_a_scan_of_all_codes_gives_the_same_hits(index: Index, compressor: TokenCompressor) -> None:
    reranker = CompressedReranker(compressor, reader=HashReader(dim=64))
    late = index.codes.late_interaction(reranker, vectors=8)
    chunks = [chunk for doc_id in index.document_ids() for chunk in index.chunks_of(doc_id)]
    assert late.fill() == len(chunks)
    assert late.fill() == 0
    ids = [chunk.id for chunk in chunks]
    scores = dict(zip(ids, reranker.score(reranker.question(QUESTION), index.codes.passages(reranker, ids), ids), strict=True))
    hits = late.search(QUESTION, k=10, fetch_k=len(ids))
    best = sorted(chunks, key=lambda chunk: (-scores[chunk.id], chunk.doc_id, chunk.start))
    assert [hit.chunk for hit in hits] == best[:10]
    assert [hit.score for hit in hits] == pytest.approx([scores[chunk.id] for chunk in best[:10]])
    assert late.search(QUESTION, k=4, fetch_k=len(ids)) == hits[:4]
    assert late.search(QUESTION, k=10, fetch_k=2**40) == hits
    assert {hit.chunk.id for hit in late.search(QUESTION, k=5, fetch_k=20)} & {hit.chunk.id for hit in hits}


def test_filters_come_first(index: Index, compressor: TokenCompressor) -> None:
    late = index.codes.late_interaction(CompressedReranker(compressor), vectors=4)
    late.fill()
    (hit, *_) = late.search(QUESTION, k=3, fetch_k=3, where={"n": 11})
    assert hit.chunk.doc_id == "d11"
    assert late.search(QUESTION, where={"n": 99}) == []


def test_what_changes_is_found_after_fill_and_what_is_gone_never(index: Index, compressor: TokenCompressor) -> None:
    late = index.codes.late_interaction(CompressedReranker(compressor), vectors=4)
    late.fill()
    index.delete("d7")
    index.add([Document("river bridge morning, and the rest is new", id="d3", metadata={"n": 3}), Document("a river", id="new")])
    found = {hit.chunk.doc_id for hit in late.search(QUESTION, k=100, fetch_k=100)}
    assert "d7" not in found
    assert "new" not in found
    assert late.fill() == 2
    again = late.search(QUESTION, k=100, fetch_k=100)
    assert {hit.chunk.doc_id for hit in again} == {one.id for one in DOCUMENTS} - {"d7"} | {"new"}
    assert {hit.chunk.id for hit in again} == {chunk.id for one in index.document_ids() for chunk in index.chunks_of(one)}


def test_what_is_gone_takes_no_place_from_what_is_stored(index: Index, compressor: TokenCompressor) -> None:
    late = index.codes.late_interaction(CompressedReranker(compressor), vectors=8)
    late.fill()
    gone = {hit.chunk.doc_id for hit in late.search(QUESTION, k=6, fetch_k=6)}
    index.delete(sorted(gone))
    before = late.search(QUESTION, k=4, fetch_k=4)
    assert len(before) == 4
    late.fill()
    assert late.search(QUESTION, k=4, fetch_k=4) == before


def test_words_that_ask_for_nothing_are_not_asked(index: Index, compressor: TokenCompressor) -> None:
    late = index.codes.late_interaction(CompressedReranker(compressor), vectors=8)
    late.fill()
    assert late.search(f"Hi, could you please tell me {QUESTION}? Thanks!", k=5) == late.search(f"{QUESTION}?", k=5)


def test_a_table_that_is_lost_costs_no_documents(index: Index, compressor: TokenCompressor) -> None:
    late = index.codes.late_interaction(CompressedReranker(compressor), vectors=8)
    late.fill()
    hits = late.search(QUESTION)
    (lost,) = index.path.glob("late_*.lance")
    shutil.rmtree(lost)
    with pytest.raises(StoreCorruptError, match=rf"remove only the folder {lost.name} .* fill\(\)"):
        late.search(QUESTION)
    again = index.codes.late_interaction(CompressedReranker(compressor), vectors=8)
    again.fill()
    assert again.search(QUESTION) == hits


def test_what_cannot_be_asked(index: Index, compressor: TokenCompressor) -> None:
    with pytest.raises(InvalidInputError, match="vectors is 0"):
        index.codes.late_interaction(CompressedReranker(compressor), vectors=0)
    late = index.codes.late_interaction(CompressedReranker(compressor))
    assert late.search(QUESTION) == []
    for asked in ({"k": 0}, {"fetch_k": True}):
        with pytest.raises(InvalidInputError, match="at least 1"):
            late.search(QUESTION, **asked)
    with pytest.raises(InvalidInputError, match="at least one word"):
        late.search("  ")
