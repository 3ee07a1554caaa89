"""What stands at the path may be anything: files, other folders, newer formats, and what a bad disk left."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ragkit.errors import StoreCorruptError, StoreError, StoreFormatError, StoreFullError
from ragkit.store import FORMAT, ChunkStore, Header


def test_no_database_and_none_wanted(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="No index at"):
        ChunkStore.open(tmp_path / "kb")
    assert not (tmp_path / "kb").exists()


def test_parents_are_made(tmp_path: Path, header: Header) -> None:
    ChunkStore.open(tmp_path / "deep" / "er" / "kb", create=header).close()
    assert ChunkStore.exists(tmp_path / "deep" / "er" / "kb")


def test_a_file_is_no_database(tmp_path: Path, header: Header) -> None:
    (tmp_path / "kb").write_text("hello")
    with pytest.raises(StoreError, match="is a file"):
        ChunkStore.open(tmp_path / "kb", create=header)
    with pytest.raises(StoreError):
        ChunkStore.open(tmp_path / "kb" / "below", create=header)
    assert (tmp_path / "kb").read_text() == "hello"


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path, header: Header) -> None:
    (tmp_path / "letter.txt").write_text("hello")
    with pytest.raises(StoreError, match="no database of ragkit"):
        ChunkStore.open(tmp_path, create=header)
    assert [file.name for file in tmp_path.iterdir()] == ["letter.txt"]


def test_a_table_of_another_program(tmp_path: Path, header: Header) -> None:
    import lancedb

    lancedb.connect(tmp_path).create_table("chunks", [{"id": "a", "vector": [1.0, 2.0]}])
    with pytest.raises(StoreError, match="did not write"):
        ChunkStore.open(tmp_path, create=header)


def test_a_newer_format(tmp_path: Path, header: Header) -> None:
    ChunkStore.open(tmp_path / "kb", create=replace(header, format=FORMAT + 1, ragkit="99.0")).close()
    with pytest.raises(StoreFormatError, match=r"99\.0.*Upgrade"):
        ChunkStore.open(tmp_path / "kb")


def test_the_header_comes_back(tmp_path: Path, header: Header) -> None:
    strange = replace(header, analyzer="ä\ud800\x00", chunker="{}")
    ChunkStore.open(tmp_path / "kb", create=strange).close()
    assert ChunkStore.open(tmp_path / "kb").header == strange


def test_an_unreadable_header(tmp_path: Path) -> None:
    import lancedb
    import pyarrow as pa

    for place, value in enumerate([b"{", b"{}", b'{"format": 1, "card": {}}']):
        schema = pa.schema([("id", pa.string())], metadata={"ragkit": value})
        lancedb.connect(tmp_path / str(place)).create_table("chunks", schema=schema)
        with pytest.raises(StoreCorruptError, match="header"):
            ChunkStore.open(tmp_path / str(place))


def test_a_creation_that_was_killed_is_taken_up(tmp_path: Path, header: Header) -> None:
    for leftover in ("chunks.lance/_versions", "chunks.lance/_transactions"):
        (tmp_path / "kb" / leftover).mkdir(parents=True)
    ChunkStore.open(tmp_path / "kb", create=header).close()
    ChunkStore.open(tmp_path / "kb").close()


def use(path: Path) -> None:
    """Open, and touch every file."""
    store = ChunkStore.open(path)
    store.stats()
    store.nearest(np.ones(8, np.float32), limit=5)
    store.matching(["one"], limit=5)


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory, header: Header, make_rows: Any) -> Path:
    path = tmp_path_factory.mktemp("sound") / "kb"
    store = ChunkStore.open(path, create=header)
    store.put([make_rows(f"d{number}", ["one two ", "three"]) for number in range(30)])
    store.delete(["d3"])
    store.optimize()
    store.close()
    use(path)
    return path


@pytest.mark.parametrize("part", ["data", "_versions", "_indices"])
@pytest.mark.parametrize("damage", ["remove", "halve", "empty", "scramble"])
def test_damaged_files_are_named_as_such(sound: Path, tmp_path: Path, part: str, damage: str) -> None:
    path = tmp_path / "kb"
    shutil.copytree(sound, path)
    files = [file for file in (path / "chunks.lance" / part).rglob("*") if file.is_file()]
    assert files
    for file in files:
        body = file.read_bytes()
        if damage == "remove":
            file.unlink()
        else:
            file.write_bytes({"halve": body[: len(body) // 2], "empty": b"", "scramble": os.urandom(len(body))}[damage])
    with pytest.raises(StoreCorruptError, match=r"kb.*(backup|rebuild|again)"):
        use(path)


def test_a_lost_text_index_is_built_anew(sound: Path, tmp_path: Path) -> None:
    path = tmp_path / "kb"
    shutil.copytree(sound, path)
    shutil.rmtree(path / "chunks.lance" / "_indices")
    store = ChunkStore.open(path)
    store.optimize()
    assert len(store.matching(["one"], limit=99)) == 29


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 3 MB of its own."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(place)], capture_output=True, check=False)
    if mounted.returncode:
        pytest.skip("mounting a small file system is not allowed here")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def test_a_full_disk_keeps_what_was_committed(small_disk: Path, header: Header, make_rows: Any) -> None:
    store = ChunkStore.open(small_disk / "kb", create=header)
    rng = np.random.default_rng(0)

    def document(number: int) -> Any:
        return make_rows(f"d{number}", [rng.bytes(6_000).hex() + f" common{number}" for _ in range(20)])

    committed: list[int] = []

    def fill() -> None:
        for number in range(40):
            store.put([document(number)])
            committed.append(number)

    with pytest.raises(StoreFullError, match="space"):
        fill()
    assert committed
    for reader in (store, ChunkStore.open(small_disk / "kb")):
        assert len(reader.document_ids()) == len(committed)
        assert len(reader.nearest(np.ones(8, np.float32), limit=999)) == len(committed) * 20
    with pytest.raises(StoreFullError):
        ChunkStore.open(small_disk / "other" / "kb", create=header).put([document(99)])
