"""The store: chunks, vectors and BM25 tokens in LanceDB."""

from ragkit.store.chunks import ChunkStore
from ragkit.store.columns import Column, declared
from ragkit.store.filling import declare
from ragkit.store.filters import compile_where
from ragkit.store.nearness import AS_TUNED, Nearness, Tuning
from ragkit.store.rows import DocumentRows, Row
from ragkit.store.schema import FORMAT, Header
from ragkit.store.statistics import StoreStats

__all__ = [
    "AS_TUNED",
    "FORMAT",
    "ChunkStore",
    "Column",
    "DocumentRows",
    "Header",
    "Nearness",
    "Row",
    "StoreStats",
    "Tuning",
    "compile_where",
    "declare",
    "declared",
]
