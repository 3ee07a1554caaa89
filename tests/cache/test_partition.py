"""Reading half of every vector finds the same rows as reading all of it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ragkit.cache.entry import Entry
from ragkit.cache.partition import Partition, above, nearest


def entry(name: int) -> Entry:
    texts = dict.fromkeys(("scope", "tenant", "key", "prompt", "answer", "model"), "")
    return Entry(id=str(name), rows=[], at=0, dim=8, expires=1.0, **texts)


@given(
    seed=st.integers(0, 999),
    count=st.integers(1, 120),
    dim=st.integers(1, 9),
    floor=st.floats(-1, 1),
    near=st.floats(0, 3),
    gone=st.floats(0, 0.9),
)
@settings(max_examples=150)
def test_nothing_above_the_floor_is_missed(seed: int, count: int, dim: int, floor: float, near: float, gone: float) -> None:
    random = np.random.default_rng(seed)
    rows = random.standard_normal((count + 1, dim)) + near * random.standard_normal(dim)
    rows = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    partition, entries = Partition(dim), [entry(number) for number in range(count)]
    for one, row in zip(entries, rows, strict=False):
        partition.add(one, row)
    for one in entries:
        if random.random() < gone:
            partition.remove(one)
            one.alive = False
    asked = rows[-1]
    found = {one.id: cosine for cosine, one in nearest(partition.view(), asked, floor)}
    wanted = {one.id: float(row @ asked) for one, row in zip(entries, rows, strict=False) if one.alive}
    sure = {name for name, cosine in wanted.items() if cosine >= floor + 1e-5}
    possible = {name for name, cosine in wanted.items() if cosine >= floor - 1e-5}
    assert sure <= found.keys() <= possible
    assert all(found[name] == pytest.approx(wanted[name], abs=1e-5) for name in found)
    assert list(found.values()) == sorted(found.values(), reverse=True)


def test_most_rows_are_read_by_half_only() -> None:
    """The work saved, counted by the rows whose second half is picked."""
    random = np.random.default_rng(0)
    partition = Partition(384)
    rows = random.standard_normal((3000, 384)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    for number, row in enumerate(rows):
        partition.add(entry(number), row)
    picked: list[int] = []

    class Counting(np.ndarray):
        def __getitem__(self, places):
            picked.append(len(places))
            return np.asarray(self)[places]

    view = partition.view()._replace(tails=partition.view().tails.view(Counting))
    places, _ = above(view, rows[7], 0.6)
    assert places.tolist() == [7]
    assert sum(picked) < 100
