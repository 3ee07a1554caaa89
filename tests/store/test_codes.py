"""The side tables of codes: what goes in comes out, whole or not at all."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ragkit.errors import StoreCorruptError, StoreFormatError, StoreMismatchError
from ragkit.store.codes import CodeRows, CodeTable

WIDTH = 4
NAMES = st.text("aé'\"/猫\x00\ud800 ", min_size=1, max_size=5)


def rows(windows: dict[str, int], *, seed: int = 0) -> CodeRows:
    """Random codes of as many windows as asked for."""
    pairs = [(chunk, place, count) for chunk, count in windows.items() for place in range(count)]
    random = np.random.default_rng(seed)
    return CodeRows(
        chunk_ids=[chunk for chunk, _, _ in pairs],
        window=np.array([place for _, place, _ in pairs], np.int32),
        windows=np.array([count for _, _, count in pairs], np.int32),
        counts=random.integers(0, 5, len(pairs)).astype(np.int32),
        codes=random.integers(0, 256, (len(pairs), WIDTH), dtype=np.uint8),
    )


def keys(found: CodeRows, mark: str = "k") -> list[str]:
    return [mark + chunk.encode("utf-8", "surrogatepass").hex() for chunk in found.chunk_ids]


def table(path: Path, **header: str) -> CodeTable:
    return CodeTable.create(path, "ab12", header, width=WIDTH)


@settings(max_examples=8)
@given(windows=st.dictionaries(NAMES, st.integers(1, 3), max_size=5), unknown=NAMES)
def test_what_goes_in_comes_out_by_chunk_and_window(windows: dict[str, int], unknown: str) -> None:
    with TemporaryDirectory() as folder:
        made = table(Path(folder))
        put = rows(windows)
        made.put(put, keys(put))
        again = CodeTable.open(Path(folder), "ab12")
        assert again is not None
        assert CodeTable.marks(Path(folder)) == ["ab12"]
        found = again.read([*reversed(windows), unknown])
        order = sorted(range(len(put.chunk_ids)), key=lambda place: (put.chunk_ids[place], put.window[place]))
        assert found.chunk_ids == [put.chunk_ids[place] for place in order]
        for name in ("window", "windows", "counts", "codes"):
            np.testing.assert_array_equal(getattr(found, name), getattr(put, name)[order])
        assert again.keys() == dict(zip(put.chunk_ids, keys(put), strict=True))


def test_a_chunk_put_again_loses_the_windows_it_has_no_more(tmp_path: Path) -> None:
    made = table(tmp_path)
    for windows, seed in (({"a": 3, "b": 1}, 1), ({"a": 2}, 2)):
        put = rows(windows, seed=seed)
        made.put(put, keys(put, mark=str(seed)))
    assert made.read(["a"]).windows.tolist() == [2, 2]
    assert {chunk: key[0] for chunk, key in made.keys().items()} == {"a": "2", "b": "1"}


def test_incomplete_windows_are_no_code(tmp_path: Path) -> None:
    made = table(tmp_path)
    put = rows({"a": 2})
    half = CodeRows(
        chunk_ids=put.chunk_ids[:1], window=put.window[:1], windows=put.windows[:1], counts=put.counts[:1], codes=put.codes[:1]
    )
    made.put(half, ["k"])
    assert made.keys(["a", "b"]) == {"a": ""}


def test_deleting_optimizing_and_dropping(tmp_path: Path) -> None:
    made = table(tmp_path)
    made.optimize()
    for place in range(8):
        put = rows({f"chunk {place}": 1})
        made.put(put, keys(put))
    made.delete(["chunk 3", "nobody"])
    made.optimize()
    made.optimize()
    assert len(made.read([f"chunk {place}" for place in range(8)]).chunk_ids) == 7
    made.drop()
    made.drop()
    assert CodeTable.open(tmp_path, "ab12") is None
    assert CodeTable.marks(tmp_path) == []


def test_another_header_under_the_same_mark_is_refused(tmp_path: Path) -> None:
    table(tmp_path, reader="one")
    assert table(tmp_path, reader="one").header["reader"] == "one"
    with pytest.raises(StoreMismatchError, match="drop"):
        table(tmp_path, reader="other")


@pytest.mark.parametrize(("header", "error"), [({"format": 99}, StoreFormatError), (None, StoreCorruptError)])
def test_headers_that_cannot_be_read(tmp_path: Path, header: dict[str, int] | None, error: type[Exception]) -> None:
    import json

    import lancedb
    import pyarrow as pa

    metadata = None if header is None else {b"ragkit": json.dumps(header)}
    lancedb.connect(tmp_path).create_table("codes_ab12", schema=pa.schema([pa.field("id", pa.string())], metadata=metadata))
    with pytest.raises(error):
        CodeTable.open(tmp_path, "ab12")


def test_writers_at_once_lose_and_double_nothing(tmp_path: Path) -> None:
    table(tmp_path)

    def write(names: Sequence[str]) -> None:
        own = CodeTable.open(tmp_path, "ab12")
        assert own is not None
        put = rows(dict.fromkeys(names, 1))
        own.put(put, keys(put))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, [["a", "b"], ["b", "c"], ["c", "d"], ["d", "a"]]))
    assert table(tmp_path).read(["a", "b", "c", "d"]).chunk_ids == ["a", "b", "c", "d"]
