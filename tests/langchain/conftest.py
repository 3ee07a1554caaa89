"""What the LangChain tests share."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest


@pytest.fixture
def tiktoken_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    """Encodings without a network: another package carries them."""
    spec = find_spec("llama_index")
    assert spec is not None
    folders = [Path(place) / "core" / "_static" / "tiktoken_cache" for place in spec.submodule_search_locations or ()]
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(next(folder for folder in folders if folder.is_dir())))
