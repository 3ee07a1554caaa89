"""Caches on a deterministic embedder, with a clock that tests turn."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ragkit import SemanticCache
from ragkit.testing.embedders import HashEmbedder


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Callable[..., SemanticCache]]:
    """Opens caches, by default on one path, and closes them in the end."""
    caches: list[SemanticCache] = []

    def open_(name: str = "cache.lance", **options: Any) -> SemanticCache:
        options.setdefault("embedder", HashEmbedder())
        caches.append(SemanticCache(tmp_path / name, **options))
        return caches[-1]

    yield open_
    for cache in caches:
        cache.close()
