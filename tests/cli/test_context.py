"""``--context``: what a model reads around a chunk, chosen by name."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from ragkit import Document, Index
from ragkit.cli.choices import ChunkerName, ContextName, make_chunker, with_context

Run = Callable[..., subprocess.CompletedProcess[str]]
TEXT = "# Top\n\nFirst words here. Second words here.\n\n## Inner\n\n" + "More words to read here. " * 60


@pytest.mark.parametrize("name", ContextName)
@pytest.mark.parametrize("chunker", [ChunkerName.auto, ChunkerName.sentence, ChunkerName.table])
def test_every_name_is_a_recipe_that_leaves_texts_alone(name: ContextName, chunker: ChunkerName) -> None:
    made = with_context(make_chunker(chunker, max_tokens=120, overlap=0, tokenizer="words"), name)
    document = Document(TEXT, id="a.md", metadata={"title": "Guide", "source": "a.md"})
    chunks = made(document)
    assert "".join(chunk.text for chunk in chunks) == TEXT
    contexts = " ".join(chunk.context for chunk in chunks)
    assert ("Guide" in contexts) == (name in (ContextName.titles, ContextName.title_words, ContextName.neighbours))
    assert ("More words" in contexts) == (name is ContextName.neighbours)
    if name in (ContextName.titles, ContextName.title_words) and chunker is not ChunkerName.table:
        assert {chunk.encoding.lexical for chunk in chunks} == {name is ContextName.title_words}
    late = name in (ContextName.late, ContextName.half_late)
    assert all((chunk.window == (0, len(TEXT))) == late for chunk in chunks)
    assert all((chunk.encoding.plain == 0.5) == (name not in (ContextName.none, ContextName.late)) for chunk in chunks)


def test_chunk_shows_the_context(run: Run, tmp_path: Path) -> None:
    (tmp_path / "guide.md").write_text(TEXT)
    done = run("chunk", "guide.md", "--max-tokens", "120", "--tokenizer", "words", "--context", "neighbours", "--json")
    assert done.returncode == 0, done.stderr
    chunks = json.loads(done.stdout)
    assert chunks[-1]["context"] == "Top > Inner\nMore words to read here."
    assert "".join(chunk["text"] for chunk in chunks) == TEXT


def test_index_records_it(run: Run, tmp_path: Path) -> None:
    """The database knows how its chunks were read, and reading them otherwise is a change."""
    (tmp_path / "guide.md").write_text(TEXT)
    done = run("index", "guide.md", "--db", "kb", "--context", "half-late", "--json")
    assert done.returncode == 0, done.stderr
    with Index(tmp_path / "kb", create=False) as index:
        recipe = json.loads(index.stats().chunker)
        assert recipe["steps"][0] | {"window": 0} == {"step": "late", "blend": 0.5, "window": 0, "overlap": 64}
        assert {chunk.encoding.plain for chunk in index.chunks_of("guide.md")} == {0.5}


def test_unknown_names_are_wrong_usage(run: Run) -> None:
    done = run("chunk", "guide.md", "--context", "magic")
    assert done.returncode == 2
    assert "half-late" in done.stderr
