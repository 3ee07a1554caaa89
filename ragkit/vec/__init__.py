"""Vector arithmetic on numpy alone: ranking with fixed ties, normalising scores, fusing rankings."""

from __future__ import annotations

from ragkit.vec.fuse import Bounds, convex, fit_bounds, reciprocal_ranks, rescale
from ragkit.vec.rank import order, ranks, top_k

__all__ = ["Bounds", "convex", "fit_bounds", "order", "ranks", "reciprocal_ranks", "rescale", "top_k"]
