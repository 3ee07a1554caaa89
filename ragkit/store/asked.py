"""LanceDB's queries over one version of the table: the nearest rows, the rows that match, the rows at their addresses."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ragkit.seams import Vectors
from ragkit.store import text_query
from ragkit.store.failures import told
from ragkit.text.term_query import TermQuery

if TYPE_CHECKING:
    import pyarrow as pa

#: How many partitions of the vector index to read, and how far to refine.
Effort = tuple[int, int]

_MORE = 4
#: Full-text searches that LanceDB works on at a time.
_AT_ONCE = 4


class Wanted(NamedTuple):
    """The ``columns`` of up to ``limit`` rows that meet ``condition``, which is SQL."""

    limit: int
    columns: Sequence[str]
    condition: str | None = None


class Asked:
    """A handle for ``reading.run`` on the table at ``path`` in one version; its vectors stand in the column ``vector``."""

    def __init__(self, path: Path, handle: Any, vector: str) -> None:
        self._path, self._handle, self._vector = path, handle, vector

    async def nearest(self, queries: Vectors, wanted: Wanted, effort: Effort | None, *, ordered: bool) -> list[pa.Table]:
        """The rows nearest to each query; every row is compared without an ``effort``, and for queries to which it brings too few."""
        found = await self.compared(queries, wanted, effort, ordered=ordered)
        if effort is not None:
            short = [place for place, table in enumerate(found) if len(table) < wanted.limit]
            scanned = await self.compared(queries[short], wanted, None, ordered=ordered)
            for place, table in zip(short, scanned, strict=True):
                found[place] = table
        return found

    async def compared(self, queries: Vectors, wanted: Wanted, effort: Effort | None, *, ordered: bool) -> list[pa.Table]:
        """What one query of LanceDB finds: perhaps fewer rows than are wanted, through an index. Unless ``ordered`` they may come in any order."""
        if not len(queries):
            return []
        query = self._handle.query().nearest_to(queries[0] if len(queries) == 1 else queries).column(self._vector)
        query = query.distance_type("cosine").select([*wanted.columns, "_distance"]).limit(wanted.limit)
        if effort is None:
            query = query.bypass_vector_index()
        else:
            nprobes, refine = effort
            query = query.nprobes(nprobes)
            # Refining no more rows than are wanted finds the same ones, in another order.
            query = query.refine_factor(refine) if ordered or refine > 1 else query
        if wanted.condition:
            query = query.where(wanted.condition)
        with told(self._path, "searching by vector"):
            found = await query.to_arrow()
        if len(queries) == 1:
            return [found]
        owners = found.column("query_index").to_numpy()
        return [found.take(np.flatnonzero(owners == owner)) for owner in range(len(queries))]

    async def matching(self, queries: Sequence[TermQuery], wanted: Wanted) -> list[pa.Table]:
        """The rows that match each query, best first by LanceDB's BM25."""
        turns = asyncio.Semaphore(_AT_ONCE)

        async def one(query: TermQuery) -> pa.Table:
            async with turns:
                return await self._matched(query, wanted)

        return list(await asyncio.gather(*map(one, queries)))

    async def _matched(self, query: TermQuery, wanted: Wanted) -> pa.Table:
        checked = text_query.needs_checking(query.condition)
        columns = list(dict.fromkeys([*wanted.columns, "lex"])) if checked else list(wanted.columns)
        asked = wanted.limit
        while True:
            search = self._handle.query().nearest_to_text(text_query.compiled(query.condition, query.boosts))
            search = search.select([*columns, "_score"]).limit(asked)
            with told(self._path, "searching by words"):
                found = await (search.where(wanted.condition) if wanted.condition else search).to_arrow()
            if not checked:
                return found
            kept = found.take(text_query.checked(query.condition, found.column("lex")))
            if len(kept) >= wanted.limit or len(found) < asked:
                return kept.slice(0, wanted.limit)
            asked *= _MORE

    async def rows(self, addresses: Sequence[int], columns: Sequence[str]) -> pa.Table:
        """The rows at these addresses, in any order, with ``_rowid``."""
        with told(self._path, "reading rows"):
            return await self._handle.take_row_ids(list(addresses)).select([*columns, "_rowid"]).to_arrow()
