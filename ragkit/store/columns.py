"""Declared metadata columns: keys of one type, stored as typed Arrow columns that scalar indexes cover.

What a key holds in one document it may not hold in the next; ``facts`` takes that as it comes and reads every row. A key whose
type is declared has a column of its own, so that counting what matches costs a look into an index.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal, get_args

from ragkit.errors import InvalidInputError, StoreMismatchError
from ragkit.store.escape import escape
from ragkit.types import Document, digest

if TYPE_CHECKING:
    import pyarrow as pa

ColumnType = Literal["bool", "int", "float", "str", "time", "list[int]", "list[str]"]
_TYPES: Mapping[Any, ColumnType] = {
    bool: "bool", int: "int", float: "float", str: "str", datetime: "time", list[int]: "list[int]", list[str]: "list[str]",
}  # fmt: skip
_ALLOWED = "bool, int, float, str, datetime, list[int] and list[str]"
#: Where a field keeps its declaration.
DECLARED = "ragkit.column"
_PLAIN = re.compile(r"[a-z0-9_]+")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
# One less than 64 bits have, because SQL knows no literal for the lowest number.
INT_MIN, INT_MAX = -(2**63) + 1, 2**63 - 1


@dataclass(frozen=True, slots=True)
class Column:
    """One metadata key with a type of its own: bool, int, float, str, datetime, ``list[int]`` or ``list[str]``.

    A document whose value under ``key`` has another type is refused with an InvalidInputError; with ``wrong="null"`` it counts as
    having none, for filters only: its metadata stay as they are. None and a missing key are no value in any column. An int
    column holds numbers up to 2**63 - 1 either way, a float column takes whole numbers too, and a time is an ISO 8601 text, in UTC where it names no zone.
    ``ready`` is False while a column added to an existing database is being filled.

    Raises InvalidInputError for another type or another ``wrong``.
    """

    key: str
    type: ColumnType | type[Any]
    wrong: Literal["error", "null"] = "error"
    ready: bool = True

    def __post_init__(self) -> None:
        if not isinstance(self.key, str) or self.key.startswith("$") or self.key == "doc_id":
            raise InvalidInputError(
                f"The column {self.key!r} cannot be declared: keys are text, do not begin with '$', and 'doc_id' is ragkit's own."
            )
        kind = self.type if self.type in get_args(ColumnType) else _TYPES.get(self.type)
        if kind is None:
            raise InvalidInputError(f"The column {self.key!r} is declared as {self.type!r}; allowed are {_ALLOWED}.")
        if self.wrong not in ("error", "null"):
            raise InvalidInputError(f"wrong is {self.wrong!r} for the column {self.key!r}; it must be 'error' or 'null'.")
        object.__setattr__(self, "type", kind)

    @property
    def name(self) -> str:
        """The name in the table, safe to stand in SQL."""
        return f"meta_{self.key}" if _PLAIN.fullmatch(self.key) else f"meta_x_{digest(self.key)[:16]}"

    def field(self) -> pa.Field:
        """The Arrow field, with the declaration in its metadata."""
        import pyarrow as pa

        kinds = {
            "bool": pa.bool_(), "int": pa.int64(), "float": pa.float64(), "str": pa.string(), "time": pa.timestamp("us", "UTC"),
            "list[int]": pa.list_(pa.int64()), "list[str]": pa.list_(pa.string()),
        }  # fmt: skip
        return pa.field(self.name, kinds[str(self.type)], metadata={DECLARED: self.declaration()})

    def declaration(self) -> str:
        """The column as JSON, for the field's metadata."""
        return json.dumps({"key": self.key, "type": self.type, "wrong": self.wrong, "ready": self.ready}, sort_keys=True)

    def value(self, metadata: Mapping[str, Any], doc_id: str) -> Any:
        """The column's value for a document's metadata, as Arrow takes it; None where it has none.

        Raises InvalidInputError, naming document, key, value and type, for a value of another type.
        """
        value = metadata.get(self.key)
        try:
            return None if value is None else coded(str(self.type), value)
        except (TypeError, ValueError, OverflowError) as error:
            if self.wrong == "null":
                return None
            raise InvalidInputError(
                f"The document {doc_id!r} has {value!r} ({type(value).__name__}) under {self.key!r}, and that column is declared "
                f"{self.type}{': ' + str(error) if str(error) else ''}. Correct the value or leave it out, or declare the column with wrong='null'."
            ) from error


