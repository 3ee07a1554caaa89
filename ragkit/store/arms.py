"""The two ways into a snapshot, as searches use them: narrow candidates first, whole rows for the hits only."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from ragkit.seams import Vectors
from ragkit.store.escape import unescape
from ragkit.store.nearness import Nearness
from ragkit.store.rows import Stored, stored_columns, stored_from, vectors_from
from ragkit.store.snapshot import Snapshot
from ragkit.text.term_query import TermQuery
from ragkit.types import TermStats

if TYPE_CHECKING:
    import pyarrow as pa

Where = Mapping[str, Any]
_THREADS = 4
_NO_VECTOR: Vectors = np.empty(0, np.float32)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A row as far as scoring needs it; what the search's mode does not read is empty. ``key`` is its address."""

    key: int
    place: tuple[str, int]
    vector: Vectors = field(hash=False)
    lex: list[str] = field(hash=False)


class SnapshotArms:
    """Searches of one version. ``dense`` and ``words`` say which arms will be asked; ``condition`` makes SQL of a filter."""

    def __init__(
        self, snapshot: Snapshot, *, dense: bool, words: bool, nearness: Nearness, condition: Callable[[Where | None], str | None]
    ) -> None:
        self._snapshot, self._nearness, self._condition = snapshot, nearness, condition
        self._columns = ["_rowid"]
        self._known: dict[int, Candidate] = {}
        if dense:
            self._columns.append(snapshot.header.vector)
        if words:
            self._columns.append("lex")
        if dense and words:
            self._columns += ["doc_id", "start"]

    def nearest(self, vector: Vectors, /, *, limit: int, where: Where | None = None) -> list[Candidate]:
        """Up to ``limit`` rows nearest to ``vector`` ``(dim,)`` by cosine."""
        return self.nearest_many(vector[None, :], limit=limit, where=where)[0]

    def nearest_many(self, vectors: Vectors, /, *, limit: int, where: Where | None = None) -> list[list[Candidate]]:
        """``nearest`` of each row of ``vectors`` ``(n, dim)``, in one scan."""
        columns = self._columns if len(vectors) == 1 else ["_rowid"]
        condition = self._condition(where)
        tables = self._snapshot.nearest(vectors, limit=limit, columns=columns, condition=condition, nearness=self._nearness)
        return self._each(tables)

    def matching(self, query: TermQuery, /, *, limit: int, where: Where | None = None) -> list[Candidate]:
        """Up to ``limit`` rows that match ``query``, best first by LanceDB's BM25."""
        return self.matching_many([query], limit=limit, where=where)[0]

    def matching_many(self, queries: Sequence[TermQuery], /, *, limit: int, where: Where | None = None) -> list[list[Candidate]]:
        """``matching`` of each query, several at a time."""
        columns = self._columns if len(queries) == 1 else ["_rowid"]
        ask = partial(self._snapshot.matching, limit=limit, columns=columns, condition=self._condition(where))
        if len(queries) < 2:
            return self._each([ask(query) for query in queries])
        with ThreadPoolExecutor(min(_THREADS, len(queries))) as pool:
            return self._each(list(pool.map(ask, queries)))

    def rows(self, candidates: Sequence[Candidate], /) -> list[Stored]:
        """The candidates as they are stored."""
        if not candidates:
            return []
        columns = stored_columns(self._snapshot.header)
        return list(stored_from(self._snapshot.rows([one.key for one in candidates], columns)))

    def term_stats(self) -> TermStats:
        """BM25's statistics over all chunks of the version."""
        return self._snapshot.term_stats()

    def _each(self, tables: Sequence[pa.Table]) -> list[list[Candidate]]:
        """The candidates of each query. Those of many queries overlap, so their columns are read once, by address."""
        if len(tables) < 2:
            return [list(self._candidates(table)) for table in tables]
        keys = [table.column("_rowid").to_pylist() for table in tables]
        fresh = sorted({key for some in keys for key in some} - self._known.keys())
        if fresh:
            self._known.update(zip(fresh, self._candidates(self._snapshot.rows(fresh, self._columns[1:])), strict=True))
        return [[self._known[key] for key in some] for some in keys]

    def _candidates(self, table: pa.Table) -> Iterator[Candidate]:
        n = len(table)
        vectors = list(vectors_from(table)) if n and self._snapshot.header.vector in table.column_names else [_NO_VECTOR] * n
        lex: list[list[str]] = [[]] * n
        if "lex" in table.column_names:
            lex = [unescape(text).split(" ") if text else [] for text in table.column("lex").to_pylist()]
        places = [("", 0)] * n
        if "doc_id" in table.column_names:
            doc_ids = map(unescape, table.column("doc_id").to_pylist())
            places = list(zip(doc_ids, table.column("start").to_pylist(), strict=True))
        return map(Candidate, table.column("_rowid").to_pylist(), places, vectors, lex)
