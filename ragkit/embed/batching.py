"""How inputs of mixed length are put into batches."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

#: What one more forward pass costs, as a share of the budget in tokens: calls that do not grow with their input, and
#: matrices too small to be multiplied at full speed.
_PASS_SHARE = 32


def plan_batches(lengths: NDArray[np.int64], *, budget: int) -> list[NDArray[np.int64]]:
    """Groups of row numbers, longest first, each of at most ``budget`` padded tokens (rows x longest row).

    Every row is in exactly one group; a row longer than the budget makes a group alone. Rows are sorted by length,
    and of all ways to cut that order the one with the least padding plus cost per pass is taken (dynamic
    programming). A small budget keeps a transformer's activations in a processor's cache.
    """
    order = np.argsort(-lengths, kind="stable")
    longest = lengths[order]
    n, pass_cost = len(order), budget / _PASS_SHARE
    # cost[j] is the least cost of the first j rows, cut[j] where their last group begins.
    cost, cut = np.zeros(n + 1), np.zeros(n + 1, dtype=np.int64)
    floor = 0
    for end in range(1, n + 1):
        while floor < end - 1 and (end - floor) * longest[floor] > budget:
            floor += 1
        begins = np.arange(floor, end)
        totals = cost[floor:end] + (end - begins) * longest[floor:end]
        best = int(totals.argmin())
        cost[end], cut[end] = totals[best] + pass_cost, floor + best
    groups: list[NDArray[np.int64]] = []
    while n > 0:
        groups.append(order[cut[n] : n])
        n = int(cut[n])
    return groups[::-1]
