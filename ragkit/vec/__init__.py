"""Vector arithmetic on numpy alone: ranking with fixed ties, normalising scores, fusing rankings."""

from __future__ import annotations

from ragkit.vec.fuse import Normalize, fit_scale, reciprocal_ranks
from ragkit.vec.rank import order, ranks, top_k

__all__ = ["Normalize", "fit_scale", "order", "ranks", "reciprocal_ranks", "top_k"]
