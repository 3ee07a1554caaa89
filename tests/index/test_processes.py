"""Several processes on one index, and SIGKILL in the middle of ``add``."""

from __future__ import annotations

import os
import random
import threading
from collections import Counter
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ragkit import Index
from ragkit.index import move, move_state

_spec = spec_from_file_location("ragkit_test_writers", Path(__file__).parent / "writers.py")
assert _spec is not None
assert _spec.loader is not None
work = module_from_spec(_spec)
_spec.loader.exec_module(work)

DOCUMENTS = 24
TEXTS = {generation: {one.id: one.text for one in work.documents(generation, DOCUMENTS)} for generation in range(4)}


def stored(index: Index) -> dict[str, int]:
    """The generation of each stored document, once every document is whole, of one generation, and free of repeats."""
    found: dict[str, int] = {}
    ids: list[str] = []
    for doc_id in index.document_ids():
        chunks = index.chunks_of(doc_id)
        ids += [chunk.id for chunk in chunks]
        (generation,) = {chunk.metadata["generation"] for chunk in chunks}
        assert "".join(chunk.text for chunk in chunks) == TEXTS[generation][doc_id], f"{doc_id} is not whole"
        assert [chunk.index for chunk in chunks] == list(range(len(chunks)))
        found[doc_id] = generation
    assert not [one for one, count in Counter(ids).items() if count > 1]
    assert index.stats().chunks == len(ids)
    return found


def answers(index: Index) -> None:
    """Every search answers, and with rows that are there."""
    for mode in ("dense", "bm25", "hybrid"):
        chunks = [hit.chunk for hit in index.search("alpha beta g0w1 g1w1", k=5, mode=mode)]
        assert index.get_chunks([chunk.id for chunk in chunks]) == chunks


@pytest.mark.parametrize("generations", [[0, 0, 0, 0], [0, 1, 2, 3]], ids=["the same documents", "four versions of them"])
def test_four_writers_at_once(tmp_path: Path, writers: Any, generations: list[int]) -> None:
    for _ in range(2):
        ended = writers(path=str(tmp_path / "kb"), generations=generations, documents=DOCUMENTS, batch_chunks=64)
        assert ended["codes"] == [0, 0, 0, 0], ended["said"]
        index = work.open_index(str(tmp_path / "kb"))
        assert stored(index).keys() == TEXTS[0].keys()
        answers(index)


def test_killed_at_any_moment_nothing_is_half_done(tmp_path: Path, writers: Any) -> None:
    """SIGKILL while new versions replace old ones; RAGKIT_KILLS asks for more rounds than the usual 16."""
    kills = int(os.environ.get("RAGKIT_KILLS", "16"))
    rng = random.Random(5)
    killed = 0
    path = str(tmp_path / "kb")
    reader = work.open_index(path)
    before: dict[str, int] = {}
    for number in range(kills):
        generation = number % 4
        ended = writers(
            path=path,
            generations=[generation],
            documents=DOCUMENTS,
            batch_chunks=16,
            optimize=number % 3 == 0,
            kill_after=rng.uniform(0.0, 0.35),
        )
        killed += ended["codes"] == [-9]
        index = reader if number % 2 else work.open_index(path)
        after = stored(index)
        assert after.keys() >= before.keys()
        assert all(now in (generation, before.get(doc_id)) for doc_id, now in after.items())
        answers(index)
        before = after
    assert killed > kills // 2
    report = reader.add(work.documents(kills % 4, DOCUMENTS))
    assert report.added + report.replaced + report.unchanged == DOCUMENTS
    assert set(stored(reader).values()) == {kills % 4}
    assert reader.add(work.documents(kills % 4, DOCUMENTS)).unchanged == DOCUMENTS


