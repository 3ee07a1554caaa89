"""Threads over pieces of text, for tokenizers that let go of the interpreter's lock while they work."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import TypeVar

Result = TypeVar("Result")

#: Below so many characters a thread costs more than it saves.
_WORTH = 100_000
#: More threads than this wait for each other's Python.
_MOST = 4


def cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def map_texts(function: Callable[[str], Result], texts: Sequence[str], threads: int | None) -> list[Result]:
    """``[function(text) for text in texts]``, by so many threads (None: as many as there are cores, at most four)."""
    number = min(len(texts), min(cores(), _MOST) if threads is None else threads)
    if number < 2 or sum(map(len, texts)) < _WORTH:
        return [function(text) for text in texts]
    from concurrent.futures import ThreadPoolExecutor

    size = -(-len(texts) // number)
    runs = [texts[at : at + size] for at in range(0, len(texts), size)]
    with ThreadPoolExecutor(len(runs) - 1) as pool:
        others = [pool.submit(lambda run: [function(text) for text in run], run) for run in runs[1:]]
        return [function(text) for text in runs[0]] + [result for other in others for result in other.result()]
