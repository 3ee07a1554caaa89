"""The two ways into a snapshot, as searches use them: narrow candidates first, whole rows for the hits only."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np

from ragkit.seams import Vectors
from ragkit.store.nearness import Nearness
from ragkit.store.pools import Columns, Pool
from ragkit.store.rows import Stored, stored_columns, stored_from
from ragkit.store.snapshot import Snapshot
from ragkit.store.terms import Addresses
from ragkit.text.term_query import TermQuery
from ragkit.types import TermStats

if TYPE_CHECKING:
    import pyarrow as pa

Where = Mapping[str, Any]
_ADDRESS = "_rowid"


class Ask(Protocol):
    """One question to the arms; what is None is not asked."""

    @property
    def vector(self) -> Vectors | None: ...

    @property
    def query(self) -> TermQuery | None: ...


class Head(NamedTuple):
    """The rows nearest to a vector, and a cosine that no other row of its pool exceeds."""

    pool: Pool
    rest: float


class SnapshotArms:
    """Searches of one version. ``dense`` and ``words`` say which arms will be asked; ``condition`` makes SQL of a filter."""

    def __init__(
        self, snapshot: Snapshot, *, dense: bool, words: bool, nearness: Nearness, condition: Callable[[Where | None], str | None]
    ) -> None:
        self._snapshot, self._nearness, self._condition = snapshot, nearness, condition
        self._columns: list[str] = []
        if dense:
            self._columns.append(snapshot.header.vector)
        if words:
            self._columns.append("lex")
        if dense and words:
            self._columns += ["doc_id", "start"]
        self._whole: tuple[list[int], pa.Table] = ([], None)

    def pools(self, asks: Sequence[Ask], /, *, limit: int, where: Where | None = None) -> list[Pool]:
        """What both arms find for each question; the rows of many questions overlap, so their columns are read once, by address."""
        vectors = [one.vector for one in asks if one.vector is not None]
        near, matched = self._snapshot.found(
            np.stack(vectors) if vectors else np.empty((0, self._snapshot.header.card.dim), np.float32),
            [one.query for one in asks if one.query is not None],
            limit=limit,
            columns=[_ADDRESS, *(self._columns if len(asks) == 1 else [])],
            condition=self._condition(where),
            nearness=self._nearness,
        )
        words = [token for one in asks if one.query is not None for token in one.query.tokens]
        if len(asks) == len(near) + len(matched) == 1:
            [table] = (*near, *matched)
            return [_only(table, words, near=bool(near))]
        known, table = self._read(near, matched, whole=len(asks) == 1)
        columns = Columns(table, words)
        nears, matches = iter(near), iter(matched)
        pools = []
        for one in asks:
            close = _addresses([] if one.vector is None else [next(nears)])
            found = _addresses([] if one.query is None else [next(matches)])
            keys = np.union1d(close, found)
            pools.append(Pool(keys, np.searchsorted(known, keys), np.isin(keys, close), np.isin(keys, found), columns))
        return pools

    def _read(self, near: Sequence[pa.Table], matched: Sequence[pa.Table], *, whole: bool) -> tuple[Addresses, pa.Table]:
        """The addresses in these tables, each once, sorted, and the columns of their rows, which the tables have where they are ``whole``."""
        import pyarrow as pa

        if whole and (near or matched):
            rows = pa.concat_tables([table.select([_ADDRESS, *self._columns]) for table in (*near, *matched)])
            known, first = np.unique(rows.column(_ADDRESS).to_numpy(), return_index=True)
            return known, rows.take(first)
        known = _addresses([*near, *matched])
        return known, self._snapshot.rows(known.tolist(), self._columns) if len(known) else None

    def head(self, vector: Vectors, /, *, wanted: int, limit: int, where: Where | None = None) -> Head | None:
        """The ``wanted`` rows nearest to ``vector`` and a few more, of those that ``pools`` finds for it alone, read whole in one query.

        None where only all ``limit`` rows of the pool tell which these are.
        """
        whole = stored_columns(self._snapshot.header)
        found = self._snapshot.head(
            vector,
            wanted=wanted,
            limit=limit,
            columns=[_ADDRESS, *self._columns, *whole],
            condition=self._condition(where),
            nearness=self._nearness,
        )
        if found is None:
            return None
        table, rest = found
        pool = _only(table, [], near=True)
        self._whole = (pool.keys, table)
        return Head(pool, rest)

    def rows(self, keys: Sequence[int], /) -> list[Stored]:
        """The rows at these addresses as they are stored."""
        if not keys:
            return []
        known, table = self._whole
        if known and set(keys) <= set(known):
            places = [known.index(key) for key in keys]
            # The best stand in front, so little is made that nobody asked for.
            found = list(stored_from(table.slice(0, max(places) + 1)))
            return [found[place] for place in places]
        return list(stored_from(self._snapshot.rows(keys, stored_columns(self._snapshot.header))))

    def term_stats(self) -> TermStats:
        """BM25's statistics over all chunks of the version."""
        return self._snapshot.term_stats()


def _only(table: pa.Table, words: Sequence[str], *, near: bool) -> Pool:
    """The pool of one question that one arm was asked."""
    keys = table.column(_ADDRESS).to_numpy()
    all_, none = np.ones(len(keys), bool), np.zeros(len(keys), bool)
    return Pool(keys, np.arange(len(keys)), all_ if near else none, none if near else all_, Columns(table, words))


def _addresses(tables: Sequence[pa.Table]) -> Addresses:
    """The addresses in these tables, each once, sorted."""
    found = [table.column(_ADDRESS).to_numpy() for table in tables]
    return np.unique(np.concatenate(found)) if found else np.empty(0, np.uint64)
