"""``where`` filters: a small typed language on metadata, compiled to SQL over declared columns and one text column.

Every chunk row carries ``facts``: its metadata, flattened to text in which each value is prefixed by its type and
encoded so that text order is value order. A condition is then a comparison of strings. Rows whose metadata hold
other types under a key simply do not match, where SQL casts of JSON would abort the whole query.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ragkit.errors import FilterError
from ragkit.store.columns import Column
from ragkit.store.escape import escape_controls, quote
from ragkit.store.typed import FALSE, TRUE, null_condition, typed_condition

_ENTRY, _VALUE, _ITEM = "\x1e", "\x1f", "\x1d"
_OPERATORS = "$eq, $ne, $gt, $gte, $lt, $lte, $in, $nin, $exists, $null, $contains, $contains_any, $contains_all"
_DEEPEST = 16
_LONGEST = 1000


def _number(value: float) -> str:
    """A number as 16 hex digits that sort as the numbers do (IEEE 754 binary64, sign folded)."""
    try:
        real = float(value) + 0.0
    except OverflowError:
        real = math.inf if value > 0 else -math.inf
    (bits,) = struct.unpack(">Q", struct.pack(">d", real))
    return f"{bits ^ (0xFFFFFFFFFFFFFFFF if bits >> 63 else 1 << 63):016x}"


def _scalar(value: Any) -> str:
    if value is None:
        return "z"
    if isinstance(value, bool):
        return f"b{value:d}"
    if isinstance(value, (int, float)):
        return "n" + _number(value)
    if isinstance(value, str):
        return "s" + escape_controls(value)
    return "o"


def facts(metadata: Mapping[str, Any], doc_id: str) -> str:
    """The text that filters read: every key of ``metadata`` with its typed value, and the field ``doc_id``."""
    parts = [_ENTRY]
    for key, value in {**metadata, "doc_id": doc_id}.items():
        coded = (
            "l" + _ITEM + "".join(_scalar(item) + _ITEM for item in value) if isinstance(value, (list, tuple)) else _scalar(value)
        )
        parts.append(f"{escape_controls(key)}{_VALUE}{coded}{_ENTRY}")
    return "".join(parts)


def compile_where(where: Mapping[str, Any] | None, columns: Sequence[Column] = ()) -> str | None:
    """SQL for a filter, or None for one that excludes nothing; docs/filters.md is the page about them.

    A filter maps metadata keys to a value (equality) or to operators: ``$eq $ne $gt $gte $lt $lte $in $nin``,
    ``$exists`` (True or False), ``$null`` (True: the key is missing or holds None), and for lists ``$contains`` (an element),
    ``$contains_any`` and ``$contains_all`` (lists of elements). ``$and`` and ``$or`` take lists of filters,
    ``$not`` one filter; entries of one dict must all hold. The field ``doc_id`` is the chunk's document id.

    Values compare only with values of their own type: numbers (as 64-bit floats) with numbers, text with text by
    code point, True and False with themselves, None with an explicit None. Whatever is missing or of another type
    fails every condition but ``$ne``, ``$nin``, ``{"$exists": False}`` and ``{"$null": True}``. A key among ``columns``
    is compared by its declared type, and an operand of another type is an error.

    Raises FilterError for anything else.
    """
    if where is None:
        return None
    sql = _Compiler(columns).all(where, 0, negated=False)
    return None if sql == TRUE else sql


def _join(word: str, conditions: Sequence[str]) -> str:
    """Conditions joined by AND or OR. Constants are folded here: LanceDB's planner stumbles over NOT (NOT true)."""
    neutral, final = (TRUE, FALSE) if word == "AND" else (FALSE, TRUE)
    if final in conditions:
        return final
    kept = [condition for condition in conditions if condition != neutral]
    if not kept:
        return neutral
    return kept[0] if len(kept) == 1 else "(" + f" {word} ".join(kept) + ")"


def _negate(condition: str) -> str:
    return {TRUE: FALSE, FALSE: TRUE}.get(condition) or f"(NOT {condition})"


