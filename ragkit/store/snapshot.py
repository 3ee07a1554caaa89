"""One version of the table, for reading: everything a search looks at comes from the same commit."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np

from ragkit.errors import InvalidInputError, StoreError
from ragkit.seams import Vectors
from ragkit.store.asked import Asked, Effort, Wanted
from ragkit.store.coded import CodedRows, holds
from ragkit.store.failures import told
from ragkit.store.nearness import AS_TUNED, Nearness, Tuning, tuning_in
from ragkit.store.reading import run
from ragkit.store.schema import Header
from ragkit.store.terms import Addresses, Counted, addresses, count
from ragkit.store.vector_index import enough, guess, vector_index
from ragkit.text.term_query import TermQuery
from ragkit.types import TermStats
from ragkit.vec.codecs import Codec

if TYPE_CHECKING:
    import pyarrow as pa

#: Rows read beyond those that are wanted, so that a gap below them shows that they are the best.
_SPARE = 4
#: Matches of a filter that are compared one by one: at 100,000 rows of 384 dimensions as fast as the index, and exact.
_FEW = 2000


class Snapshot:
    """A version of the table at ``path``; ``table`` is a handle that stays at it, ``asked`` the same for ``run``. Safe for several threads.

    A version without codes of ``codec`` is searched by its vectors. Statistics of the snapshot ``before`` spare it reading rows that both have.
    """

    def __init__(
        self, path: Path, table: Any, asked: Any, header: Header, before: Snapshot | None = None, *, codec: Codec | None = None
    ) -> None:
        self.path, self.table, self.header = path, table, header
        self._asked = Asked(path, asked, header.vector)
        self.codec = codec if codec is not None and holds(table, header, codec) else None
        self.version = int(table.version)
        self._lock = Lock()
        self._coded: CodedRows | None = None
        self._counted: Counted | None = None
        self._before = before.counted_so_far() if before is not None else None

    def counted_so_far(self) -> Counted | None:
        """The newest statistics at hand: this version's, or those it would start from."""
        return self._counted or self._before

    def term_stats(self) -> TermStats:
        """BM25's statistics over all chunks; computed once."""
        with self._lock:
            if self._counted is None:
                self._counted = self._count()
                self._before = None
            return self._counted.stats

    def _count(self) -> Counted:
        if self._before is not None:
            try:
                with told(self.path, "counting words that changed"):
                    return count(self.table, self._before)
            except StoreError:
                # The files of the earlier version may be gone by now; the rows of this one hold all it takes.
                self._before = None
        with told(self.path, "counting words"):
            return count(self.table, None)

    @cached_property
    def tuning(self) -> Tuning | None:
        """What was measured about the vector index of this version; None where there is none, or nothing measured yet."""
        found = tuning_in(self.table.schema.field(self.header.vector))
        return found if found is not None and found.index is not None and self.indexed else None

    @cached_property
    def indexed(self) -> bool:
        """Whether this version has a vector index."""
        return vector_index(self.table, self.header.vector) is not None

    def nearest(
        self,
        vectors: Vectors,
        /,
        *,
        limit: int,
        columns: Sequence[str],
        condition: str | None = None,
        nearness: Nearness = AS_TUNED,
    ) -> list[pa.Table]:
        """For each of ``vectors`` ``(n, dim)`` the ``columns`` of the ``limit`` nearest rows by cosine that meet ``condition``.

        Rows that the index does not hold yet are compared too, and where the index brings fewer rows than asked for, every row is:
        fewer than ``limit`` are returned only when no more meet ``condition``.

        Raises InvalidInputError for vectors that cannot be compared with the stored ones.
        """
        return self.found(vectors, [], limit=limit, columns=columns, condition=condition, nearness=nearness, ordered=True)[0]

    def matching(self, query: TermQuery, /, *, limit: int, columns: Sequence[str], condition: str | None = None) -> pa.Table:
        """The ``columns`` of up to ``limit`` rows that match ``query``, best first by LanceDB's BM25."""
        nothing: Vectors = np.empty((0, self.header.card.dim), np.float32)
        return self.found(nothing, [query], limit=limit, columns=columns, condition=condition)[1][0]

    def found(
        self,
        vectors: Vectors,
        queries: Sequence[TermQuery],
        /,
        *,
        limit: int,
        columns: Sequence[str],
        condition: str | None = None,
        nearness: Nearness = AS_TUNED,
        ordered: bool = False,
    ) -> tuple[list[pa.Table], list[pa.Table]]:
        """``nearest`` of each vector and ``matching`` of each query, side by side.

        The nearest rows are in no order unless they shall be ``ordered``: who scores them by their vectors spares LanceDB that.
        """
        asked = self._comparable(vectors)
        # LanceDB sets room aside for as many rows as are asked for, and ends the process where there is no such room.
        limit = min(limit, max(self._rows, 1))
        wanted = Wanted(limit, columns, condition)
        if len(asked) and self.codec is not None and not nearness.exact:
            with self._lock:
                self._coded = self._coded or CodedRows(self, self.codec)
            near = self._coded.nearest(asked, limit=limit, columns=columns, condition=condition)
            return near, run(self._asked.matching(queries, wanted))
        effort = self._effort(limit, condition, nearness) if len(asked) else None

        async def both() -> tuple[list[pa.Table], list[pa.Table]]:
            return await asyncio.gather(
                self._asked.nearest(asked, wanted, effort, ordered=ordered), self._asked.matching(queries, wanted)
            )

        return run(both())

    def head(
        self,
        vector: Vectors,
        /,
        *,
        wanted: int,
        limit: int,
        columns: Sequence[str],
        condition: str | None = None,
        nearness: Nearness = AS_TUNED,
    ) -> tuple[pa.Table, float] | None:
        """The first rows that ``nearest`` has, ``wanted`` and a few more, and a cosine that none of its other rows exceeds.

        None where it takes all ``limit`` of them to know that: where codes choose them, and where the partitions that are read may hold so few
        that ``nearest`` would compare every row.
        """
        asked = self._comparable(vector[None, :])
        if not nearness.exact and (self.codec is not None or (condition is not None and self.indexed)):
            return None
        limit = min(limit, max(self._rows, 1))
        effort = self._effort(limit, None, nearness)
        size = wanted + max(_SPARE, wanted // 4)
        if effort is not None:
            nprobes, refine = effort
            if self.tuning is None or nprobes < self.tuning.partitions:
                return None
            # Refined are so many times the rows asked for; these must be the rows that all ``limit`` are chosen from.
            size = next((one for one in range(size, limit) if limit * refine % one == 0), limit)
            effort = nprobes, limit * refine // size
        if size >= limit:
            return None
        [table] = run(self._asked.compared(asked, Wanted(size, columns, condition), effort, ordered=True))
        if len(table) < size:
            return (table, -math.inf) if effort is None else None
        # Distances are sums of float32; the bound is twice what rounding can add up to in a dot product and two norms.
        slack = 4 * (asked.shape[1] + 8) * 2.0**-24
        return table, 1.0 - table.column("_distance")[-1].as_py() + slack

    def _comparable(self, vectors: Vectors) -> Vectors:
        queries = np.ascontiguousarray(vectors, np.float32)
        dim = self.header.card.dim
        if queries.ndim != 2 or queries.shape[1] != dim or not np.isfinite(queries).all() or not queries.any(axis=1).all():
            raise InvalidInputError(
                f"Query vectors of shape {queries.shape} cannot be compared with stored vectors of length {dim}: "
                "each must have that length, be finite, and not be all zeros."
            )
        # By a power of two, which rounds nothing: LanceDB's sums of squares are float32 and end at 2**128.
        scaled: Vectors = np.ldexp(queries, -np.frexp(np.abs(queries).max(axis=1, keepdims=True, initial=0))[1])
        return scaled

    def _effort(self, limit: int, condition: str | None, nearness: Nearness) -> Effort | None:
        """How many partitions of the index to read and how far to refine; None where every row is to be compared.

        With a filter as many rows that meet it are compared as there are rows without one, and never fewer than twice those wanted.
        """
        if nearness.exact or not self.indexed:
            return None
        rows = matches = self._rows
        if condition is not None:
            with told(self.path, "counting what a filter lets through"):
                matches = int(self.table.count_rows(condition))
            if matches <= _FEW:
                return None
        tuning = self.tuning or guess(rows)
        refine = nearness.refine or tuning.refine
        measured = min(math.ceil(tuning.nprobes * rows / matches), tuning.partitions)
        return nearness.nprobes or max(measured, enough(limit, refine, tuning.partitions, matches)), refine

    @cached_property
    def _rows(self) -> int:
        with told(self.path, "counting rows"):
            return int(self.table.count_rows())

    def addresses(self) -> Addresses:
        """The addresses of all rows, uint64 ``(n,)``, sorted."""
        with told(self.path, "reading rows"):
            return addresses(self.table)

    def rows(self, addresses: Sequence[int], columns: Sequence[str]) -> pa.Table:
        """The ``columns`` of the rows at these addresses, each given once, in order."""
        found = run(self._asked.rows(addresses, columns))
        stored, wanted = found.column("_rowid").to_numpy(), np.asarray(addresses, np.uint64)
        if np.array_equal(stored, wanted):
            return found
        order = np.argsort(stored)
        return found.take(order[np.searchsorted(stored, wanted, sorter=order)])
