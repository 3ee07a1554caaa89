"""Filters against a plain reading of their meaning, on random metadata with every type under every key."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ragkit.errors import FilterError
from ragkit.store import ChunkStore, Header, compile_where

KEYS = ["lang", "year", "a b", "quo'te", "do.t", "$", "", "\ud800", "\x1e", "doc_id"]
numbers = st.one_of(
    st.integers(-3, 3), st.sampled_from([2**53, 2**53 + 1, -(2**70), 10**400, 0.0, -0.0, 1.5, -1e-300]), st.floats(-4, 4)
)
strings = st.one_of(
    st.sampled_from(["", "a", "b", "3", "en", "None", "o'b", "\\", "\x1f", "\ue000", "\udfff", "é", "true"]), st.text(max_size=3)
)
scalars = st.one_of(st.none(), st.booleans(), numbers, strings)
values = st.one_of(scalars, st.lists(st.one_of(scalars, st.just([1])), max_size=3), st.just({"deep": 1}))
metadata = st.dictionaries(st.sampled_from([key for key in KEYS if key != "doc_id"]), values, max_size=4)


operands = scalars
operators = st.one_of(
    st.dictionaries(st.sampled_from(["$eq", "$ne", "$contains"]), operands, min_size=1, max_size=2),
    st.fixed_dictionaries({"$exists": st.booleans()}),
    st.dictionaries(st.sampled_from(["$gt", "$gte", "$lt", "$lte"]), st.one_of(numbers, strings), min_size=1, max_size=2),
    st.dictionaries(st.sampled_from(["$in", "$nin"]), st.lists(operands, max_size=3), min_size=1, max_size=2),
)
plain = st.dictionaries(
    st.sampled_from([key for key in KEYS if not key.startswith("$")]), st.one_of(operands, operators), max_size=2
)
filters = st.recursive(
    plain,
    lambda inner: st.one_of(
        st.fixed_dictionaries({"$and": st.lists(inner, min_size=1, max_size=3)}),
        st.fixed_dictionaries({"$or": st.lists(inner, min_size=1, max_size=3)}),
        st.fixed_dictionaries({"$not": inner}),
    ),
    max_leaves=4,
)


def kind(value: Any) -> str:
    if isinstance(value, bool) or value is None:
        return "other"
    return "number" if isinstance(value, (int, float)) else "text" if isinstance(value, str) else "other"


def comparable(value: Any) -> Any:
    """Numbers as 64-bit floats, the rest as it is with its type beside it."""
    if kind(value) == "number":
        try:
            return ("number", float(value))
        except OverflowError:
            return ("number", math.inf if value > 0 else -math.inf)
    return (type(value).__name__, value)


MISSING = object()


def holds(operator: str, value: Any, operand: Any) -> bool:
    if operator == "$exists":
        return (value is not MISSING) == operand
    if operator in ("$ne", "$nin"):
        return not holds("$eq" if operator == "$ne" else "$in", value, operand)
    if operator == "$in":
        return any(holds("$eq", value, one) for one in operand)
    if value is MISSING:
        return False
    if operator == "$contains":
        return isinstance(value, list) and any(holds("$eq", one, operand) for one in value)
    if isinstance(value, (list, dict)):
        return False
    if operator == "$eq":
        return bool(comparable(value) == comparable(operand))
    if kind(value) == "other" or kind(value) != kind(operand):
        return False
    one, other = comparable(value)[1], comparable(operand)[1]
    return bool({"$gt": one > other, "$gte": one >= other, "$lt": one < other, "$lte": one <= other}[operator])


def matches(where: Mapping[str, Any], row: Mapping[str, Any]) -> bool:
    results = []
    for key, value in where.items():
        if key == "$and":
            results.append(all(matches(one, row) for one in value))
        elif key == "$or":
            results.append(any(matches(one, row) for one in value))
        elif key == "$not":
            results.append(not matches(value, row))
        else:
            conditions = value if isinstance(value, Mapping) else {"$eq": value}
            results.append(all(holds(operator, row.get(key, MISSING), operand) for operator, operand in conditions.items()))
    return all(results)


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory, header: Header) -> ChunkStore:
    return ChunkStore.open(tmp_path_factory.mktemp("filters") / "kb", create=header)


@settings(max_examples=60)
@given(rows=st.tuples(*[metadata] * 6), questions=st.tuples(*[filters] * 4))
def test_filters_mean_what_they_say(
    shelf: ChunkStore, make_rows: Any, rows: tuple[dict[str, Any], ...], questions: tuple[dict[str, Any], ...]
) -> None:
    stored = {f"d{place}": row for place, row in enumerate(rows)}
    shelf.put([make_rows(doc_id, [f"word {doc_id}"], metadata=row) for doc_id, row in stored.items()])
    vector = [1.0] * 8
    for where in questions:
        expected = sorted(doc_id for doc_id, row in stored.items() if matches(where, row | {"doc_id": doc_id}))
        near = shelf.nearest(vector, limit=10, where=where)  # type: ignore[arg-type]
        assert sorted(row.chunk.doc_id for row in near) == expected, where
        words = shelf.matching(["word"], limit=10, where=where)
        assert sorted(row.chunk.doc_id for row in words) == expected, where


@pytest.mark.parametrize(
    "where",
    [
        "lang = 'en'", ["lang"], {1: "x"}, {"$xor": []}, {"$and": {}}, {"$or": []}, {"$not": "x"}, {"year": {}}, {"year": {"$near": 3}},
        {"year": {"gte": 3}}, {"tags": ["a"]}, {"year": {"$gt": None}}, {"year": {"$lt": True}}, {"year": {"$in": "abc"}},
        {"year": {"$exists": 1}}, {"year": float("nan")}, {"year": {"$gt": float("inf")}}, {"year": {"$eq": {"a": 1}}}, {"x": object()},
        {"$and": [{"a": 1}, 3]}, {"x": {"$contains": ["a"]}},
    ],
)  # fmt: skip
def test_what_is_no_filter_is_refused_with_a_reason(where: Any) -> None:
    with pytest.raises(FilterError, match=r"\w{3}"):
        compile_where(where)


def test_filters_too_large_for_the_planner_are_refused() -> None:
    deep: dict[str, Any] = {"a": 1}
    for _ in range(40):
        deep = {"$not": deep}
    with pytest.raises(FilterError, match="deep"):
        compile_where(deep)
    with pytest.raises(FilterError, match="1000"):
        compile_where({"$or": [{"a": number} for number in range(2000)]})


def test_the_largest_filters_allowed_are_answered(shelf: ChunkStore, make_rows: Any) -> None:
    shelf.put([make_rows("d0", ["word"], metadata={"a": 999})])
    # Eight pairs of $not and $and, as deep as allowed; an even number, so that the negations cancel.
    deep: dict[str, Any] = {"a": 999}
    for _ in range(8):
        deep = {"$not": {"$and": [deep, {"doc_id": "d0"}]}}
    here = {"doc_id": "d0"}
    for where in ({"$or": [{"a": number} for number in range(1, 1000)]}, {"a": {"$in": list(range(20_000))}}, deep):
        assert [row.chunk.doc_id for row in shelf.matching(["word"], limit=10, where=here | where)] == ["d0"]


def test_nothing_to_filter() -> None:
    assert compile_where(None) is None
    assert compile_where({}) is None
    assert compile_where({"$or": [{}, {"a": 1}]}) is None
