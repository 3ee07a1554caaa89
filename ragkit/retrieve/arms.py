"""What a store must offer to be searched."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from ragkit.text.term_query import TermQuery
from ragkit.types import Chunk, TermStats

Vector = NDArray[np.float32]
Where = Mapping[str, Any]


class Ask(NamedTuple):
    """One question to the arms: what is None is not asked."""

    vector: Vector | None
    query: TermQuery | None


class Pool(Protocol):
    """The rows that the arms found for one question, each once, as far as scoring needs them: arrays of n, in any order.

    Nothing but ``keys`` is read of an empty one.
    """

    @property
    def keys(self) -> Sequence[Hashable]:
        """Each tells its row from every other of the same search."""
        ...

    @property
    def near(self) -> NDArray[np.bool_]:
        """Which rows the dense arm found."""
        ...

    @property
    def matched(self) -> NDArray[np.bool_]:
        """Which rows the BM25 arm found."""
        ...

    @property
    def vectors(self) -> NDArray[np.float32]:
        """float32 ``(n, dim)``; read where the question has a vector."""
        ...

    @property
    def documents(self) -> NDArray[np.int64]:
        """Numbers of the rows' documents, in the order of their ids; read in hybrid searches only."""
        ...

    @property
    def starts(self) -> NDArray[np.int64]:
        """Where the chunks start in their documents; read in hybrid searches only."""
        ...

    def counts(self, tokens: Sequence[str], /) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """How often each row has each of ``tokens``, ``(n, len(tokens))``, and how many tokens it has, ``(n,)``."""
        ...

    def lex(self, place: int, /) -> Sequence[str]:
        """The tokens of one row under the analyzer of the query's; read for questions that exclude words."""
        ...


class Head(Protocol):
    """The first rows of a vector's pool, best first by the arm's own measure."""

    @property
    def pool(self) -> Pool: ...

    @property
    def rest(self) -> float:
        """A cosine that no other row of the whole pool exceeds; minus infinity where there is none."""
        ...


class Found(Protocol):
    """A stored row as far as a hit needs it."""

    @property
    def chunk(self) -> Chunk: ...

    @property
    def lines(self) -> tuple[int, int]:
        """First and last line of the chunk in its document, counted from 1."""
        ...

    @property
    def document(self) -> str:
        """The digest of the document as stored, "" where the store keeps none."""
        ...


class Arms(Protocol):
    """The two ways into a store, for one search."""

    def pools(self, asks: Sequence[Ask], /, *, limit: int, where: Where | None = None) -> Sequence[Pool]:
        """For each question up to ``limit`` rows nearest to its vector by cosine, and up to ``limit`` that match its query, the best.

        ``where`` applies before the cut; an arm gives fewer only when there are no more.
        """
        ...

    def head(self, vector: Vector, /, *, wanted: int, limit: int, where: Where | None = None) -> Head | None:
        """At least ``wanted`` rows of the pool that a question of this vector alone has, where that costs less; else None."""
        ...

    def rows(self, keys: Sequence[Any], /) -> Sequence[Found]:
        """Everything about rows of this store's pools, in order."""
        ...

    def term_stats(self) -> TermStats:
        """BM25's statistics over all rows, whatever ``where`` says."""
        ...
