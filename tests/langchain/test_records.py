"""The record manager in the index's own database, and LangChain's indexing from end to end."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from langchain_core.documents import Document
from langchain_core.indexing import aindex, index

from ragkit import Index
from ragkit.errors import InvalidInputError, StoreError
from ragkit.langchain import RagkitRecordManager, RagkitVectorStore
from ragkit.testing.embedders import HashEmbedder

CLEANUPS = ["incremental", "full", "scoped_full"]


@pytest.fixture
def kb(tmp_path: Path) -> Iterator[Index]:
    with Index(tmp_path / "kb.lance", embedder=HashEmbedder()) as opened:
        yield opened


@pytest.fixture
def manager(kb: Index) -> RagkitRecordManager:
    return RagkitRecordManager(kb, namespace="docs")


def document(text: str, source: str) -> Document:
    return Document(page_content=text, metadata={"source": source})


def texts(kb: Index) -> list[str]:
    return sorted(chunk.text for doc_id in kb.document_ids() for chunk in kb.chunks_of(doc_id))


def run(documents: list[Document], manager: RagkitRecordManager, cleanup: Any, **more: Any) -> tuple[int, int, int, int]:
    counts = index(
        documents,
        manager,
        RagkitVectorStore(manager.index),
        cleanup=cleanup,
        source_id_key=None if cleanup is None else "source",
        key_encoder="sha256",
        **more,
    )
    return counts["num_added"], counts["num_updated"], counts["num_skipped"], counts["num_deleted"]


OLD = [document("dogs bark", "a"), document("cats purr", "a"), document("cars honk", "b")]


class TestIndexing:
    def test_nothing_is_deleted_without_cleanup(self, kb: Index, manager: RagkitRecordManager) -> None:
        assert run(OLD, manager, None) == (3, 0, 0, 0)
        assert run([document("dogs howl", "a")], manager, None) == (1, 0, 0, 0)
        assert run(OLD, manager, None) == (0, 0, 3, 0)
        assert texts(kb) == ["cars honk", "cats purr", "dogs bark", "dogs howl"]

    @pytest.mark.parametrize("cleanup", ["incremental", "scoped_full"])
    def test_sources_may_be_numbers(self, kb: Index, manager: RagkitRecordManager, cleanup: str) -> None:
        first, second = (Document(page_content=text, metadata={"source": 7}) for text in ("dogs bark", "dogs howl"))
        assert run([first], manager, cleanup) == (1, 0, 0, 0)
        assert run([first], manager, cleanup) == (0, 0, 1, 0)
        assert run([second], manager, cleanup) == (1, 0, 0, 1)
        assert texts(kb) == ["dogs howl"]

    @pytest.mark.parametrize("cleanup", CLEANUPS)
    @pytest.mark.parametrize("batch_size", [1, 100])
    def test_what_changed_replaces_what_was(self, kb: Index, manager: RagkitRecordManager, cleanup: str, batch_size: int) -> None:
        """A new version of source a: its other documents go; those of b only in full clean-up."""
        assert run(OLD, manager, cleanup, batch_size=batch_size) == (3, 0, 0, 0)
        again = run(OLD, manager, cleanup, batch_size=batch_size)
        # Incremental clean-up looks at one batch at a time, as LangChain says: a source spread over two is done again in part.
        in_parts = cleanup == "incremental" and batch_size == 1
        assert again == ((1, 0, 2, 1) if in_parts else (0, 0, 3, 0))
        kept = [] if cleanup == "full" else ["cars honk"]
        new = [document("dogs bark", "a"), document("dogs howl", "a")]
        counts = run(new, manager, cleanup, batch_size=batch_size)
        assert texts(kb) == sorted(["dogs bark", "dogs howl", *kept])
        assert in_parts or counts == (1, 0, 1, 2 - len(kept))
        assert len(manager.list_keys()) == len(texts(kb))

    def test_full_with_nothing_left(self, kb: Index, manager: RagkitRecordManager) -> None:
        run(OLD, manager, "full")
        assert run([], manager, "full") == (0, 0, 0, 3)
        assert texts(kb) == []
        assert manager.list_keys() == []

    def test_forced(self, manager: RagkitRecordManager) -> None:
        run(OLD, manager, None)
        assert run(OLD, manager, None, force_update=True) == (0, 3, 0, 0)

    @pytest.mark.parametrize("cleanup", [None, *CLEANUPS])
    async def test_async(self, kb: Index, manager: RagkitRecordManager, cleanup: Any) -> None:
        store = RagkitVectorStore(kb)
        await manager.acreate_schema()
        key = None if cleanup is None else "source"

        async def turn(documents: list[Document]) -> Any:
            return await aindex(documents, manager, store, cleanup=cleanup, source_id_key=key, key_encoder="sha256")

        assert (await turn(OLD))["num_added"] == 3
        assert (await turn(OLD))["num_skipped"] == 3
        counts = await turn([document("dogs howl", "a")])
        gone = {None: 0, "incremental": 2, "scoped_full": 2, "full": 3}[cleanup]
        assert (counts["num_added"], counts["num_deleted"]) == (1, gone)
        assert len(texts(kb)) == 4 - gone == len(await manager.alist_keys())

    def test_what_was_deleted_behind_its_back_is_added_again(self, kb: Index, manager: RagkitRecordManager) -> None:
        """The complaint that ends here: a manager that says "exists" of documents that are gone."""
        run(OLD, manager, "full")
        kb.delete(kb.document_ids()[0])
        assert run(OLD, manager, "full") == (1, 0, 2, 0)
        assert len(texts(kb)) == 3

    def test_a_run_that_died_in_between_is_made_good(
        self, kb: Index, manager: RagkitRecordManager, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Documents stored and not noted, or noted without their group: the next run ends where an unbroken one would."""

        def killed(*given: Any, **named: Any) -> None:
            raise StoreError("killed")

        with monkeypatch.context() as patch:
            patch.setattr(manager, "update", killed)
            with pytest.raises(StoreError):
                run(OLD, manager, "incremental")
        assert len(texts(kb)) == 3
        run(OLD, manager, "incremental")
        manager.update(manager.list_keys(), time_at_least=None)
        assert run([document("dogs howl", "a")], manager, "incremental")[3] == 2

    def test_namespaces_do_not_see_each_other(self, kb: Index, manager: RagkitRecordManager) -> None:
        other = RagkitRecordManager(kb, namespace="more")
        run(OLD, manager, "full")
        run([document("trains rattle", "c")], other, "full")
        assert len(texts(kb)) == 4
        assert len(other.list_keys()) == 1
        with pytest.raises(InvalidInputError, match="namespace is ''"):
            RagkitRecordManager(kb, namespace="")

    def test_moved_together(self, kb: Index, manager: RagkitRecordManager, tmp_path: Path) -> None:
        run(OLD, manager, "full")
        kb.close()
        moved = kb.path.rename(tmp_path / "elsewhere.lance")
        with Index(moved, embedder=HashEmbedder()) as again:
            assert run(OLD, RagkitRecordManager(again, namespace="docs"), "full") == (0, 0, 3, 0)


