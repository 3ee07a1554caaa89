"""How hard a vector search looks, and what was measured about a table's vector index."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any, Literal

from ragkit.errors import InvalidInputError

Kind = Literal["IVF_SQ", "IVF_RQ"]
# What stands under "ragkit.nearness" was measured while searches read every partition, and is measured anew.
_KEY = b"ragkit.nearness.2"


@dataclass(frozen=True, slots=True, kw_only=True)
class Nearness:
    """How hard a vector search looks; without settings as hard as was measured to be needed (``Index.tune``).

    ``nprobes`` is how many partitions of the vector index are read, more where a filter leaves too few rows in them;
    ``refine`` how many times more candidates are compared by their compressed vectors than by their own. ``exact`` reads every
    vector instead of the index. Scores are cosines of the stored vectors whatever stands here.

    Raises InvalidInputError for numbers below 1, and for ``exact`` together with a number.
    """

    nprobes: int | None = None
    refine: int | None = None
    exact: bool = False

    def __post_init__(self) -> None:
        if not isinstance(self.exact, bool):
            raise InvalidInputError(f"Nearness exact is {self.exact!r}; it is True (every vector is compared) or False.")
        for name, value in (("nprobes", self.nprobes), ("refine", self.refine)):
            if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < 1):
                raise InvalidInputError(
                    f"Nearness {name} is {value!r}; it must be a whole number, at least 1, or None (as tuned)."
                )
            if value is not None and self.exact:
                raise InvalidInputError(
                    f"Nearness {name}={value} is a setting of the index, and exact=True reads no index. Choose one."
                )


AS_TUNED = Nearness()


@dataclass(frozen=True, slots=True, kw_only=True)
class Tuning:
    """What ``tune`` found: the settings, and the recall they reached on ``queries`` stored vectors.

    ``recall`` is the share of the ``k`` nearest others of a vector that are among the candidates of a search. ``index`` is
    None in a table without a vector index, where every search is exact. ``rows`` is the size of the table when the index
    was built, ``partitions`` how many the index has.
    """

    index: Kind | None
    rows: int
    partitions: int = 0
    nprobes: int = 1
    refine: int = 1
    recall: float = 1.0
    target: float = 1.0
    queries: int = 0

    def to_metadata(self) -> dict[str, str]:
        """What stands in the metadata of the column of vectors."""
        return {_KEY.decode(): json.dumps(asdict(self), sort_keys=True)}


def tuning_in(field: Any) -> Tuning | None:
    """The tuning in the metadata of an Arrow field; None where there is none, or one that this version cannot read."""
    value = (field.metadata or {}).get(_KEY)
    try:
        return Tuning(**json.loads(value)) if value else None
    except (ValueError, TypeError):
        return None
