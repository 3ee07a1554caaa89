"""What becomes of ranked hits: which are shown, and how much around each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from ragkit.errors import InvalidInputError
from ragkit.retrieve.select import cap_documents, fold_copies, mmr
from ragkit.seams import Vectors
from ragkit.types import Hit

Expand = int | Literal["section", "parent"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """How ranked hits are chosen and how much around each is shown: ``index.search(question, shape=Shape(mmr=0.7))``.

    Applied in this order, after any ``rerank``:

    1. ``fold``, in (0, 1]: a near copy of a better hit goes into its ``hit.folded``; 0.8 is a good likeness (``fold_copies``).
    2. ``per_document``, at least 1: the most hits of one document.
    3. ``mmr``, in [0, 1]: of the ``fetch_k`` best that are left, each next one by relevance (1) or by difference from those
       before it (0); 0.7 is usual (``mmr``).
    4. ``expand``: a number of neighbouring chunks on either side; "section", the chunks under the same headings and below
       them, or of the same scope in code; "parent", the nearest that ``Parents`` gave the chunk. Never across a hole between chunks,
       and never over ``max_tokens`` tokens of the chunks together, the nearest first. A hit inside a passage that is
       there already goes into its ``folded``; no chunk is in two passages. A chunk counts under the headings where it begins; one
       that is under none stays as it is.

    Raises InvalidInputError for values out of range, and for ``max_tokens`` without ``expand``.
    """

    fold: float | None = None
    per_document: int | None = None
    mmr: float | None = None
    expand: Expand | None = None
    max_tokens: int | None = None

    def __post_init__(self) -> None:
        _share("fold", self.fold, "how alike copies are, above 0, up to 1 (equal words)", above=True)
        _share("mmr", self.mmr, "from 0 (difference only) to 1 (relevance only)", above=False)
        _count("per_document", self.per_document)
        _count("max_tokens", self.max_tokens)
        if isinstance(self.expand, str):
            if self.expand not in ("section", "parent"):
                raise InvalidInputError(f"expand is {self.expand!r}; it is 'section', 'parent' or a number of neighbours.")
        else:
            _count("expand", self.expand)
        if self.max_tokens is not None and self.expand is None:
            raise InvalidInputError("max_tokens limits what expand adds, and expand is not set. Set it, or leave max_tokens out.")


def choose(
    hits: Sequence[Hit], shape: Shape, *, fetch_k: int, vectors: Callable[[Sequence[Hit]], Vectors]
) -> tuple[list[Hit], bool]:
    """The hits by ``fold``, ``per_document`` and ``mmr``; and True when ``mmr`` had its full choice of ``fetch_k``.

    ``hits`` are best first; ``vectors`` gives the unit rows ``(n, dim)`` of some of them. The first k are the
    beginning of more, as long as ``hits`` is.
    """
    chosen = list(hits)
    if shape.fold is not None:
        chosen = [replace(hit, folded=(*hit.folded, *copies)) for hit, copies in fold_copies(chosen, likeness=shape.fold)]
    if shape.per_document is not None:
        chosen = cap_documents(chosen, per_document=shape.per_document)
    if shape.mmr is None:
        return chosen, True
    full = len(chosen) >= fetch_k
    chosen = chosen[:fetch_k]
    return mmr(chosen, vectors(chosen), k=fetch_k, balance=shape.mmr), full


def _share(name: str, value: float | None, meaning: str, *, above: bool) -> None:
    if value is None:
        return
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not number or not 0 <= value <= 1 or (above and value == 0):
        raise InvalidInputError(f"{name} is {value!r}; it is a number, {meaning}.")


def _count(name: str, value: object) -> None:
    if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < 1):
        raise InvalidInputError(f"{name} is {value!r}; it must be a whole number, at least 1.")
