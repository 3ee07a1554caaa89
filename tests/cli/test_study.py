"""``ragkit study``: the tables, the page, interruption, and what goes wrong."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from ragkit.cli.app import app
from ragkit.testing.chat_server import Answer, chat_server
from ragkit.testing.embedders import HashEmbedder

Run = Callable[..., subprocess.CompletedProcess[str]]
Invoke = Callable[..., Result]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    docs = tmp_path / "docs"
    docs.mkdir()
    for name in ("cats", "dogs", "birds"):
        sections = "\n\n".join(
            f"## {name.capitalize()} and {topic}\n\nAll that is known of {name} and their {topic} stands here. "
            + " ".join(f"Line {line} on {topic} of {name} is told at length." for line in range(6))
            for topic in ("food", "sleep", "play", "health")
        )
        (docs / f"{name}.md").write_text(f"# {name.capitalize()}\n\n{sections}\n")
    (docs / "picture.png").write_bytes(b"\x89PNG\r\n\x1a\n\x00\x00")
    return docs


@pytest.fixture
def invoke(monkeypatch: pytest.MonkeyPatch) -> Iterator[Invoke]:
    """The command in this process, with an embedder that needs no model."""
    import ragkit.embed

    monkeypatch.setattr(ragkit.embed, "TransformerEmbedder", lambda *_, **__: HashEmbedder())

    def call(*arguments: str | Path) -> Result:
        return CliRunner().invoke(app, ["study", *map(str, arguments)])

    return call


def _data(result: Result) -> Any:
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_a_folder_is_studied_by_its_headings(invoke: Invoke, folder: Path, tmp_path: Path) -> None:
    page = tmp_path / "out.html"
    options = ("chunks", folder, "--sizes", "20,60", "--context", "plain,title", "--budget", "60,120")
    data = _data(invoke(*options, "--json", "--html", page))
    assert [one["name"] for one in data["recipes"]] == [
        "recursive 20",
        "recursive 60",
        "recursive 20 title",
        "recursive 60 title",
    ]
    assert len(data["questions"]) == 6
    assert "made from headings" in data["notes"][0]
    assert data["verdict"]["code"] in page.read_text()
    shown = invoke(*options)
    assert shown.exit_code == 0
    assert "Recipe: " in shown.stdout
    assert "recall@120" in shown.stdout
    assert "…" not in shown.stdout
    assert "6 questions, 3 documents" in shown.stderr


def test_given_questions_are_accounted_for(invoke: Invoke, folder: Path, tmp_path: Path) -> None:
    rows = [{"question": "What of cats?", "answer": "cats and their food"}, {"question": "What of fish?", "answer": "fish"}]
    (tmp_path / "q.jsonl").write_text("\n".join(map(json.dumps, rows)))
    done = invoke("chunks", folder, "--sizes", "30", "--questions", tmp_path / "q.jsonl", "--json")
    notes = " ".join(_data(done)["notes"])
    assert "1 of 2 questions could not be used" in notes
    assert "'What of fish?': the answer 'fish' is in no document" in notes
    (tmp_path / "none.jsonl").write_text(json.dumps(rows[1]))
    lost = invoke("chunks", folder, "--questions", tmp_path / "none.jsonl")
    assert lost.exit_code == 1
    assert "no question to study 'docs'" in lost.stderr


def test_an_interrupt_leaves_what_is_finished(
    invoke: Invoke, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys

    module = sys.modules["ragkit.evaluate.study"]
    real, names = module.run_recipe, []

    def impatient(recipe: Any, *rest: Any, **options: Any) -> Any:
        names.append(recipe.name)
        if len(names) == 2:
            raise KeyboardInterrupt
        return real(recipe, *rest, **options)

    monkeypatch.setattr(module, "run_recipe", impatient)
    options = ("chunks", folder, "--sizes", "20,40,60", "--context", "plain", "--cache", tmp_path / "cache", "--json")
    done = invoke(*options)
    assert done.exit_code == 130
    assert "stopped after 1 of 3 recipes. What is finished is kept" in done.stderr
    assert [one["name"] for one in json.loads(done.stdout)["recipes"]] == ["recursive 20"]
    names.append("no more")
    assert [one["name"] for one in _data(invoke(*options))["recipes"]] == ["recursive 20", "recursive 40", "recursive 60"]
    assert names == ["recursive 20", "recursive 40", "no more", "recursive 40", "recursive 60"]


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["chunks", "gone"], 1, "gone"),
        (["chunks", "empty"], 1, "no file with text"),
        (["chunks", "docs", "--sizes", "64,999"], 1, "The size 999 is beyond the model's window of 512"),
        (["chunks", "docs", "--sizes", "many"], 2, "whole numbers"),
        (["chunks", "docs", "--chunkers", "clever"], 1, "known are recursive"),
        (["chunks", "docs", "--context", "magic"], 1, "known are plain"),
        (["chunks", "docs", "--questions", "gone.jsonl"], 1, "gone.jsonl"),
        (["chunks", "docs", "--html", "out.txt"], 2, "does not end in .html"),
        (["chunks", "docs", "--ask", "m", "--questions", "headings"], 1, "one of them"),
        (["bias", "docs", "--size", "500"], 1, "window of 512"),
        (["robustness", "docs", "--changes", "magic"], 1, "known are typos"),
    ],
)
def test_what_goes_wrong_is_said(
    invoke: Invoke, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], code: int, says: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    (tmp_path / "empty").mkdir()
    done = invoke(*arguments)
    assert done.exit_code == code
    assert says in " ".join(done.stderr.split())


def test_a_chat_model_writes_the_questions(invoke: Invoke, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    replies = iter(range(1_000))

    def behave(messages: Any) -> Answer:
        passage = messages[-1]["content"].split("-----PASSAGE-----")[1].strip()
        if next(replies) % 5 == 4:
            return Answer(text="I would rather not.")
        return Answer(text=json.dumps({"question": "What is told first?", "answer": " ".join(passage.split()[:4])}))

    with chat_server(behave) as server:
        options = (
            "chunks",
            folder,
            "--sizes",
            "40",
            "--ask",
            "m",
            "--base-url",
            server.url,
            "--limit",
            "12",
            "--cache",
            tmp_path / "c",
        )
        data = _data(invoke(*options, "--json"))
        asked = len(server.requests)
        again = _data(invoke(*options, "--json"))
        assert len(server.requests) == asked
    assert again["questions"] == data["questions"]
    assert data["notes"][0] == "Questions: written by a language model."
    assert any("no JSON object" in note for note in data["notes"])
    assert 5 <= len(data["questions"]) < asked <= 12


def test_bias_and_robustness(invoke: Invoke, folder: Path) -> None:
    data = _data(invoke("bias", folder, "--size", "60", "--json"))
    assert set(data["inserted"]) == {"start", "middle", "end"}
    assert "end - start" in invoke("bias", folder, "--size", "60").stdout
    data = _data(invoke("robustness", folder, "--size", "60", "--json"))
    assert {one["change"] for one in data["drops"]} >= {"typos", "synonyms"}
    assert "word order" in invoke("robustness", folder, "--size", "60").stdout


def test_a_real_model_in_a_process_of_its_own(run: Run, folder: Path, tmp_path: Path) -> None:
    done = run("study", "chunks", "docs", "--sizes", "48", "--context", "plain,late", "--cache", "cache", "--json")
    assert done.returncode == 0, done.stderr
    data = json.loads(done.stdout)
    assert [one["context"] for one in data["recipes"]] == ["plain", "late"]
    assert data["embedder"] == 'TransformerEmbedder("all-MiniLM-L6-v2", window=256)'
    assert all(one["embed_seconds"] > 0 and one["timing"] == "measured" for one in data["recipes"])
    assert run("study", "--help").returncode == 0
