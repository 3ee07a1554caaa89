"""Numbers about a table: what BM25 needs, and what people ask."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ragkit.store.escape import unescape
from ragkit.types import TermStats

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreStats:
    """Counts of a database: documents, chunks, tokens and characters of chunk text, bytes on disk (old versions
    included), chunks not yet in the full-text index, and the version (one more with every commit)."""

    documents: int
    chunks: int
    tokens: int
    characters: int
    bytes_on_disk: int
    unindexed: int
    version: int


def term_stats(lex: pa.ChunkedArray) -> TermStats:
    """Statistics of a column of tokens joined by blanks."""
    import pyarrow as pa
    import pyarrow.compute as pc

    n_docs = len(lex)
    if not n_docs:
        return TermStats(n_docs=0, mean_length=0.0, df={})
    counts: dict[str, int] = {}
    total = 0
    for block in lex.chunks:
        tokens = pc.split_pattern(block, " ")
        flat = tokens.flatten()
        coded = flat.dictionary_encode()
        codes = coded.indices.to_numpy(zero_copy_only=False).astype(np.int64)
        rows = pc.list_parent_indices(tokens).to_numpy(zero_copy_only=False).astype(np.int64)
        size = len(coded.dictionary)
        distinct = np.unique(rows * size + codes) % size
        for term, count in zip(coded.dictionary.to_pylist(), np.bincount(distinct, minlength=size).tolist(), strict=True):
            if term:
                counts[unescape(term)] = counts.get(unescape(term), 0) + count
        total += int(pc.sum(pc.not_equal(flat, pa.scalar(""))).as_py() or 0)
    return TermStats(n_docs=n_docs, mean_length=total / n_docs, df=counts)
