"""Declared columns against a plain reading of their types, added early and late, by one process and by several."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ragkit.errors import FilterError, InvalidInputError, StoreMismatchError
from ragkit.store import ChunkStore, Column, Header, compile_where, declare
from ragkit.store.columns import declared
from ragkit.store.database import ensure_column_indexes

COLUMNS = declared(
    {"flag": bool, "year": int, "score": float, "la'ng": str, "at": datetime, "nums": list[int], "Tags \ud800": list[str]}
)
WHOLE = st.one_of(st.integers(-3, 3), st.sampled_from([2**63 - 1, 1 - 2**63, 2**53 + 1]))
REAL = st.one_of(st.integers(-3, 3), st.sampled_from([0.0, -0.0, 2.5, -1e-300, 1e300]))
TEXT = st.sampled_from(["", "a", "b", "o'b", "é", "\ud800", "\ue000", "a\x00b", "日本"])
DAYS = ["2024-02-29", "2024-03-01", "1969-12-31", "0001-01-01", "9999-12-31"]
TIMES = st.sampled_from(
    [*DAYS, "2024-02-29T23:59:59.999999+00:00", "2024-03-01T00:30:00+02:00", "2024-02-29T12:00:00", "20240301T000000Z"]
)
VALUES = {
    "flag": st.booleans(),
    "year": WHOLE,
    "score": REAL,
    "la'ng": TEXT,
    "at": TIMES,
    "nums": st.lists(WHOLE, max_size=3),
    "Tags \ud800": st.lists(TEXT, max_size=3),
}
ROWS = st.fixed_dictionaries({}, optional={key: st.one_of(st.none(), values) for key, values in VALUES.items()})
OTHER_NUMBERS = st.sampled_from([2.5, -2.5, 1e300, -1e300, 10**400, -(10**400), 2**63, -(2**63)])
MOMENTS = st.one_of(TIMES, st.sampled_from([date(2024, 2, 29), datetime(2024, 3, 1, tzinfo=timezone(timedelta(hours=2)))]))
OPERANDS: dict[str, st.SearchStrategy[Any]] = {
    **VALUES, "year": st.one_of(WHOLE, OTHER_NUMBERS), "score": st.one_of(REAL, OTHER_NUMBERS), "at": MOMENTS, "nums": WHOLE, "Tags \ud800": TEXT,
}  # fmt: skip


def conditions(key: str) -> st.SearchStrategy[Any]:
    operand = OPERANDS[key]
    some = st.lists(operand, max_size=3)
    either = {"$exists": st.booleans(), "$null": st.booleans(), "$eq": st.none(), "$ne": st.none()}
    if key in ("nums", "Tags \ud800"):
        operators = {"$contains": operand, "$contains_any": some, "$contains_all": some}
    else:
        operators = {"$eq": operand, "$ne": operand, "$in": st.lists(st.one_of(st.none(), operand), max_size=3), "$nin": some}
        if key != "flag":
            operators |= dict.fromkeys(["$gt", "$gte", "$lt", "$lte"], operand)
    choices = [st.tuples(st.just(name), values) for name, values in (*operators.items(), *either.items())]
    return st.lists(st.one_of(choices), min_size=1, max_size=2).map(dict)


plain = st.sampled_from(sorted(VALUES)).flatmap(lambda key: st.fixed_dictionaries({key: conditions(key)}))
filters = st.recursive(
    plain,
    lambda inner: st.one_of(
        st.fixed_dictionaries({"$and": st.lists(inner, min_size=1, max_size=3)}),
        st.fixed_dictionaries({"$or": st.lists(inner, min_size=1, max_size=3)}),
        st.fixed_dictionaries({"$not": inner}),
    ),
    max_leaves=4,
)


def window(value: Any) -> tuple[datetime, datetime]:
    """A moment twice, or the begin and end of a day; the last day there is ends with its last microsecond."""
    if isinstance(value, str):
        value = date.fromisoformat(value) if value in DAYS else datetime.fromisoformat(value)
    if isinstance(value, datetime):
        moment = value if value.tzinfo else value.replace(tzinfo=UTC)
        return moment, moment
    begin = datetime(value.year, value.month, value.day, tzinfo=UTC)
    return begin, begin + timedelta(days=1, microseconds=-1)


def order(key: str, value: Any) -> Any:
    return window(value)[0] if key == "at" else value


def holds(key: str, operator: str, row: Mapping[str, Any], operand: Any) -> bool:
    value = row.get(key)
    if operator == "$exists":
        return (key in row) == operand
    if operator == "$null":
        return (value is None) == operand
    if operator in ("$ne", "$nin"):
        return not holds(key, {"$ne": "$eq", "$nin": "$in"}[operator], row, operand)
    if operator == "$in":
        return any(holds(key, "$eq", row, one) for one in operand)
    if operand is None:
        return key in row and value is None
    if value is None:
        return False
    if operator.startswith("$contains"):
        wanted = [operand] if operator == "$contains" else operand
        return (all if operator == "$contains_all" else any)(one in value for one in wanted)
    if key == "at":
        stored, (begin, end) = window(value)[0], window(operand)
        return {
            "$eq": begin <= stored <= end, "$gt": stored > end, "$gte": stored >= begin, "$lt": stored < begin, "$lte": stored <= end,
        }[operator]  # fmt: skip
    if operator == "$eq":
        return bool(value == operand)
    return bool({"$gt": value > operand, "$gte": value >= operand, "$lt": value < operand, "$lte": value <= operand}[operator])


def matches(where: Mapping[str, Any], row: Mapping[str, Any]) -> bool:
    ((key, value),) = where.items()
    if key in ("$and", "$or"):
        return (all if key == "$and" else any)(matches(one, row) for one in value)
    if key == "$not":
        return not matches(value, row)
    return all(holds(key, operator, row, operand) for operator, operand in value.items())


@pytest.fixture(scope="module", params=["declared", "added", "format 1"])
def shelf(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, header: Header) -> ChunkStore:
    """A database made with the columns, one that was given them later, and an old one."""
    path = tmp_path_factory.mktemp("columns") / "kb"
    if request.param == "declared":
        store = ChunkStore.open(path, create=header.declaring(COLUMNS))
    else:
        store = ChunkStore.open(path, create=replace(header, format=1) if request.param == "format 1" else header)
        declare(store, COLUMNS)
    store.write("indexing", ensure_column_indexes)
    return store


@settings(max_examples=12)
@given(rows=st.tuples(*[ROWS] * 6), questions=st.tuples(*[filters] * 4))
def test_typed_filters_mean_what_they_say(
    shelf: ChunkStore, make_rows: Any, rows: tuple[dict[str, Any], ...], questions: tuple[dict[str, Any], ...]
) -> None:
    stored = {f"d{place}": row for place, row in enumerate(rows)}
    shelf.put([make_rows(doc_id, [f"word {doc_id}"], metadata=row) for doc_id, row in stored.items()])
    for where in questions:
        expected = sorted(doc_id for doc_id, row in stored.items() if matches(where, row))
        near = shelf.nearest([1.0] * 8, limit=10, where=where)  # type: ignore[arg-type]
        assert sorted(row.chunk.doc_id for row in near) == expected, where
        words = shelf.matching(["word"], limit=10, where=where)
        assert sorted(row.chunk.doc_id for row in words) == expected, where
        assert all(dict(row.chunk.metadata) == stored[row.chunk.doc_id] for row in near)


def test_a_scalar_index_answers(shelf: ChunkStore, make_rows: Any) -> None:
    shelf.put([make_rows("d0", ["word"], metadata={"year": 3})])
    shelf.optimize()
    where = compile_where({"year": {"$gte": 3}, "at": {"$lt": "2024-01-01"}, "nums": {"$contains": 1}}, shelf.columns())
    plan = shelf.read("planning", lambda table: table.search().where(where).select(["id"]).explain_plan())
    assert plan.count("_idx(") == 3


@pytest.mark.parametrize(
    ("where", "says"),
    [
        ({"year": "2020"}, "declared int"), ({"year": True}, "declared int"), ({"year": {"$gt": math.inf}}, "finite"),
        ({"flag": 1}, "declared bool"), ({"flag": {"$gt": True}}, r"\$eq, \$ne, \$in and \$nin"), ({"la'ng": 3}, "declared str"),
        ({"at": "yesterday"}, "declared time"), ({"at": {"$gte": 2024}}, "ISO 8601"), ({"nums": 1}, r"\$contains"),
        ({"nums": {"$contains": "1"}}, "declared"), ({"nums": {"$contains_any": 1}}, "list"), ({"year": {"$in": [1, "2"]}}, "declared int"),
        ({"year": {"$contains": 1}}, "int columns know"), ({"year": {"$null": 1}}, "True or False"),
    ],
)  # fmt: skip
def test_operands_of_another_type_are_refused(where: Any, says: str) -> None:
    with pytest.raises(FilterError, match=says):
        compile_where(where, COLUMNS)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("year", "three"), ("year", 3.0), ("year", True), ("year", 2**63), ("score", "1"), ("score", 10**400), ("flag", 1), ("la'ng", 3),
        ("at", "soon"), ("at", 2024), ("nums", 1), ("nums", [1, None]), ("Tags \ud800", ["a", 1]), ("Tags \ud800", "a"),
    ],
)  # fmt: skip
def test_values_of_another_type_are_named(key: str, value: Any) -> None:
    column = next(column for column in COLUMNS if column.key == key)
    with pytest.raises(InvalidInputError, match=r"'d7'.*declared") as caught:
        column.value({key: value}, "d7")
    assert repr(value) in str(caught.value)
    assert type(value).__name__ in str(caught.value)
    assert replace(column, wrong="null").value({key: value}, "d7") is None


@pytest.mark.parametrize(
    "columns", [{"a": complex}, {"$a": int}, {"doc_id": str}, {1: int}, ["a"], 3, [Column("a", int), Column("a", str)]]
)
def test_what_is_no_declaration_is_refused(columns: Any) -> None:
    with pytest.raises(InvalidInputError):
        declared(columns)


def test_adding_a_column_fills_it(store: ChunkStore, make_rows: Any) -> None:
    store.put([make_rows(f"d{n}", ["one", "two"], metadata={"n": n} if n % 3 else {}) for n in range(30)])
    other = ChunkStore.open(store.path)
    declare(store, [Column("n", int)])
    assert [column.ready for column in other.columns()] == [True]
    # A handle that was open before writes and reads the new column too.
    other.put([make_rows("late", ["one"], metadata={"n": 7})])
    for one in (store, other, ChunkStore.open(store.path)):
        assert {row.chunk.doc_id for row in one.nearest([1.0] * 8, limit=99, where={"n": 7})} == {"d7", "late"}  # type: ignore[arg-type]
        assert one.read("counting", lambda table: table.count_rows("meta_n IS NULL")) == 20


def test_stored_values_of_another_type_leave_the_database_as_it_was(store: ChunkStore, make_rows: Any) -> None:
    store.put([make_rows("d0", ["one"], metadata={"n": 1}), make_rows("odd", ["two"], metadata={"n": "three"})])
    version = store.version
    with pytest.raises(InvalidInputError, match=r"'odd'.*'three'"):
        declare(store, [Column("n", int)])
    assert (store.version, store.columns()) == (version, ())
    declare(store, [Column("n", int, wrong="null")])
    assert [row.chunk.doc_id for row in store.matching(["one", "two"], limit=9, where={"n": {"$null": True}})] == ["odd"]
    with pytest.raises(StoreMismatchError, match="declared int"):
        declare(store, [Column("n", str)])
    declare(store, [Column("n", int)])
    with pytest.raises(InvalidInputError, match="'d1'"):
        store.put([make_rows("d1", ["one"], metadata={"n": "x"})])


def test_an_interrupted_filling_goes_on(store: ChunkStore, make_rows: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from ragkit.store import filling

    store.put([make_rows(f"d{n}", ["word"], metadata={"n": n}) for n in range(30)])
    fill, calls = filling._fill, []

    def stop(table: Any, *, batch: Any) -> None:
        calls.append(len(batch))
        if len(calls) == 2:
            raise KeyboardInterrupt
        fill(table, batch=batch)

    monkeypatch.setattr(filling, "_AT_ONCE", 8)
    monkeypatch.setattr(filling, "_fill", stop)
    with pytest.raises(KeyboardInterrupt):
        declare(store, [Column("n", int)])
    again = ChunkStore.open(store.path)
    with pytest.raises(FilterError, match="still being filled"):
        again.matching(["word"], limit=9, where={"n": 3})
    assert len(again.matching(["word"], limit=99)) == 30
    declare(again, [Column("n", int)])
    assert sum(calls[2:]) == 30 - calls[0]
    for n in range(30):
        assert [row.chunk.doc_id for row in again.matching(["word"], limit=9, where={"n": n})] == [f"d{n}"]


def test_a_document_replaced_while_columns_are_filled_keeps_its_value(
    store: ChunkStore, make_rows: Any, monkeypatch: Any
) -> None:
    """The chunk's id does not depend on metadata, so an old value must not be written over a new one."""
    from ragkit.store import filling

    store.put([make_rows("d", ["word"], metadata={"n": 1})])
    fill = filling._fill

    def late(table: Any, *, batch: Any) -> None:
        ChunkStore.open(store.path).put([make_rows("d", ["word"], metadata={"n": 2})])
        fill(table, batch=batch)

    monkeypatch.setattr(filling, "_fill", late)
    declare(store, [Column("n", int)])
    assert store.matching(["word"], limit=9, where={"n": 1}) == []
    assert len(store.matching(["word"], limit=9, where={"n": 2})) == 1


def test_the_header_survives(tmp_path: Path, header: Header) -> None:
    store = ChunkStore.open(tmp_path / "kb", create=header.declaring(COLUMNS))
    assert ChunkStore.open(tmp_path / "kb").header == store.header
    assert store.header.format == 3
    assert {column.key: column.type for column in store.header.columns} == {column.key: column.type for column in COLUMNS}
