"""What the documents show works: every Python block runs, every ``ragkit`` command runs, in the order of the page."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from markdown_it import MarkdownIt

ROOT = Path(__file__).resolve().parents[2]
PAGES = [path for path in (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))) if path.is_file()]


def blocks(page: Path) -> Iterator[tuple[str, str, int]]:
    """Language, text and line of each fenced block."""
    for token in MarkdownIt().parse(page.read_text(encoding="utf-8")):
        if token.type == "fence":
            yield token.info.strip(), token.content, (token.map or [0])[0] + 2


def commands(block: str) -> list[str]:
    """The lines of a shell block that call ragkit, continued lines joined, a prompt taken off."""
    lines = block.replace("\\\n", " ").splitlines()
    return [line.strip().removeprefix("$ ") for line in lines if line.strip().removeprefix("$ ").startswith("ragkit ")]


def runnable(page: Path) -> list[tuple[str, str, int]]:
    return [
        (kind, text, line)
        for kind, text, line in blocks(page)
        if kind == "python" or (kind in ("sh", "shell", "bash", "console") and commands(text))
    ]


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder such as a reader stands in: some of the repository's documents, enough to search, few enough to embed fast."""
    for page in (ROOT / "docs" / "cli.md", *sorted((ROOT / "docs" / "adr").glob("00[01]*.md"))):
        copy = tmp_path / page.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(page, copy)
    for name in ("README.md", "CHANGELOG.md", "ARCHITECTURE.md", "LICENSE"):
        shutil.copy(ROOT / name, tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("page", [pytest.param(page, id=page.relative_to(ROOT).as_posix()) for page in PAGES if runnable(page)])
def test_blocks_run(page: Path, workplace: Path):
    """One namespace for a page: a later block may use what an earlier one made."""
    namespace: dict[str, object] = {"__name__": "__main__"}
    for kind, text, line in runnable(page):
        if kind == "python":
            # Blank lines in front give an error the line it has on the page.
            exec(compile("\n" * (line - 1) + text, str(page), "exec"), namespace)
            continue
        for command in commands(text):
            done = subprocess.run(
                [sys.executable, "-m", *shlex.split(command, comments=True)],
                env=os.environ | {"PYTHONPATH": str(ROOT)},
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                check=False,
                timeout=240,
            )
            assert done.returncode == 0, f"{page.name}:{line}: {command}\n{done.stdout}{done.stderr}"


def test_readme_shows_something():
    """A README without a block would pass all of the above."""
    kinds = [kind for kind, _, _ in runnable(ROOT / "README.md")]
    assert kinds.count("python") >= 2
    assert len(kinds) > kinds.count("python")
