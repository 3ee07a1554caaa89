"""The file of embeddings keeps to its size, and keeps the newest."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from ragkit.proxy.vectors import Vectors


@settings(max_examples=15)
@given(sizes=st.lists(st.integers(1, 400), min_size=60, max_size=120))
def test_the_newest_stay_and_the_file_does_not_grow(tmp_path_factory: object, sizes: list[int]) -> None:
    folder: Path = tmp_path_factory.mktemp("vectors")  # type: ignore[attr-defined]
    limit = 64 * 1024
    vectors = Vectors(folder / "v", limit=limit)
    for number, size in enumerate(sizes):
        vectors.save({f"{number}-{part}": [0.5] * size for part in range(3)})
    newest = len(sizes) - 1
    assert vectors.load([f"{newest}-2"]) == {f"{newest}-2": [0.5] * sizes[-1]}
    known = vectors.load([f"{number}-0" for number in range(len(sizes))])
    first = min(int(key.partition("-")[0]) for key in known)
    assert len(known) == len(sizes) - first
    vectors.close()
    # A commit may be over the limit while it lasts.
    assert (folder / "v").stat().st_size <= limit + 32 * 1024


def test_without_a_limit_everything_stays(tmp_path: Path) -> None:
    vectors = Vectors(tmp_path / "v")
    for number in range(50):
        vectors.save({str(number): [0.1] * 500})
    assert len(vectors) == 50
    vectors.save({"7": "again"})
    assert len(vectors) == 50
    assert vectors.load(["7", "8", "x"]) == {"7": "again", "8": [0.1] * 500}
    vectors.close()
