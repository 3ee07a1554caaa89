"""Indexes over a cheap embedder, and a process that writes to them and may be killed."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ragkit import Index
from ragkit.testing.embedders import HashEmbedder

HERE = Path(__file__).parent
Ask = Callable[..., dict[str, Any]]


@pytest.fixture
def index(tmp_path: Path) -> Iterator[Index]:
    with Index(tmp_path / "kb", embedder=HashEmbedder()) as opened:
        yield opened


@pytest.fixture(scope="session")
def writers() -> Iterator[Ask]:
    """A function that lets other processes add documents, and returns how each ended; ``tests/index/writers.py`` explains."""
    process = subprocess.Popen(
        [sys.executable, str(HERE / "writers.py")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdin is not None
    assert process.stdout is not None

    def ask(**order: Any) -> dict[str, Any]:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps(order) + "\n")
        process.stdin.flush()
        answer: dict[str, Any] = json.loads(process.stdout.readline())
        return answer

    yield ask
    process.stdin.close()
    process.wait(timeout=30)