class _Compiler:
    """Walks a filter once. Negations travel down to the conditions, where null has a meaning, and none is left above them."""

    def __init__(self, columns: Sequence[Column]) -> None:
        self._columns = {column.key: column for column in columns}
        # A query planner walks the conditions recursively, and must not be made to run out of stack.
        self._left = _LONGEST

    def all(self, where: Any, depth: int, *, negated: bool) -> str:
        """SQL for one dict of entries."""
        if not isinstance(where, Mapping):
            raise FilterError(f"A filter is a dict such as {{'lang': 'en'}}; got {where!r} ({type(where).__name__}).")
        if depth > _DEEPEST:
            raise FilterError(f"The filter is nested more than {_DEEPEST} deep; flatten its $and, $or and $not.")
        entries = [self._entry(key, value, depth, negated=negated) for key, value in where.items()]
        return _join("OR" if negated else "AND", entries)

    def _entry(self, key: Any, value: Any, depth: int, *, negated: bool) -> str:
        if not isinstance(key, str):
            raise FilterError(f"The filter has the key {key!r}; keys are metadata names or $and, $or, $not.")
        if key in ("$and", "$or"):
            if not isinstance(value, (list, tuple)) or not value:
                raise FilterError(f"{key} takes a list of filters, at least one; got {value!r}.")
            return _join(
                "OR" if (key == "$or") != negated else "AND", [self.all(one, depth + 1, negated=negated) for one in value]
            )
        if key == "$not":
            return self.all(value, depth + 1, negated=not negated)
        if key.startswith("$"):
            raise FilterError(f"The filter has the unknown operator {key!r}; around filters stand $and, $or and $not.")
        operators = value if isinstance(value, Mapping) else {"$eq": value}
        if not operators:
            raise FilterError(f"The filter for {key!r} is an empty dict; give a value or operators: {_OPERATORS}.")
        conditions = []
        for operator, operand in operators.items():
            if operator not in _CONDITIONS:
                raise FilterError(f"The filter for {key!r} has the unknown operator {operator!r}; allowed are {_OPERATORS}.")
            self._left -= 1
            if self._left < 0:
                raise FilterError(f"The filter has more than {_LONGEST} conditions. Use $in for many values of one key.")
            conditions.append(self._condition(key, operator, operand, negated=negated))
        return _join("OR" if negated else "AND", conditions)

    def _condition(self, key: str, operator: str, operand: Any, *, negated: bool) -> str:
        column = self._columns.get(key)
        # Whether a key is there, and whether it holds None, only the facts know.
        if column is None or operator == "$exists" or (operator in ("$eq", "$ne") and operand is None):
            condition = _CONDITIONS[operator](key, operand)
            return _negate(condition) if negated else condition
        if operator == "$null":
            return null_condition(column, negated=negated != (not _flag(operator, key, operand)))
        if operator in ("$in", "$nin", "$contains_any", "$contains_all"):
            values = _listed(operator, key, operand)
            if operator in ("$in", "$nin") and None in values:
                negated ^= operator == "$nin"
                rest = typed_condition(column, "$in", [one for one in values if one is not None], negated=negated)
                none = _equal(key, None)
                return _join("AND", [rest, _negate(none)]) if negated else _join("OR", [rest, none])
            operand = values
        return typed_condition(column, operator, operand, negated=negated)


def _operand(key: str, value: Any) -> str:
    if not (value is None or isinstance(value, (str, bool, int, float))):
        raise FilterError(
            f"The filter for {key!r} compares with {value!r} ({type(value).__name__}); "
            "values are str, int, float, bool or None. Use $contains to look into lists, $in for several values, and declare a column "
            "of the type datetime to compare times."
        )
    if isinstance(value, float) and not math.isfinite(value):
        raise FilterError(f"The filter for {key!r} compares with {value}; numbers must be finite.")
    return _scalar(value)


def _listed(operator: str, key: str, values: Any) -> list[Any]:
    if not isinstance(values, (list, tuple, set, frozenset)):
        raise FilterError(f"{operator} for {key!r} takes a list of values; got {values!r} ({type(values).__name__}).")
    return list(values)


def _flag(operator: str, key: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise FilterError(f"{operator} for {key!r} takes True or False; got {value!r}.")
    return value


def _named(key: str) -> str:
    return f"{_ENTRY}{escape_controls(key)}{_VALUE}"


def _stored(key: str) -> str:
    """SQL for the coded value under ``key``; the empty string where the key is missing."""
    return f"split_part(split_part(facts, {quote(_named(key))}, 2), '{_ENTRY}', 1)"


def _equal(key: str, value: Any) -> str:
    return f"contains(facts, {quote(_named(key) + _operand(key, value) + _ENTRY)})"


def _among(operator: str, key: str, values: Any) -> str:
    coded = [_operand(key, value) for value in _listed(operator, key, values)]
    return f"({_stored(key)} IN ({', '.join(map(quote, coded))}))" if coded else FALSE


def _compare(operator: str, sign: str) -> Callable[[str, Any], str]:
    def condition(key: str, value: Any) -> str:
        coded = _operand(key, value)
        if coded[0] not in "ns":
            raise FilterError(f"{operator} for {key!r} orders numbers or text; got {value!r} ({type(value).__name__}).")
        kind, after, stored = coded[0], chr(ord(coded[0]) + 1), _stored(key)
        edge = f"{stored} < '{after}'" if sign[0] == ">" else f"{stored} >= '{kind}'"
        return f"({stored} {sign} {quote(coded)} AND {edge})"

    return condition


def _exists(key: str, value: Any) -> str:
    found = f"contains(facts, {quote(_named(key))})"
    return found if _flag("$exists", key, value) else _negate(found)


def _null(key: str, value: Any) -> str:
    found = f"({_stored(key)} IN ('', 'z'))"
    return found if _flag("$null", key, value) else _negate(found)


def _contains(key: str, value: Any) -> str:
    return f"contains({_stored(key)}, {quote(_ITEM + _operand(key, value) + _ITEM)})"


def _contains_some(operator: str, word: str) -> Callable[[str, Any], str]:
    def condition(key: str, values: Any) -> str:
        found = [_contains(key, value) for value in _listed(operator, key, values)]
        # Every list holds all of nothing; what is no list does not.
        return _join(word, [f"starts_with({_stored(key)}, 'l')", *found] if word == "AND" else found)

    return condition


_CONDITIONS: dict[str, Callable[[str, Any], str]] = {
    "$eq": _equal,
    "$ne": lambda key, value: _negate(_equal(key, value)),
    "$gt": _compare("$gt", ">"),
    "$gte": _compare("$gte", ">="),
    "$lt": _compare("$lt", "<"),
    "$lte": _compare("$lte", "<="),
    "$in": lambda key, values: _among("$in", key, values),
    "$nin": lambda key, values: _negate(_among("$nin", key, values)),
    "$exists": _exists,
    "$null": _null,
    "$contains": _contains,
    "$contains_any": _contains_some("$contains_any", "OR"),
    "$contains_all": _contains_some("$contains_all", "AND"),
}
