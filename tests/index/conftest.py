"""Indexes over a cheap embedder, and a process that writes to them and may be killed."""

from __future__ import annotations

import runpy
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ragkit import Index
from ragkit.testing.embedders import HashEmbedder

Ask = Callable[..., dict[str, Any]]


@pytest.fixture
def index(tmp_path: Path) -> Iterator[Index]:
    with Index(tmp_path / "kb", embedder=HashEmbedder()) as opened:
        yield opened


@pytest.fixture(scope="session")
def writers() -> Iterator[Ask]:
    """A function that lets other processes write, and returns how each ended; ``tests/index/writers.py`` explains."""
    with runpy.run_path(str(Path(__file__).parent / "writers.py"))["writing"]() as ask:
        yield ask
