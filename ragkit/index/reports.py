"""What an index says about itself and about what it did."""

from __future__ import annotations

from dataclasses import dataclass

from ragkit.types import ModelCard


@dataclass(frozen=True, slots=True, kw_only=True)
class AddReport:
    """What one ``Index.add`` did.

    ``added``, ``replaced`` and ``unchanged`` count documents, ``chunks`` those written. Of their vectors
    ``embedded`` came from the model and ``reused`` from the database or from an equal text in the same call.
    ``skipped`` names documents that have nothing to index and why; earlier chunks of such a document were removed,
    and ``removed`` counts those documents. ``unfinished`` names stored documents of which a step of the chunker left
    something undone, such as words of a language model whose call failed: the next ``add`` of them tries again. ``optimized`` is False when the full-text index was left for later,
    ``note`` says why; searches are complete either way. ``seconds`` is the whole time.
    """

    added: int = 0
    replaced: int = 0
    unchanged: int = 0
    removed: int = 0
    chunks: int = 0
    embedded: int = 0
    reused: int = 0
    skipped: tuple[tuple[str, str], ...] = ()
    unfinished: tuple[tuple[str, str], ...] = ()
    optimized: bool = False
    note: str = ""
    seconds: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexStats:
    """Counts of an index and the settings it was made with.

    ``tokens`` and ``characters`` are summed over chunks, so overlaps count twice; ``bytes_on_disk`` includes old
    versions that a clean-up will drop; ``unindexed`` chunks are searched without the full-text index. ``chunker`` and
    ``analyzer`` are recipes (canonical JSON), ``chunker`` that of the next ``add``.
    """

    path: str
    documents: int
    chunks: int
    tokens: int
    characters: int
    bytes_on_disk: int
    unindexed: int
    version: int
    model: ModelCard
    chunker: str
    analyzer: str
