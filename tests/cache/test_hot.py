"""What rows add up to does not depend on their order, and removing dead rows changes nothing."""

from __future__ import annotations

import random
from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from ragkit.cache.entry import Drop
from ragkit.cache.hot import HotSet
from ragkit.store.entries import LogRow

WRITERS = ["", "eve", "bob"]
NAMES = [f"e{number}" for number in range(8)]


def put(at: int, number: int, key: int, writer: str, tag: str, model: str) -> LogRow:
    detail = {"writer": writer, "tags": [tag], "documents": [[f"d{number % 3}", "v"]]}
    return LogRow(
        row=0,
        kind="put",
        at=at,
        entry=f"e{number}",
        scope=f"s{key % 2}",
        key=f"k{key}",
        model=model,
        vector=np.ones(4, "f4").tobytes(),
        detail=detail,
    )


DROPS = (
    st.builds(lambda name: {"entries": frozenset([name])}, st.sampled_from(NAMES))
    | st.sampled_from([{"tags": frozenset(["t0"])}, {"documents": frozenset(["d1"])}, {"scope": "s1"}, {"everything": True}])
    | st.builds(lambda before: {"before": before}, st.integers(0, 20))
)


@st.composite
def histories(draw) -> list[LogRow]:
    """Puts (each entry once or twice, then with another model's vector), drops and notes at random times."""
    rows = []
    for number in range(len(NAMES)):
        if draw(st.booleans()):
            key, writer = draw(st.integers(0, 3)), draw(st.sampled_from(WRITERS))
            at, tag = draw(st.integers(0, 20)), f"t{draw(st.integers(0, 2))}"
            rows.append(put(at, number, key, writer, tag, "old"))
            if draw(st.booleans()):
                rows.append(put(at, number, key, writer, tag, "new"))
    times = draw(st.lists(st.integers(0, 20), max_size=3))
    rows += [LogRow(row=0, kind="drop", at=at, detail=Drop(at=at, **draw(DROPS)).to_dict()) for at in times]
    for name in draw(st.lists(st.sampled_from(NAMES), max_size=3)):
        detail = draw(st.sampled_from([{"wrong": 1}, {"group": "g"}]))
        rows.append(LogRow(row=0, kind="note", at=draw(st.integers(0, 20)), entry=name, detail=detail))
    return [replace(row, row=number) for number, row in enumerate(rows)]


def state(hot: HotSet) -> dict[str, tuple]:
    found = {
        one.id: (one.key, one.owner, one.wrong, one.group, one.model, one.slot >= 0, hot.exact(one.key, one.owner) is not None)
        for one in hot
    }
    rows = sum(len(hot.view(scope).entries) - hot._partitions[scope]._dead for scope in ("s0", "s1") if hot.view(scope))
    assert rows == sum(one.slot >= 0 for one in hot)
    assert hot.size == sum(one.size for one in hot)
    return found


def folded(rows: list[LogRow]) -> HotSet:
    hot = HotSet("new", 4)
    for row in rows:
        hot.apply(row)
    return hot


@settings(max_examples=120)
@given(histories(), st.randoms(use_true_random=False))
def test_the_order_of_arrival_does_not_matter(rows: list[LogRow], source: random.Random):
    shuffled = rows.copy()
    source.shuffle(shuffled)
    assert state(folded(rows)) == state(folded(shuffled))


@settings(max_examples=120)
@given(histories(), st.randoms(use_true_random=False))
def test_deleting_dead_rows_in_their_order_changes_nothing_even_when_it_is_interrupted(rows, source: random.Random):
    hot = folded(rows)
    before = state(hot)
    dead = hot.buried(before=1_000)
    for kept in (len(dead), source.randint(0, len(dead))):
        gone = set(dead[:kept])
        left = [row for row in rows if row.row not in gone]
        source.shuffle(left)
        assert state(folded(left)) == before