def test_a_move_killed_at_any_moment_is_the_old_database_or_the_new(tmp_path: Path, writers: Any) -> None:
    """SIGKILL while a database is moved to and fro: every search compares one model's vectors, and the next call goes on."""
    kills = int(os.environ.get("RAGKIT_KILLS", "3"))
    rng = random.Random(7)
    path = str(tmp_path / "kb")
    with work.open_index(path) as index:
        index.add(work.documents(0, DOCUMENTS))
    there, aim = "narrow", "wide"
    for _ in range(kills):
        writers(path=path, move=[aim], batch_chunks=16, kill_after=rng.uniform(0.0, 0.5))
        state = move_state(path)
        in_use = "wide" if state.model == work.MODELS["wide"].card else "narrow"
        assert in_use in (there, aim)
        assert state.target in (None, work.MODELS[aim].card)
        of_one_model(path, in_use, complete=state.target is None or in_use == there)
        if state.target is None and in_use == aim:
            there, aim = aim, there
    move(path, work.MODELS[aim])
    assert move_state(path).target is None
    of_one_model(path, aim, complete=True)


def of_one_model(path: str, name: str, *, complete: bool) -> None:
    """The database holds all documents whole, and of ``name`` every vector that it holds; all of them where it is ``complete``."""
    with Index(path, embedder=work.MODELS[name]) as index:
        assert stored(index) == dict.fromkeys(TEXTS[0], 0)
        answers(index)
        chunks = [chunk for doc_id in index.document_ids() for chunk in index.chunks_of(doc_id)]
        vectors = index.vectors([chunk.id for chunk in chunks])
        wanted = work.MODELS[name].embed_texts([chunk.text for chunk in chunks])
        filled = vectors.any(axis=1)
        np.testing.assert_allclose(vectors[filled], wanted[filled], atol=1e-6)
        assert filled.all() or not complete


def test_killed_while_the_database_is_made(tmp_path: Path, writers: Any) -> None:
    for number in range(4):
        path = str(tmp_path / f"kb{number}")
        writers(path=path, generations=[0, 1], documents=DOCUMENTS, batch_chunks=20, kill_after=0.02 * number)
        index = work.open_index(path)
        stored(index)
        index.add(work.documents(2, DOCUMENTS))
        assert set(stored(index).values()) == {2}


def test_a_disk_that_refuses_large_files(tmp_path: Path, writers: Any) -> None:
    path = str(tmp_path / "kb")
    index = work.open_index(path)
    index.add(work.documents(0, DOCUMENTS))
    ended = writers(path=path, generations=[1], documents=DOCUMENTS, batch_chunks=4096, file_limit=4096)
    assert ended["codes"] == [1]
    assert "StoreFullError" in ended["said"][0]
    assert set(stored(index).values()) == {0}
    assert index.add(work.documents(1, DOCUMENTS)).replaced == DOCUMENTS


def test_maintenance_that_starves_never_fails_an_add(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two handles delete and add without a pause beside one that optimizes; a report may say that it was left for later."""
    path = str(tmp_path / "kb")
    work.open_index(path).add(work.documents(0, DOCUMENTS))
    stop, failures = threading.Event(), []

    def churn(mine: list[Any]) -> None:
        try:
            index = work.open_index(path)
            while not stop.is_set():
                index.delete([mine[0].id])
                index.add(mine, batch_chunks=8)
        except Exception as error:
            failures.append(error)

    writers = [threading.Thread(target=churn, args=(work.documents(0, DOCUMENTS)[place : place + 4],)) for place in (0, 4)]
    for writer in writers:
        writer.start()
    index = work.open_index(path)
    monkeypatch.setattr("ragkit.store.ChunkStore.worth_optimizing", lambda store: True)
    reports = [index.add(work.documents(generation, DOCUMENTS)[8:]) for generation in (1, 2, 3)]
    stop.set()
    for writer in writers:
        writer.join(timeout=60)
    assert not failures
    assert all(report.optimized or "can be repeated" in report.note for report in reports)
    found = stored(index)
    assert found.keys() == TEXTS[0].keys()
    assert {generation for doc_id, generation in found.items() if int(doc_id.split()[1]) >= 8} == {3}
    answers(index)
