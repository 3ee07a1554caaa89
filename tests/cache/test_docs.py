"""The first program of the page on the cache runs as it stands, and so does every command of the page on its tools."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
from markdown_it import MarkdownIt
from typer.testing import CliRunner

from ragkit import SemanticCache
from ragkit.cache import Scope, Static
from ragkit.cli import caching_pairs
from ragkit.cli.app import app
from ragkit.testing.embedders import HashEmbedder

DOCS = Path(__file__).parents[2] / "docs"


def test_the_page_begins_with_a_program_that_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    page = (DOCS / "semantic-cache.md").read_text(encoding="utf-8")
    blocks = [part.split("```")[0] for part in page.split("```python\n")[1:]]
    monkeypatch.chdir(tmp_path)
    for block in blocks[:2]:
        exec(compile(block, "semantic-cache.md", "exec"), {})


def test_commands_that_the_page_on_tools_shows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Those in indented blocks, in one process and without a model; tests/repo runs the others with both."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(caching_pairs, "_embedder", lambda model, adapter: HashEmbedder())
    monkeypatch.setattr("ragkit.cache.opening.load_embedder", lambda card: HashEmbedder())
    page = MarkdownIt().parse((DOCS / "cache-tools.md").read_text(encoding="utf-8"))
    exec(next(token.content for token in page if token.info == "python"), {})
    with SemanticCache("answers.lance", embedder=HashEmbedder(), policy="certified") as cache:
        cache.put("How do I clean the kettle?", "With vinegar.", scope=Scope("acme", "gpt-5", "Be brief."))
        for _ in range(25):
            cache.lookup("How can I clean the kettle?", scope=Scope("acme", "gpt-5", "Be brief."))
        cache.adopt(Static(0.5))
    shown = [token.content.replace("\\\n", " ") for token in page if token.type == "code_block" and "ragkit" in token.content]
    assert len(shown) >= 3
    for command in shown:
        done = CliRunner().invoke(app, shlex.split(command)[1:])
        assert done.exit_code == 0, f"{command}\n{done.output}"
