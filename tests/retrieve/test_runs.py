"""Runs of chunks: laws under hypothesis."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragkit.errors import InvalidInputError
from ragkit.retrieve import find_runs
from ragkit.types import Chunk, Hit, Span

SCORES = st.sampled_from([0.0, 0.1, 0.3, 0.5, 0.5, 0.8, 1.0])


def document(doc_id: str, sizes: list[int], holes: set[int]) -> list[Chunk]:
    """Chunks of these sizes, with a hole before those in ``holes``."""
    chunks, at = [], 0
    for index, size in enumerate(sizes):
        at += index in holes
        text = chr(97 + index % 26) * size
        chunks.append(
            Chunk(
                id=f"{doc_id}{index}",
                doc_id=doc_id,
                start=at,
                end=at + size,
                text=text,
                window=Span(at, at + size),
                index=index,
                n_tokens=size,
            )
        )
        at += size
    return chunks


@st.composite
def searches(draw: st.DrawFn) -> tuple[dict[str, list[Chunk]], list[Hit]]:
    documents = {
        doc_id: document(
            doc_id, draw(st.lists(st.integers(1, 9), min_size=1, max_size=12)), draw(st.sets(st.integers(1, 11), max_size=2))
        )
        for doc_id in "xy"
    }
    chunks = [chunk for pieces in documents.values() for chunk in pieces]
    found = draw(st.lists(st.sampled_from(chunks), unique_by=lambda chunk: chunk.id, max_size=len(chunks)))
    scored = sorted(((draw(SCORES), chunk) for chunk in found), key=lambda pair: -pair[0])
    return documents, [Hit(chunk=chunk, score=score, rank=rank) for rank, (score, chunk) in enumerate(scored, 1)]


@given(
    searches(), st.integers(1, 40), st.integers(0, 3), st.sampled_from([0.1, 0.5, 0.8, 1.0]), st.sampled_from([0.0, 0.25, 1.0])
)
def test_laws(search: tuple[dict[str, list[Chunk]], list[Hit]], most: int, gap: int, share: float, neighbours: float) -> None:
    documents, hits = search
    runs = list(find_runs(hits, documents.__getitem__, max_tokens=most, gap=gap, share=share, neighbours=neighbours))
    found = {hit.chunk.id for hit in hits}

    assert [run.score for run in runs] == sorted((run.score for run in runs), reverse=True)
    in_runs = [chunk.id for run in runs for chunk in run.chunks]
    assert len(in_runs) == len(set(in_runs)), "no chunk is in two runs"
    assert found <= set(in_runs), "every hit is in a run"
    for run in runs:
        assert run.seed.chunk in run.chunks
        assert all(
            left.end == right.start and left.index + 1 == right.index
            for left, right in zip(run.chunks, run.chunks[1:], strict=False)
        )
        assert len(run.chunks) == 1 or sum(chunk.n_tokens for chunk in run.chunks) <= most
        missing = [chunk.id not in found for chunk in run.chunks]
        # Beyond the hits evidence reaches one chunk, and a gap is closed over the rest.
        assert "T" * (gap + 3) not in "".join("T" if one else "F" for one in missing)
    assert all(not overlapping(one.chunks, other.chunks) for one, other in combinations(runs, 2))
    again = list(
        find_runs(list(reversed(hits)), documents.__getitem__, max_tokens=most, gap=gap, share=share, neighbours=neighbours)
    )
    assert [(run.chunks, run.score) for run in again] == [(run.chunks, run.score) for run in runs], (
        "the order of hits does not matter"
    )


def overlapping(one: tuple[Chunk, ...], other: tuple[Chunk, ...]) -> bool:
    return one[0].doc_id == other[0].doc_id and one[0].start < other[-1].end and other[0].start < one[-1].end


def scored(scores: dict[int, float], sizes: list[int]) -> tuple[list[Chunk], list[Hit]]:
    chunks = document("x", sizes, set())
    ranked = sorted(scores.items(), key=lambda pair: -pair[1])
    return chunks, [Hit(chunk=chunks[at], score=score, rank=rank) for rank, (at, score) in enumerate(ranked, 1)]


def spans(chunks: list[Chunk], hits: list[Hit], **choices: Any) -> list[list[int]]:
    runs = find_runs(hits, lambda _: chunks, **({"max_tokens": 100} | choices))
    return [[chunk.index for chunk in run.chunks] for run in runs]


def test_neighbours_decide_between_equals() -> None:
    """Of two equal sentences the one among relevant others is first, and they are one run."""
    chunks, hits = scored({1: 0.9, 6: 0.9, 7: 0.85, 8: 0.9, 3: 0.0}, [5] * 10)
    assert spans(chunks, hits)[0] == [6, 7, 8]


def test_gaps_are_closed_up_to_a_number_of_chunks() -> None:
    chunks, hits = scored({2: 1.0, 4: 1.0, 8: 0.0}, [5] * 9)
    assert spans(chunks, hits, gap=0, neighbours=0.0) == [[2], [4], [8]]
    assert spans(chunks, hits, gap=1, neighbours=0.0) == [[2, 3, 4], [8]]


def test_a_run_keeps_the_budget_and_a_large_chunk_stands_alone() -> None:
    chunks, hits = scored({0: 0.9, 1: 1.0, 2: 0.95, 3: 0.9, 5: 0.1}, [30, 30, 30, 30, 1, 200])
    assert spans(chunks, hits, max_tokens=60) == [[1, 2], [3], [0], [5]] or spans(chunks, hits, max_tokens=60)[0] == [1, 2]
    assert [5] in spans(chunks, hits, max_tokens=60)


def test_scores_may_be_negative_and_all_alike() -> None:
    chunks, hits = scored({0: -0.2, 1: -0.1, 5: -0.9}, [1] * 6)
    assert spans(chunks, hits)[0] == [0, 1] or spans(chunks, hits)[0] == [1]
    chunks, hits = scored({0: 0.5, 1: 0.5}, [1] * 3)
    assert sorted(spans(chunks, hits)) == [[0], [1]]
    assert list(find_runs([], lambda _: [], max_tokens=5)) == []


@pytest.mark.parametrize(
    ("name", "value"),
    [("max_tokens", 0), ("gap", -1), ("gap", True), ("share", 0.0), ("share", 1.1), ("neighbours", -0.1), ("neighbours", 2.0)],
)
def test_settings_out_of_range(name: str, value: float) -> None:
    with pytest.raises(InvalidInputError, match=f"^{name} is"):
        find_runs([], lambda _: [], **({"max_tokens": 5} | {name: value}))  # type: ignore[arg-type]