def coded(kind: str, value: Any) -> Any:
    """A metadata value as the column's Arrow type takes it. Raises TypeError, ValueError or OverflowError for another type."""
    if kind.startswith("list["):
        if not isinstance(value, (list, tuple)):
            raise TypeError
        return [coded(kind[5:-1], item) for item in value]
    if kind == "time":
        return moments(value)[0]
    if kind == "bool" or isinstance(value, bool):
        if kind != "bool" or not isinstance(value, bool):
            raise TypeError
        return value
    if kind == "str":
        if not isinstance(value, str):
            raise TypeError
        return escape(value)
    if not isinstance(value, int if kind == "int" else (int, float)):
        raise TypeError
    if kind == "float":
        # Adding 0.0 makes -0.0 equal to 0.0, which Arrow's total order keeps apart.
        return float(value) + 0.0
    if not INT_MIN <= value <= INT_MAX:
        raise OverflowError("it does not fit into 64 bits")
    return value


def moments(value: Any) -> tuple[int, int]:
    """Microseconds since 1970, UTC, of an ISO 8601 text, a date or a datetime: begin and end of a day, twice the same for a moment.

    Raises TypeError or ValueError for anything else.
    """
    if isinstance(value, str):
        try:
            value = date.fromisoformat(value)
        except ValueError:
            value = datetime.fromisoformat(value)
    if not isinstance(value, date):
        raise TypeError("a time is an ISO 8601 text such as '2024-05-31' or '2024-05-31T12:00:00+02:00'")
    whole = not isinstance(value, datetime)
    moment = value if isinstance(value, datetime) else datetime(value.year, value.month, value.day, tzinfo=UTC)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    begin = (moment - _EPOCH) // _MICROSECOND
    return begin, begin + (timedelta(days=1) // _MICROSECOND if whole else 0)


def declared(columns: object) -> tuple[Column, ...]:
    """Columns as people declare them: ``{"year": int, "tags": list[str]}``, or Columns.

    Raises InvalidInputError for anything else, and for a key declared twice.
    """
    if columns is None:
        return ()
    if isinstance(columns, Mapping):
        return tuple(Column(key, kind) for key, kind in columns.items())
    found = tuple(columns) if isinstance(columns, Iterable) else (columns,)
    for column in found:
        if not isinstance(column, Column):
            raise InvalidInputError(f"columns holds {column!r}; give {{'year': int}} or a list of Column('year', int).")
    keys = [column.key for column in found]
    if len(set(keys)) < len(keys):
        raise InvalidInputError(f"The columns declare a key twice: {', '.join(keys)}.")
    return found


def read_columns(schema: pa.Schema) -> tuple[Column, ...]:
    """The columns declared in a table's schema. Raises ValueError, KeyError or TypeError for a declaration that cannot be read."""
    key = DECLARED.encode()
    return tuple(Column(**json.loads(field.metadata[key])) for field in schema if field.metadata and key in field.metadata)


def merged(stored: Sequence[Column], given: Sequence[Column], where: object) -> tuple[Column, ...]:
    """The stored columns with what is declared newly or otherwise; new ones are not ready.

    Raises StoreMismatchError for a key that is stored with another type.
    """
    result = {column.key: column for column in stored}
    for column in given:
        known = result.get(column.key)
        if known is not None and known.type != column.type:
            raise StoreMismatchError(
                f"{where} has {column.key!r} declared {known.type}, and {column.type} was given. Leave it out to use the stored "
                "declaration, or index the documents into another path."
            )
        result[column.key] = replace(column, ready=known is not None and known.ready)
    return tuple(result.values())


def check(document: Document, columns: Sequence[Column]) -> None:
    """Raise InvalidInputError for a document with a value of another type, before any work is done on it."""
    for column in columns:
        column.value(document.metadata, document.id)


def number(kind: str, value: Any) -> float | int:
    """A filter's number for an int or float column: finite, no bool. Raises TypeError."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or (isinstance(value, float) and not math.isfinite(value)):
        raise TypeError(f"{kind} compares with finite numbers")
    return value
