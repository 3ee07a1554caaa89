"""What a store must offer to be searched."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from ragkit.text.term_query import TermQuery
from ragkit.types import Chunk, TermStats

Vector = NDArray[np.float32]
Where = Mapping[str, Any]


class Candidate(Protocol):
    """A stored row as far as scoring needs it, whichever arm found it."""

    @property
    def key(self) -> Hashable:
        """Tells this row from every other of the same search."""
        ...

    @property
    def place(self) -> tuple[str, int]:
        """Document id and start of the chunk; read in hybrid searches only."""
        ...

    @property
    def vector(self) -> Vector:
        """float32 ``(dim,)``; read in dense and hybrid searches only."""
        ...

    @property
    def lex(self) -> Sequence[str]:
        """The chunk's tokens under the analyzer of the query's tokens; read in BM25 and hybrid searches only."""
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
    """The two ways into a store, for one search. Both apply ``where`` before they cut at ``limit``."""

    def nearest(self, vector: Vector, /, *, limit: int, where: Where | None = None) -> Sequence[Candidate]:
        """Up to ``limit`` rows nearest to ``vector`` by cosine; fewer only when there are no more."""
        ...

    def matching(self, query: TermQuery, /, *, limit: int, where: Where | None = None) -> Sequence[Candidate]:
        """Up to ``limit`` rows that match ``query``, best first; fewer only when there are no more."""
        ...

    def rows(self, candidates: Sequence[Any], /) -> Sequence[Found]:
        """Everything about candidates that this store gave, in order."""
        ...

    def term_stats(self) -> TermStats:
        """BM25's statistics over all rows, whatever ``where`` says."""
        ...


@runtime_checkable
class BatchArms(Protocol):
    """A store that answers many queries together for less than one by one."""

    def nearest_many(
        self, vectors: NDArray[np.float32], /, *, limit: int, where: Where | None = None
    ) -> Sequence[Sequence[Candidate]]:
        """``nearest`` of each row of ``vectors`` ``(n, dim)``, in order."""
        ...

    def matching_many(
        self, queries: Sequence[TermQuery], /, *, limit: int, where: Where | None = None
    ) -> Sequence[Sequence[Candidate]]:
        """``matching`` of each query, in order."""
        ...
