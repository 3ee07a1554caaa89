"""Conditions on tokens as LanceDB's query objects, and the check of what they find.

LanceDB chooses candidates: its answer holds every row that meets the condition, and is ranked. Whether the words of a phrase follow each
other is seen on the stored tokens, so the full-text index needs no positions; so are conditions inside alternatives.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ragkit.store.escape import escape, unescape
from ragkit.text.term_query import Condition, Either, Every, InOrder, OneOf

if TYPE_CHECKING:
    import pyarrow as pa


def compiled(condition: Condition, boosts: Mapping[str, float]) -> Any:
    """A LanceDB query over ``lex`` that finds at least the rows that ``condition`` matches, its tokens weighed by ``boosts``."""
    import lancedb.query

    lance: Any = lancedb.query  # mypy takes its optional arguments for required ones
    match condition:
        case OneOf(tokens):
            groups: dict[float, list[str]] = {}
            for token in tokens:
                groups.setdefault(_step(boosts.get(token, 1.0)), []).append(token)
            parts = [lance.MatchQuery(_joined(some), "lex", boost=boost) for boost, some in groups.items()]
            return parts[0] if len(parts) == 1 else lance.BooleanQuery([(lance.Occur.SHOULD, part) for part in parts])
        case InOrder(tokens, _):
            return lance.MatchQuery(_joined(tokens), "lex", operator=lance.FullTextOperator.AND)
        case Either(parts):
            return lance.BooleanQuery([(lance.Occur.SHOULD, compiled(part, boosts)) for part in parts])
        case Every(parts, without):
            # Only plain words may be left to LanceDB to exclude: of anything else it finds too much.
            out = [(lance.Occur.MUST_NOT, compiled(part, boosts)) for part in without if isinstance(part, OneOf)]
            return lance.BooleanQuery([(lance.Occur.MUST, compiled(part, boosts)) for part in parts] + out)


def needs_checking(condition: Condition) -> bool:
    """False where LanceDB's answer is exactly the rows that match."""
    return not isinstance(condition, OneOf)


def checked(condition: Condition, lex: pa.ChunkedArray) -> NDArray[np.int64]:
    """The places in ``lex``, stored tokens, that ``condition`` matches."""
    tokens = (unescape(text).split(" ") if text else [] for text in lex.to_pylist())
    return np.flatnonzero([condition.matches(one) for one in tokens])


def _step(boost: float) -> float:
    """``boost`` in steps of a tenth, so that most words of a question stay one query."""
    return float(max(1.1 ** round(math.log(max(boost, 1e-3), 1.1)), 1e-3))


def _joined(tokens: Sequence[str]) -> str:
    return " ".join(dict.fromkeys(map(escape, tokens)))
