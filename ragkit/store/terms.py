"""BM25's statistics of one version of the table, from those of an earlier one and the rows that changed in between.

Rows are told apart by their addresses (``_rowid``): LanceDB never writes over a row, so what stands at an address in two versions
is the same row. Rows that a compaction moved have other addresses; id and time of writing recognise them. Only rows that came or went
are read. Nothing is stored, so nothing can disagree with the rows, whoever was killed while writing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ragkit.store.statistics import count_terms
from ragkit.types import TermStats

if TYPE_CHECKING:
    import pyarrow as pa

Addresses = NDArray[np.uint64]
_IDENTITY = ["id", "added_at"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """The statistics of one version, and which rows it has: ``addresses``, uint64 ``(n,)``, sorted."""

    table: Any
    addresses: Addresses = field(hash=False)
    tokens: int
    stats: TermStats


def count(table: Any, before: Counted | None) -> Counted:
    """The statistics of ``table``, a handle on one version; ``before`` are those of an earlier version of it."""
    if before is None:
        whole = count_terms(table.search().select(["lex"]).to_arrow().column("lex"))
        return _counted(table, addresses(table), whole.n_docs, whole.tokens, whole.df)
    now = addresses(table)
    came = np.setdiff1d(now, before.addresses, assume_unique=True)
    went = np.setdiff1d(before.addresses, now, assume_unique=True)
    if len(came) and len(went):
        came, went = _moved_apart(table, came, before.table, went)
    added, removed = count_terms(_lex(table, came)), count_terms(_lex(before.table, went))
    df = dict(before.stats.df)
    for terms, sign in ((added.df, 1), (removed.df, -1)):
        for term, number in terms.items():
            df[term] = df.get(term, 0) + sign * number
    for term in removed.df:
        if not df[term]:
            del df[term]
    return _counted(table, now, len(now), before.tokens + added.tokens - removed.tokens, df)


def _counted(table: Any, rows: Addresses, n_docs: int, tokens: int, df: Mapping[str, int]) -> Counted:
    stats = TermStats(n_docs=n_docs, mean_length=tokens / n_docs if n_docs else 0.0, df=df)
    return Counted(table=table, addresses=rows, tokens=tokens, stats=stats)


def addresses(table: Any) -> Addresses:
    """Where the rows of a version stand, sorted."""
    found: Addresses = table.search().select(["_rowid"]).to_arrow().column("_rowid").to_numpy()
    return np.sort(found)


def _moved_apart(new: Any, came: Addresses, old: Any, went: Addresses) -> tuple[Addresses, Addresses]:
    """``came`` and ``went`` without the rows that are in both and have only moved."""
    here, there = _identities(new, came), _identities(old, went)
    arrived = here.join(there, _IDENTITY, join_type="left anti").column("_rowid").to_numpy()
    left = there.join(here, _IDENTITY, join_type="left anti").column("_rowid").to_numpy()
    return np.sort(arrived), np.sort(left)


def _identities(table: Any, rows: Addresses) -> pa.Table:
    return _take(table, rows, [*_IDENTITY, "_rowid"])


def _lex(table: Any, rows: Addresses) -> pa.ChunkedArray:
    return _take(table, rows, ["lex"]).column("lex")


def _take(table: Any, rows: Addresses, columns: list[str]) -> pa.Table:
    return table.take_row_ids(rows.tolist()).select(columns).to_arrow()
