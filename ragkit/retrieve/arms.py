"""What a store must offer to be searched."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from ragkit.types import Chunk, TermStats

Vector = NDArray[np.float32]
Where = Mapping[str, Any]


class Candidate(Protocol):
    """A stored row: everything both arms need to score it, whichever arm found it."""

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

    @property
    def vector(self) -> Vector:
        """float32 ``(dim,)``."""
        ...

    @property
    def lex(self) -> Sequence[str]:
        """The chunk's tokens under the analyzer that also made the query's tokens."""
        ...


class Arms(Protocol):
    """The two ways into a store. Both apply ``where`` before they cut at ``limit``."""

    def nearest(self, vector: Vector, /, *, limit: int, where: Where | None = None) -> Sequence[Candidate]:
        """Up to ``limit`` rows nearest to ``vector`` by cosine; fewer only when there are no more."""
        ...

    def matching(self, tokens: Sequence[str], /, *, limit: int, where: Where | None = None) -> Sequence[Candidate]:
        """Up to ``limit`` rows that hold at least one of ``tokens``, best first; fewer only when there are no more."""
        ...

    def term_stats(self) -> TermStats:
        """BM25's statistics over all rows, whatever ``where`` says."""
        ...


@runtime_checkable
class BatchArms(Protocol):
    """A store that can look for many vectors in one scan."""

    def nearest_many(
        self, vectors: NDArray[np.float32], /, *, limit: int, where: Where | None = None
    ) -> Sequence[Sequence[Candidate]]:
        """``nearest`` of each row of ``vectors`` ``(n, dim)``, in order."""
        ...
