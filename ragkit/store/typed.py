"""Filter conditions over declared columns. SQL made here holds numbers, quoted text and the names of columns, nothing else."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from ragkit.errors import FilterError
from ragkit.store.columns import INT_MAX, INT_MIN, Column, moments, number
from ragkit.store.escape import escape, quote

_TURNED = {"$ne": "$eq", "$nin": "$in"}
_SIGNS = {"$gt": ">", "$gte": ">=", "$lt": "<", "$lte": "<="}
_LISTS = ("$contains", "$contains_any", "$contains_all")
TRUE, FALSE = "true", "false"


def typed_condition(column: Column, operator: str, operand: Any, *, negated: bool) -> str:
    """SQL for one condition; rows without a value meet it only where it is negated.

    ``operator`` is one of ``$eq $ne $gt $gte $lt $lte $in $nin $contains $contains_any $contains_all``, and the operand holds no None.
    Raises FilterError for an operator or an operand that the column's type does not know.
    """
    if not column.ready:
        raise FilterError(
            f"The column {column.key!r} is still being filled. Open the index with Index(path, columns=...) once more to finish that."
        )
    negated ^= operator in _TURNED
    operator = _TURNED.get(operator, operator)
    try:
        condition = (_list if str(column.type).startswith("list[") else _single)(column, operator, operand)
    except (TypeError, ValueError, OverflowError) as error:
        raise FilterError(
            f"The filter for {column.key!r} has {operator} {operand!r} ({type(operand).__name__}), and that column is declared "
            f"{column.type}{': ' + str(error) if str(error) else ''}."
        ) from error
    if not negated:
        return condition
    # In SQL neither a condition nor its negation holds where the value is null.
    return TRUE if condition == FALSE else f"(NOT {condition} OR {column.name} IS NULL)"


def null_condition(column: Column, *, negated: bool) -> str:
    """SQL for rows without a value in the column."""
    return f"({column.name} IS {'NOT ' * negated}NULL)"


def _list(column: Column, operator: str, operand: Any) -> str:
    if operator not in _LISTS:
        raise TypeError(f"lists know {', '.join(_LISTS)}, $exists and $null")
    kind = str(column.type)[5:-1]
    if operator == "$contains":
        return f"array_has({column.name}, {_literal(kind, operand)})"
    values = [_literal(kind, item) for item in operand]
    if not values:
        return FALSE if operator == "$contains_any" else f"({column.name} IS NOT NULL)"
    return f"array_has_{operator[10:]}({column.name}, [{', '.join(values)}])"


def _single(column: Column, operator: str, operand: Any) -> str:
    kind = str(column.type)
    if operator == "$in":
        return _among(column, kind, operand)
    if operator == "$eq":
        return _equal(column, kind, operand)
    if operator not in _SIGNS or kind == "bool":
        known = "$eq, $ne, $in and $nin" if kind == "bool" else "$eq, $ne, $in, $nin, $gt, $gte, $lt and $lte"
        raise TypeError(f"{kind} columns know {known}, $exists and $null")
    sign = _SIGNS[operator]
    if kind == "int":
        return _whole(column, sign, number(kind, operand))
    if kind == "time":
        begin, end = moments(operand)
        if end > begin:
            # A day: after it means after its end, up to it means before its end.
            begin, sign = (end, {">": ">=", "<=": "<"}[sign]) if sign in (">", "<=") else (begin, sign)
        return f"({column.name} {sign} {_moment(begin)})"
    return f"({column.name} {sign} {_literal(kind, operand)})"


def _equal(column: Column, kind: str, operand: Any) -> str:
    if kind == "time":
        begin, end = moments(operand)
        if end > begin:
            return f"({column.name} >= {_moment(begin)} AND {column.name} < {_moment(end)})"
        return f"({column.name} = {_moment(begin)})"
    if kind == "int":
        value = number(kind, operand)
        return f"({column.name} = {int(value)})" if value == int(value) and INT_MIN <= value <= INT_MAX else FALSE
    return f"({column.name} = {_literal(kind, operand)})"


def _among(column: Column, kind: str, operands: Sequence[Any]) -> str:
    if kind == "time":
        conditions = [_equal(column, kind, one) for one in operands]
        return "(" + " OR ".join(conditions) + ")" if conditions else FALSE
    if kind == "int":
        numbers = [number(kind, one) for one in operands]
        values = [str(int(one)) for one in numbers if one == int(one) and INT_MIN <= one <= INT_MAX]
    else:
        values = [_literal(kind, one) for one in operands]
    return f"({column.name} IN ({', '.join(values)}))" if values else FALSE


def _whole(column: Column, sign: str, limit: float | int) -> str:
    """A comparison of whole numbers with any number: ``> 2.5`` is ``> 2``, and ``< 2.5`` is ``< 3``."""
    whole = math.floor(limit) if sign in (">", "<=") else math.ceil(limit)
    if INT_MIN <= whole <= INT_MAX:
        return f"({column.name} {sign} {whole})"
    everything = (whole > 0) == sign.startswith("<")
    return f"({column.name} IS NOT NULL)" if everything else FALSE


def _moment(microseconds: int) -> str:
    return f"to_timestamp_micros({microseconds})"


def _literal(kind: str, value: Any) -> str:
    if kind == "bool" and isinstance(value, bool):
        return "true" if value else "false"
    if kind == "str" and isinstance(value, str):
        return quote(escape(value))
    if kind == "int" and (whole := number(kind, value)) == int(whole) and INT_MIN <= whole <= INT_MAX:
        return str(int(whole))
    if kind == "float":
        return f"CAST('{_real(number(kind, value)) + 0.0!r}' AS DOUBLE)"
    raise TypeError


def _real(value: float | int) -> float:
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf
