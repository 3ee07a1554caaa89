"""Pairs of prompts that look alike and must not share an answer, and paraphrases that may: written for this repository."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from typing import Literal

#: "seen" pairs were looked at while the guards were made; "held out" ones were written with them and not looked at;
#: "later" ones were written after the guards were finished.
Part = Literal["seen", "held out", "later"]


@dataclass(frozen=True, slots=True)
class Pair:
    """Two prompts, whether one answer does for both, and what kind of trap it is ("same" for paraphrases)."""

    left: str
    right: str
    same: bool
    kind: str
    part: Part


@lru_cache(maxsize=1)
def load_suite() -> tuple[Pair, ...]:
    """All pairs that ragkit ships."""
    rows = files("ragkit.cache").joinpath("data/suite.tsv").read_text(encoding="utf-8").splitlines()[1:]
    pairs = []
    for row in rows:
        part, kind, left, right = row.split("\t")
        pairs.append(Pair(left, right, kind == "same", kind, part))  # type: ignore[arg-type]
    return tuple(pairs)
