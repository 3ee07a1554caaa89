"""Numbers about a table: what BM25 needs, and what people ask."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ragkit.store.escape import unescape

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


class Counts(NamedTuple):
    """Rows, tokens of them all, and in how many rows each term is."""

    n_docs: int
    tokens: int
    df: dict[str, int]


def count_terms(lex: pa.ChunkedArray) -> Counts:
    """Counts of a column of tokens joined by blanks."""
    import pyarrow as pa
    import pyarrow.compute as pc

    n_docs = len(lex)
    if not n_docs:
        return Counts(0, 0, {})
    blocks = [pc.split_pattern(block, " ") for block in lex.chunks]
    # One dictionary for all blocks, so that Python touches each term once and not once per block.
    coded = pa.chunked_array([block.flatten() for block in blocks]).dictionary_encode().unify_dictionaries()
    terms = [unescape(term) for term in coded.chunk(0).dictionary.to_pylist()]
    counts = np.zeros(len(terms), np.int64)
    total = 0
    for block, codes in zip(blocks, coded.chunks, strict=True):
        places = codes.indices.to_numpy(zero_copy_only=False).astype(np.int64)
        rows = pc.list_parent_indices(block).to_numpy(zero_copy_only=False).astype(np.int64)
        # Sorting beats numpy's hashing unique here: 0.1 against 1 second for two million tokens.
        pairs = np.sort(rows * len(terms) + places)
        distinct = pairs[np.flatnonzero(np.diff(pairs, prepend=-1))]
        counts += np.bincount(distinct % len(terms), minlength=len(terms))
        total += len(places)
    df = dict(zip(terms, counts.tolist(), strict=True))
    # A chunk without tokens is an empty text, which splits into one empty term.
    return Counts(n_docs, total - df.pop("", 0), df)
