"""Moving a database to another model: nothing lost, nothing compared across models, whoever writes or dies meanwhile."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ragkit import Document, Index
from ragkit.chunk import FixedChunker, Late, RecursiveChunker, SentenceChunker, Situate
from ragkit.errors import CapabilityError, EmbeddingError, StoreError, StoreMismatchError
from ragkit.index import drop_old_vectors, give_up_move, move, move_state
from ragkit.seams import Chunker, Vectors
from ragkit.testing.embedders import HashEmbedder
from ragkit.types import Chunk

Items = Sequence[tuple[Document, Sequence[Chunk]]]
OLD, NEW = HashEmbedder(dim=16, name="old"), HashEmbedder(dim=24, name="new")
TEXTS = [f"Chapter {n}. Word{n} stands here. Beside it stands word{n + 1}. And word{n % 3} again, of {n}." for n in range(12)]
DOCUMENTS = [Document(text, id=f"d{n}", metadata={"n": n}) for n, text in enumerate(TEXTS)]


def make(path: Path, chunker: Chunker | None = None, documents: Sequence[Document] = DOCUMENTS) -> Index:
    index = Index(path, embedder=OLD, chunker=chunker or RecursiveChunker(max_tokens=6))
    index.add(documents)
    return index


def state_of(index: Index) -> dict[str, tuple[Chunk, bytes]]:
    """Every chunk with its stored vector."""
    chunks = [chunk for doc_id in index.document_ids() for chunk in index.chunks_of(doc_id)]
    vectors = index.vectors([chunk.id for chunk in chunks])
    return {chunk.id: (chunk, vector.tobytes()) for chunk, vector in zip(chunks, vectors, strict=True)}


def fresh(
    path: Path, documents: Sequence[Document] = DOCUMENTS, chunker: Chunker | None = None
) -> dict[str, tuple[Chunk, bytes]]:
    """What indexing the documents with the new model would have stored."""
    with Index(path, embedder=NEW, chunker=chunker or RecursiveChunker(max_tokens=6)) as index:
        index.add(documents)
        return state_of(index)


@pytest.mark.parametrize(
    "chunker",
    [
        RecursiveChunker(max_tokens=6),
        SentenceChunker(max_tokens=10, overlap=4),
        FixedChunker(max_tokens=40, overlap=2) | Situate(before=1, blend=0.5, max_tokens=12),
        RecursiveChunker(max_tokens=6) | Late(blend=0.25) | Situate(title=False, before=0, document=0.3, max_tokens=0),
    ],
    ids=["plain", "overlapping", "situated", "late with the document's mean"],
)
def test_a_moved_index_is_the_index_that_the_new_model_would_have_made(tmp_path: Path, chunker: Chunker) -> None:
    make(tmp_path / "kb", chunker).close()
    report = move(tmp_path / "kb", NEW)
    with Index(tmp_path / "kb", embedder=NEW) as index:
        assert index.card == NEW.card
        assert state_of(index) == fresh(tmp_path / "fresh", chunker=chunker)
        assert report.chunks == index.stats().chunks
        assert report.model == NEW.card
        assert report.kept == ("old",)
        assert index.add(DOCUMENTS).unchanged == len(DOCUMENTS)
        again = index.add([replace(DOCUMENTS[0], metadata={"n": "changed"})])
        assert again.replaced == 1
        assert again.embedded == 0
        assert index.search("word3", k=3, where={"n": 3})[0].chunk.doc_id == "d3"
    assert move(tmp_path / "kb", NEW).chunks == 0


def test_an_index_opened_before_says_so_and_never_answers_with_the_other_models_vectors(tmp_path: Path) -> None:
    # Equal dimensions: nothing but the names can tell the vectors apart.
    twin = HashEmbedder(dim=16, name="twin")
    index = make(tmp_path / "kb")
    hits = index.search("word3")
    move(tmp_path / "kb", twin)
    for act in (
        lambda: index.search("word3"),
        lambda: index.search("word3", mode="bm25"),
        lambda: index.search_many(["word3", "word4"], mode="dense"),
        lambda: index.add([Document("A new text.", id="late")]),
        lambda: index.vectors([hits[0].chunk.id]),
    ):
        with pytest.raises(StoreMismatchError, match=r"moved from the model 'old' to 'twin'.*Open it again"):
            act()
    with pytest.raises(StoreMismatchError, match="holds vectors of the model 'twin'"):
        Index(tmp_path / "kb", embedder=OLD)
    with Index(tmp_path / "kb", embedder=twin) as opened:
        assert opened.document_ids() == sorted(one.id for one in DOCUMENTS)


class Hooked(HashEmbedder):
    """The new model; calls ``then`` before each batch."""

    def __init__(self, then: object) -> None:
        super().__init__(dim=24, name="new")
        self.then = then

    def embed_batch(self, items: Items, /) -> Vectors:
        self.then()  # type: ignore[operator]
        return super().embed_batch(items)


def test_what_is_written_meanwhile_is_caught_up_with(tmp_path: Path) -> None:
    index = make(tmp_path / "kb")
    documents = {one.id: one for one in DOCUMENTS}
    steps = iter(
        [
            [Document("A text that came in between.", id="between"), Document(TEXTS[1], id="d1", metadata={"n": "other"})],
            [Document("Changed while it moved. " + TEXTS[0], id="d0")],
            [Document("The last one, in the third round.", id="last")],
        ]
    )

    def write() -> None:
        new = next(steps, None)
        if new is not None:
            index.add(new)
            documents.update({one.id: one for one in new})
            index.delete("d5")
            documents.pop("d5", None)
            assert index.search("word7 stands")[0].chunk.doc_id in documents

    report = move(tmp_path / "kb", Hooked(write))
    assert report.rounds >= 2
    with Index(tmp_path / "kb", embedder=NEW) as moved:
        assert state_of(moved) == fresh(tmp_path / "fresh", list(documents.values()))


@pytest.mark.parametrize("calls", [0, 1, 3])
def test_a_move_that_was_stopped_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, calls: int) -> None:
    monkeypatch.setattr("ragkit.index.moving._EMBED_AT_ONCE", 6)
    index = make(tmp_path / "kb")
    left = [calls]

    def fail() -> None:
        left[0] -= 1
        if left[0] < 0:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        move(tmp_path / "kb", Hooked(fail), batch_chunks=6)
    assert index.search("word3", k=1)[0].chunk.doc_id == "d3"
    state = move_state(tmp_path / "kb")
    assert state.model == OLD.card
    assert state.target == NEW.card
    assert 0 < state.waiting <= index.stats().chunks
    with pytest.raises(StoreError, match="on its way to the model 'new'"):
        move(tmp_path / "kb", HashEmbedder(name="third"))
    report = move(tmp_path / "kb", NEW)
    assert report.chunks == state.waiting
    with Index(tmp_path / "kb", embedder=NEW) as moved:
        assert state_of(moved) == fresh(tmp_path / "fresh")


@pytest.mark.parametrize("step", ["begin", "exchange", "fence", "settle"])
def test_killed_between_two_commits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    from ragkit.store import moving

    make(tmp_path / "kb").close()
    real = getattr(moving, step)

    def killed(*arguments: object) -> None:
        real(*arguments)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(moving, step, killed)
        with pytest.raises(KeyboardInterrupt):
            move(tmp_path / "kb", NEW)
    with Index(tmp_path / "kb", embedder=OLD if step == "begin" else NEW) as between:
        assert between.search("word3 stands", k=1)[0].chunk.doc_id == "d3"
    move(tmp_path / "kb", NEW)
    assert move_state(tmp_path / "kb").target is None
    with Index(tmp_path / "kb", embedder=NEW) as moved:
        assert state_of(moved) == fresh(tmp_path / "fresh")


def test_a_write_of_the_old_model_under_way_during_the_exchange_is_not_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Commits of the old model's columns after the exchange and before the fence: what a slow merge leaves behind."""
    from ragkit.store import moving

    index = make(tmp_path / "kb")
    late = Document("Slow text of an old writer.", id="slow")
    real = moving.exchange

    def exchange(store: object, columns: object) -> None:
        # The same rows that a merge begun before would add: an old vector, and none of the new model.
        index.add([late])
        real(store, columns)  # type: ignore[arg-type]

    monkeypatch.setattr(moving, "exchange", exchange)
    move(tmp_path / "kb", NEW)
    with Index(tmp_path / "kb", embedder=NEW) as moved:
        assert state_of(moved) == fresh(tmp_path / "fresh", [*DOCUMENTS, late])
        assert moved.search("slow writer", k=1, mode="dense")[0].chunk.doc_id == "slow"


