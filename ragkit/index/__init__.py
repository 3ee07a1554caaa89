"""The index: the object people hold."""

from ragkit.index.index import Index
from ragkit.index.reports import AddReport, IndexStats

__all__ = ["AddReport", "Index", "IndexStats"]
