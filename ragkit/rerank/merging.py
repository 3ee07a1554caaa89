"""Merge many token vectors into few: Ward's clusters, as token pooling does (2409.14683)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ragkit.errors import MissingDependencyError
from ragkit.vec.product import product


def ward(vectors: NDArray[np.float32], k: int) -> NDArray[np.int64]:
    """For each row the number of its cluster, int64 ``(n,)``, at most ``k`` clusters; with n <= k each row is its own."""
    n = len(vectors)
    if n <= k:
        return np.arange(n)
    try:
        from scipy.cluster.hierarchy import linkage
        from scipy.spatial.distance import squareform
    except ImportError as error:
        raise MissingDependencyError("Merging token vectors needs scipy: install the extra 'local'.") from error
    rows = vectors.astype(np.float64)
    squares = np.einsum("ij,ij->i", rows, rows)
    square = np.maximum(squares[:, None] + squares - 2 * product(rows, rows.T), 0.0)
    merges = linkage(np.sqrt(squareform(square, checks=False)), "ward")[: n - k, :2].astype(np.int64)
    return _labels(merges, n)


def _labels(merges: NDArray[np.int64], n: int) -> NDArray[np.int64]:
    """Clusters after these merges; merge i makes the node n + i. Numbered by first row."""
    parent = np.arange(n + len(merges))
    for node, (left, right) in enumerate(merges.tolist(), n):
        parent[left] = parent[right] = node
    for node in range(len(parent) - 1, -1, -1):
        parent[node] = parent[parent[node]]
    _, first, labels = np.unique(parent[:n], return_index=True, return_inverse=True)
    places = np.empty(len(first), np.int64)
    places[np.argsort(first)] = np.arange(len(first))
    return places[labels]
