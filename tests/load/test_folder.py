"""load_folder: order, identity, patterns, and an account of everything left out."""

from __future__ import annotations

from pathlib import Path

import pytest

from ragkit.errors import InvalidInputError, LoadError
from ragkit.load import load_folder


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    for name, data in {
        "b.md": b"# B",
        "a.txt": b"a",
        "docs/guide.md": b"guide",
        "docs/deep/page.html": b"<p>page</p>",
        "docs/node_modules/dep.js": b"x()",
        "src/main.py": b"print()",
        "src/image.png": b"\x89PNG\0\0",
        "src/noise": b"\0\1\2",
        ".git/config": b"[core]",
        ".env": b"SECRET=1",
        "empty.txt": b"",
    }.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return root


def test_sorted_ids_and_a_full_account(tree: Path) -> None:
    (tree / "loop").symlink_to(tree)
    documents = load_folder(tree)
    ids = [document.id for document in documents]
    assert ids == [
        "a.txt", "b.md", "empty.txt", "docs/guide.md", "docs/deep/page.html", "docs/node_modules/dep.js", "src/main.py",
    ]  # fmt: skip
    account = {entry.path.relative_to(tree).as_posix(): entry.kind for entry in documents.skipped}
    assert account == {
        ".git": "hidden",
        ".env": "hidden",
        "loop": "link",
        "src/image.png": "unsupported",
        "src/noise": "unsupported",
    }
    assert documents.failed == []
    every = {path.relative_to(tree).as_posix() for path in tree.rglob("*") if path.is_file() and "loop" not in path.parts}
    assert every - set(ids) - set(account) == {".git/config"}


def test_include_and_exclude(tree: Path) -> None:
    documents = load_folder(tree, include=["*.md", "docs/*"], exclude=["node_modules"])
    assert [document.id for document in documents] == ["b.md", "docs/guide.md", "docs/deep/page.html"]
    assert {entry.kind for entry in documents.skipped} == {"excluded", "hidden"}
    assert [document.id for document in load_folder(tree, include="*.txt")] == ["a.txt", "empty.txt"]


def test_several_paths_share_a_root_and_repeat_nothing(tree: Path) -> None:
    documents = list(load_folder([tree / "docs" / "guide.md", tree / "src", tree / "src" / "main.py"]))
    assert [document.id for document in documents] == ["docs/guide.md", "src/main.py"]
    assert [document.id for document in load_folder(tree / "docs", root=tree, include="*.md")] == ["docs/guide.md"]


def test_a_named_hidden_path_is_taken(tree: Path) -> None:
    assert [document.id for document in load_folder([tree / ".env", tree / ".git"])] == [".env", ".git/config"]


def test_failures_are_raised_or_collected(tree: Path) -> None:
    (tree / "broken.pdf").write_bytes(b"%PDF-1.4 nothing")
    (tree / "fake.txt").write_bytes(b"\0\0")
    (tree / "gone.md").symlink_to("nowhere")
    with pytest.raises(LoadError, match=r"broken\.pdf"):
        list(load_folder(tree))
    documents = load_folder(tree, on_error="collect")
    assert len(list(documents)) == 7
    assert [entry.path.name for entry in documents.failed] == ["broken.pdf", "fake.txt", "gone.md"]
    assert all(entry.path.name in entry.reason for entry in documents.failed)


def test_paths_lists_without_reading(tree: Path) -> None:
    documents = load_folder(tree, include="*.txt")
    assert documents.paths() == [tree / "a.txt", tree / "empty.txt"]
    assert documents.skipped == []


def test_bad_arguments(tree: Path) -> None:
    with pytest.raises(LoadError, match="does not exist"):
        load_folder(tree / "nowhere")
    with pytest.raises(InvalidInputError, match="on_error is 'ignore'"):
        load_folder(tree, on_error="ignore")  # type: ignore[arg-type]
    with pytest.raises(InvalidInputError, match="max_bytes is 0"):
        load_folder(tree, max_bytes=0)
    assert list(load_folder([])) == []