def test_moving_back_embeds_only_what_changed(tmp_path: Path) -> None:
    index = make(tmp_path / "kb")
    before = state_of(index)
    move(tmp_path / "kb", NEW)
    changed = Document("Entirely different.", id="d2")
    with Index(tmp_path / "kb", embedder=NEW) as moved:
        moved.add([changed])
    report = move(tmp_path / "kb", OLD)
    assert report.embedded == 1
    assert report.kept == ("new",)
    with Index(tmp_path / "kb", embedder=OLD) as back:
        after = state_of(back)
        assert {one: after[one] for one in after if one in before} == {
            one: before[one] for one in before if before[one][0].doc_id != "d2"
        }
        assert len(after) == len([one for one in before.values() if one[0].doc_id != "d2"]) + 1
    assert drop_old_vectors(tmp_path / "kb") == 1
    assert drop_old_vectors(tmp_path / "kb") == 0
    assert move(tmp_path / "kb", NEW).embedded > 1


def test_giving_up(tmp_path: Path) -> None:
    index = make(tmp_path / "kb")
    assert not give_up_move(tmp_path / "kb")

    def fail() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        move(tmp_path / "kb", Hooked(fail))
    assert give_up_move(tmp_path / "kb")
    assert move_state(tmp_path / "kb").target is None
    assert index.search("word3", k=1)[0].chunk.doc_id == "d3"
    assert move(tmp_path / "kb", HashEmbedder(name="third")).model.name == "third"


