"""The index: the object people hold."""

from ragkit.index.fit_blend import BlendReport, fit_blend
from ragkit.index.index import Index
from ragkit.index.moving import MoveReport, MoveState, drop_old_vectors, give_up_move, move, move_state
from ragkit.index.reports import AddReport, IndexStats

__all__ = [
    "AddReport",
    "BlendReport",
    "Index",
    "IndexStats",
    "MoveReport",
    "MoveState",
    "drop_old_vectors",
    "fit_blend",
    "give_up_move",
    "move",
    "move_state",
]
