"""The vector index: none for small tables, compressed lists of vectors for large ones, built anew as a table outgrows it."""

from __future__ import annotations

import math
from typing import Any

from ragkit.store.nearness import Kind, Tuning

FLAT_BELOW = 20_000
BITS_ABOVE = 1_000_000
_OUTGROWN = 4


def kind_for(rows: int) -> Kind | None:
    """No index below 20,000 rows, bytes per dimension up to a million, bits beyond (LanceDB's IVF_SQ and IVF_RQ)."""
    if rows < FLAT_BELOW:
        return None
    return "IVF_SQ" if rows <= BITS_ABOVE else "IVF_RQ"


def guess(rows: int) -> Tuning:
    """Settings for an index nobody has measured: the partitions it would have now, a tenth of them read, at least 20."""
    kind = kind_for(rows) or "IVF_SQ"
    partitions = math.isqrt(rows)
    refine = 1 if kind == "IVF_SQ" else 10
    return Tuning(index=kind, rows=rows, partitions=partitions, nprobes=max(20, partitions // 10), refine=refine, recall=0.0)


def enough(limit: int, refine: int, partitions: int, rows: int) -> int:
    """How many partitions hold twice the candidates of a search, when ``rows`` count: fewer might not even hold the candidates."""
    return min(math.ceil(2 * limit * refine * partitions / max(rows, 1)), partitions)


def vector_index(table: Any, column: str) -> str | None:
    """The name of the index over a column of vectors; None without one."""
    return next((index.name for index in table.list_indices() if index.columns == [column]), None)


def due(table: Any, column: str, tuning: Tuning | None) -> bool:
    """True when a table has outgrown its vector index, has none and should, or has one and should not."""
    rows = int(table.count_rows())
    kind, name = kind_for(rows), vector_index(table, column)
    if kind is None:
        # A table that hovers about the limit does not build and drop by turns.
        return name is not None and rows < FLAT_BELOW // 2
    return name is None or (tuning is not None and (tuning.index != kind or rows >= _OUTGROWN * tuning.rows))


def build(table: Any, column: str) -> None:
    """Build the index that the size of the table asks for, in place of the one there is; drop it where it asks for none."""
    from lancedb.index import IvfRq, IvfSq

    rows = int(table.count_rows())
    kind, name = kind_for(rows), vector_index(table, column)
    if kind is not None:
        config = (IvfSq if kind == "IVF_SQ" else IvfRq)(distance_type="cosine", num_partitions=math.isqrt(rows))
        table.create_index(column, config=config, replace=True)
    elif name is not None:
        table.drop_index(name)


def remember(table: Any, column: str, tuning: Tuning) -> None:
    """Keep ``tuning`` with the table, in one commit, for every process that reads it."""
    table.update_field_metadata({"path": column, "metadata": tuning.to_metadata()})
