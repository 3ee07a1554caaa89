"""The documents agree with the tree: links lead somewhere, no path of one machine, one version."""

from __future__ import annotations

import re
from datetime import date
from itertools import pairwise
from pathlib import Path

import pytest
from markdown_it import MarkdownIt

import ragkit

ROOT = Path(__file__).resolve().parents[2]
NOT_OURS = {".git", ".venv", ".demo", "dist", "build", "__pycache__"}


def ours(path: Path) -> bool:
    """Not in version control's own folder, an environment, a cache or a build."""
    parts = path.relative_to(ROOT).parts
    return path.is_file() and not any(
        part in NOT_OURS or part.endswith(("_cache", ".egg-info", ".lance")) or part == ".hypothesis" for part in parts
    )


FILES = sorted(path for path in ROOT.rglob("*") if ours(path))
PAGES = [path for path in FILES if path.suffix == ".md"]


def links(page: Path) -> list[str]:
    """Targets of links and images, read as Markdown, so that code does not count."""
    found = []
    for token in MarkdownIt().parse(page.read_text(encoding="utf-8")):
        found += [
            str(child.attrGet("href") or child.attrGet("src"))
            for child in token.children or ()
            if child.type in ("link_open", "image")
        ]
    return found


def anchors(page: Path) -> set[str]:
    """The anchors that a forge makes of headings: lower case, no punctuation, hyphens for blanks."""
    tokens = MarkdownIt().parse(page.read_text(encoding="utf-8"))
    titles = [after.content for before, after in pairwise(tokens) if before.type == "heading_open"]
    return {re.sub(r"[^\w\- ]", "", re.sub(r"[`*]", "", title)).lower().replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", [pytest.param(page, id=page.relative_to(ROOT).as_posix()) for page in PAGES])
def test_links_lead_somewhere(page: Path):
    dead = []
    for link in links(page):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (anchor and target.suffix == ".md" and anchor not in anchors(target)):
            dead.append(link)
    assert not dead


# Folders that exist on one machine only. Built from parts, so that this file does not match itself.
PRIVATE = re.compile(r"(?<![\w.:/-])/(?:work|root|opt/\w+|tmp/env|home/\w+|Users/\w+)/[\w.-]")
OUTSIDE = re.compile(r"\.\./" + r"shared\b")
MAY_NAME_OUTSIDE = {".ci/run"}


def test_no_path_of_one_machine():
    found = []
    for path in FILES:
        name = path.relative_to(ROOT).as_posix()
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        for number, line in enumerate(text.splitlines(), 1):
            if PRIVATE.search(line) or (OUTSIDE.search(line) and name not in MAY_NAME_OUTSIDE):
                found.append(f"{name}:{number}: {line.strip()[:120]}")
    assert not found


def test_version_and_changelog_agree():
    """The newest release in the change log is the version of the package, in the form of Keep a Changelog."""
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    releases = re.findall(r"^## \[(\d+\.\d+\.\d+)\] - (\d{4}-\d\d-\d\d)$", text, re.MULTILINE)
    headings = re.findall(r"^## .*$", text, re.MULTILINE)
    assert len(releases) == len([heading for heading in headings if heading != "## [Unreleased]"]), headings
    assert releases[0][0] == ragkit.__version__
    assert [version for version, _ in releases] == sorted(
        (version for version, _ in releases), key=lambda v: [int(n) for n in v.split(".")], reverse=True
    )
    assert all(date.fromisoformat(day) for _, day in releases)
    kinds = set(re.findall(r"^### (.*)$", text, re.MULTILINE))
    assert kinds <= {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}


def test_decisions_are_numbered_and_listed():
    """Every decision has its own number and stands in the list of docs/adr/README.md."""
    folder = ROOT / "docs" / "adr"
    names = sorted(path.name for path in folder.glob("[0-9]*.md"))
    assert names
    numbers = [name[:4] for name in names]
    assert len(set(numbers)) == len(numbers)
    listed = links(folder / "README.md")
    assert [name for name in names if name not in listed] == []
    for name in names:
        text = (folder / name).read_text(encoding="utf-8")
        assert re.match(rf"# {int(name[:4])}\. \S", text), f"{name} begins with its number and title"
        assert re.findall(r"^## (.*)$", text, re.MULTILINE)[:3] == ["Context", "Decision", "Consequences"], name
