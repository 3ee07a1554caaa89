"""The first program of the page on the cache runs as it stands."""

from __future__ import annotations

from pathlib import Path


def test_the_page_begins_with_a_program_that_runs(tmp_path: Path, monkeypatch):
    page = (Path(__file__).parents[2] / "docs" / "semantic-cache.md").read_text(encoding="utf-8")
    blocks = [part.split("```")[0] for part in page.split("```python\n")[1:]]
    monkeypatch.chdir(tmp_path)
    for block in blocks[:2]:
        exec(compile(block, "semantic-cache.md", "exec"), {})
