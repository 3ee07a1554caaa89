"""The two ways into a snapshot, as searches use them: narrow candidates first, whole rows for the hits only."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from ragkit.seams import Vectors
from ragkit.store.escape import escape, unescape
from ragkit.store.nearness import Nearness
from ragkit.store.rows import Stored, stored_columns, stored_from, vectors_from
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


class Pool:
    """The rows found for one question, each once: ``keys`` are their addresses, and ``table`` their columns."""

    def __init__(self, keys: Addresses, near: NDArray[np.bool_], matched: NDArray[np.bool_], table: pa.Table) -> None:
        self.keys: list[int] = keys.tolist()
        self.near, self.matched = near, matched
        self._table = table

    @cached_property
    def vectors(self) -> Vectors:
        """float32 ``(n, dim)``."""
        return vectors_from(self._table)

    @cached_property
    def documents(self) -> NDArray[np.int64]:
        """Numbers of the rows' documents in the order of their ids, which escaping keeps."""
        return np.unique(self._table.column("doc_id").to_numpy(), return_inverse=True)[1]

    @cached_property
    def starts(self) -> NDArray[np.int64]:
        """Where the chunks start in their documents."""
        starts: NDArray[np.int64] = self._table.column("start").to_numpy()
        return starts

    def counts(self, tokens: Sequence[str], /) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """How often each row has each of ``tokens``, ``(n, len(tokens))``, and how many tokens it has, ``(n,)``."""
        import pyarrow as pa
        import pyarrow.compute as pc

        words = pc.split_pattern(self._table.column("lex").combine_chunks(), " ")
        lengths: NDArray[np.int64] = pc.list_value_length(words).to_numpy().astype(np.int64)
        distinct = list(dict.fromkeys(tokens))
        places = pc.index_in(words.flatten(), value_set=pa.array(map(escape, distinct), pa.string()))
        here = places.is_valid().to_numpy(zero_copy_only=False)
        cells = np.repeat(np.arange(len(lengths)), lengths)[here] * len(distinct) + places.drop_null().to_numpy()
        counted = np.bincount(cells, minlength=len(lengths) * len(distinct)).reshape(len(lengths), len(distinct))
        return counted[:, [distinct.index(token) for token in tokens]], lengths

    def lex(self, place: int, /) -> list[str]:
        """The tokens of one row."""
        text = unescape(self._table.column("lex")[place].as_py())
        return text.split(" ") if text else []


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
        if len(asks) == 1 and len(near) + len(matched) == 1:
            [table] = (*near, *matched)
            keys = table.column(_ADDRESS).to_numpy()
            return [Pool(keys, np.full(len(keys), bool(near)), np.full(len(keys), bool(matched)), table)]
        known, columns = self._read(near, matched, whole=len(asks) == 1)
        nears, matches = iter(near), iter(matched)
        pools = []
        for one in asks:
            close = _addresses([] if one.vector is None else [next(nears)])
            found = _addresses([] if one.query is None else [next(matches)])
            keys = np.union1d(close, found)
            rows = columns.take(np.searchsorted(known, keys)) if len(keys) else None
            pools.append(Pool(keys, np.isin(keys, close), np.isin(keys, found), rows))
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
        keys = table.column(_ADDRESS).to_numpy()
        pool = Pool(keys, np.ones(len(keys), bool), np.zeros(len(keys), bool), table)
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


def _addresses(tables: Sequence[pa.Table]) -> Addresses:
    """The addresses in these tables, each once, sorted."""
    found = [table.column(_ADDRESS).to_numpy() for table in tables]
    return np.unique(np.concatenate(found)) if found else np.empty(0, np.uint64)