def test_two_movers_and_a_writer_at_once(tmp_path: Path) -> None:
    index = make(tmp_path / "kb")
    extra = [Document(f"Extra text number {n}, of word{n}.", id=f"e{n}") for n in range(3)]
    errors: list[BaseException] = []
    added: list[Document] = []

    def run(act: object) -> None:
        try:
            act()  # type: ignore[operator]
        except StoreMismatchError:
            pass
        except BaseException as error:
            errors.append(error)

    def write() -> None:
        for one in extra:
            index.add([one])
            added.append(one)

    movers = [
        threading.Thread(target=run, args=(lambda: move(tmp_path / "kb", HashEmbedder(dim=24, name="new")),)) for _ in range(2)
    ]
    threads = [*movers, threading.Thread(target=run, args=(write,))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=120)
    assert not errors
    move(tmp_path / "kb", NEW)
    with Index(tmp_path / "kb", embedder=NEW) as moved:
        found = state_of(moved)
        assert {chunk.doc_id for chunk, _ in found.values()} == {one.id for one in [*DOCUMENTS, *added]}
        assert found == fresh(tmp_path / "fresh", [*DOCUMENTS, *added])


def test_windows_that_the_database_does_not_hold_are_refused(tmp_path: Path) -> None:
    class Wide:
        """Leaves the middle of each document out of its chunks, and lets the model read it."""

        recipe = '{"kind":"wide"}'

        def __call__(self, document: Document) -> list[Chunk]:
            first, *_, last = RecursiveChunker(max_tokens=6, tokenizer="words")(document)
            window = replace(first, window=replace_span(first, len(document.text)))
            return [window, replace(last, index=1)]

        def stream(self, documents: object) -> object:
            raise NotImplementedError

        def bind(self, tokenizer: object, *, window: int | None = None) -> object:
            return self

    index = make(tmp_path / "kb", Wide())  # type: ignore[arg-type]
    with pytest.raises(CapabilityError, match=r"no stored chunk holds \d+ to \d+.*another path"):
        move(tmp_path / "kb", NEW)
    assert index.search("word3", k=1)


def replace_span(chunk: Chunk, end: int) -> object:
    return chunk.window._replace(end=end)


def test_a_model_that_fails_leaves_the_old_one_in_use(tmp_path: Path) -> None:
    class Broken(HashEmbedder):
        def embed_batch(self, items: Items, /) -> Vectors:
            return np.zeros((sum(len(chunks) for _, chunks in items), self.card.dim), np.float32)

    index = make(tmp_path / "kb")
    with pytest.raises(EmbeddingError, match="all zeros"):
        move(tmp_path / "kb", Broken(name="broken"))
    assert index.search("word3", k=1)[0].chunk.doc_id == "d3"


def test_an_empty_database_moves_too(tmp_path: Path) -> None:
    make(tmp_path / "kb", documents=[]).close()
    assert move(tmp_path / "kb", NEW).chunks == 0
    with Index(tmp_path / "kb", embedder=NEW) as index:
        index.add(DOCUMENTS[:1])
        assert index.search("word0", k=1)
    with pytest.raises(StoreError, match="No index at"):
        move(tmp_path / "nothing", NEW)