class TestRecords:
    def test_before_anything_was_written(self, manager: RagkitRecordManager) -> None:
        assert manager.list_keys() == []
        assert manager.exists(["a"]) == [False]
        manager.delete_keys(["a"])
        assert manager.get_time() == pytest.approx(time.time(), abs=5)
        manager.create_schema()
        manager.create_schema()
        assert manager.list_keys() == []

    def test_filters(self, manager: RagkitRecordManager) -> None:
        manager.update(["a", "b"], group_ids=["x", None])
        between = manager.get_time()
        manager.update(["c", "a"], group_ids=["y", "x"])
        assert manager.list_keys(before=between) == ["b"]
        assert manager.list_keys(after=between - 1e-6) == ["a", "c"]
        assert manager.list_keys(group_ids=["x", "y"]) == ["a", "c"]
        assert manager.list_keys(group_ids=[]) == []
        assert manager.list_keys(limit=1) == ["b"]
        manager.delete_keys(["a", "zzz"])
        assert sorted(manager.list_keys()) == ["b", "c"]

    def test_groups_are_kept_where_none_are_given(self, manager: RagkitRecordManager) -> None:
        manager.update(["a"], group_ids=["x"])
        manager.update(["a", "b"])
        assert manager.list_keys(group_ids=["x"]) == ["a"]

    def test_any_text_is_a_key(self, manager: RagkitRecordManager) -> None:
        keys = ["it's", 'a"b', "x\x00y", "\ud800", "日本語", " ", "a" * 5000, "--; DROP"]
        manager.update(keys, group_ids=keys)
        assert sorted(manager.list_keys()) == sorted(keys)
        assert [manager.list_keys(group_ids=[key]) for key in keys] == [[key] for key in keys]
        manager.delete_keys(keys)
        assert manager.list_keys() == []

    def test_times_never_go_back(self, manager: RagkitRecordManager, monkeypatch: pytest.MonkeyPatch) -> None:
        """A clock set back by an hour: what is written later is later all the same, and nothing old survives a clean-up."""
        run(OLD, manager, "full")
        before = manager.get_time()
        now = time.time_ns()
        monkeypatch.setattr(time, "time_ns", lambda: now - 3600 * 10**9)
        assert manager.get_time() >= before - 1
        assert run([OLD[0]], manager, "full") == (0, 0, 1, 2)
        assert run([OLD[1]], manager, "full") == (1, 0, 0, 1)

    def test_a_time_ahead_is_refused(self, manager: RagkitRecordManager) -> None:
        with pytest.raises(StoreError, match="lies ahead"):
            manager.update(["a"], time_at_least=manager.get_time() + 60)
        with pytest.raises(InvalidInputError, match="2 keys and 1 group_ids"):
            manager.update(["a", "b"], group_ids=["x"])

    def test_many_writers_lose_nothing(self, kb: Index) -> None:
        """Eight managers of their own note overlapping keys at once: every key is there, once."""
        managers = [RagkitRecordManager(kb, namespace="docs") for _ in range(8)]

        def write(at: int) -> None:
            managers[at].update([f"key{key}" for key in range(at * 5, at * 5 + 10)], group_ids=[f"{at}"] * 10)

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(write, range(8)))
        assert sorted(managers[0].list_keys()) == sorted(f"key{key}" for key in range(45))
