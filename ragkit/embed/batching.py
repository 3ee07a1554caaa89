"""How inputs of mixed length are put into batches."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def plan_batches(lengths: NDArray[np.int64], *, budget: int) -> list[NDArray[np.int64]]:
    """Groups of row numbers, longest first, each of at most ``budget`` padded tokens (rows x longest row).

    Every row is in exactly one group; a row longer than the budget makes a group alone. Sorting by length keeps
    padding small, and a small budget keeps a transformer's activations in a processor's cache.
    """
    order = np.argsort(-lengths, kind="stable")
    groups: list[NDArray[np.int64]] = []
    at = 0
    while at < len(order):
        rows = max(1, budget // max(1, int(lengths[order[at]])))
        groups.append(order[at : at + rows])
        at += rows
    return groups
