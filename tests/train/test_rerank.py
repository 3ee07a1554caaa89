"""The trainer of compressed reranking, on a reader without a model: materials, lessons, the whole, and what it writes."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ragkit.chunk import RecursiveChunker
from ragkit.errors import InvalidInputError, LoadError
from ragkit.rerank import TokenCompressor
from ragkit.rerank.untrained import untrained_parameters
from ragkit.testing.embedders import HashReader
from ragkit.train import Label
from ragkit.train.rerank import RerankReport, train_reranker
from ragkit.train.rerank_exam import held_out
from ragkit.train.rerank_fit import FitSettings, average
from ragkit.train.rerank_lessons import bm25_of
from ragkit.train.rerank_materials import labelled, on_documents, taught
from ragkit.train.rerank_rules import Material, by_rule, functions
from ragkit.train.rerank_states import read_states
from ragkit.types import Document

WORDS = ["river", "stone", "bridge", "cloud", "harbour", "lantern", "meadow", "copper", "violin", "engine", "garden", "market"]
SETTINGS = FitSettings(steps=12, runs=2, every=6, questions=16, groups=3, per_group=6, vectors=6)


def material(seed: int = 0, documents: int = 12) -> Material:
    """Passages of random words; a question is a few words of its passage, among words that say nothing."""
    rng = np.random.default_rng(seed)
    passages, doc, questions, gold = [], [], [], []
    for number in range(documents):
        for _ in range(5):
            words = [f"{WORDS[int(rng.integers(12))]}{int(rng.integers(6))}" for _ in range(14)]
            for _ in range(2):
                asked = [words[int(place)] for place in rng.permutation(14)[:3]]
                questions.append("what is the " + " of the ".join(asked))
                gold.append(len(passages))
            passages.append("the " + " of the ".join(words))
            doc.append(number)
    return Material(name="words", passages=passages, doc=np.array(doc), questions=questions, gold=np.array(gold))


def train(folder: Path, *, seed: int = 0, made: Material | None = None) -> RerankReport:
    reader = HashReader(dim=64, window=200)
    settings = FitSettings(**{**{name: getattr(SETTINGS, name) for name in SETTINGS.__slots__}, "seed": seed})
    return train_reranker([(made or material(), 1.0)], reader=reader, folder=folder, layers=(2, 1), bits=64, settings=settings)


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> RerankReport:
    return train(tmp_path_factory.mktemp("states"))


def test_the_same_seed_gives_the_same_parameters(report: RerankReport, tmp_path: Path) -> None:
    again = train(tmp_path)
    assert again.parameters.digest == report.parameters.digest
    assert again.gains == report.gains


def test_the_untrained_form_is_kept_unless_documents_held_out_gain(report: RerankReport) -> None:
    if report.won:
        assert report.steps > 0
        assert report.gains["words"].mean > 0
    else:
        assert report.parameters.digest == report.untrained.digest


def test_a_short_run_is_judged_at_its_end(tmp_path: Path) -> None:
    said: list[str] = []
    train_reranker(
        [(material(documents=4), 1.0)],
        reader=HashReader(dim=64, window=200),
        folder=tmp_path,
        layers=(2, 1),
        bits=64,
        settings=replace(SETTINGS, steps=2, runs=1),
        say=said.append,
    )
    assert [text.split(":")[0] for text in said if text.startswith("step")] == ["step 0", "step 2"]


def test_states_are_read_once(tmp_path: Path) -> None:
    reader = HashReader(dim=32, window=20)
    texts = ["one two three", "four five", "", "many " * 50]
    first = read_states(reader, texts, layers=(1,), kind="passage", folder=tmp_path)
    reads = reader.reads
    again = read_states(reader, texts, layers=(1,), kind="passage", folder=tmp_path)
    assert reader.reads == reads
    assert np.diff(first.bounds).tolist() == np.diff(again.bounds).tolist() == [3, 2, 0, 0]
    assert (first.states == again.states).all()
    rows, edges = first.rows(np.array([1, 0]))
    assert rows.tolist() == [3, 4, 0, 1, 2]
    assert edges.tolist() == [0, 2, 5]


def test_nothing_held_out_is_learned_from(tmp_path: Path) -> None:
    """Questions on the held-out documents may be anything: the parameters stay the same."""
    made = material()
    report = train(tmp_path / "a", made=made)
    steering, testing = held_out(made, 0)
    asked = [
        text if made.doc[row] not in testing else "something else altogether"
        for text, row in zip(made.questions, made.gold, strict=True)
    ]
    other = Material(name="words", passages=made.passages, doc=made.doc, questions=asked, gold=made.gold)
    again = train(tmp_path / "b", made=other)
    assert set(steering) & set(testing) == set()
    assert report.steps == again.steps or not (report.won and again.won)
    if report.won and again.won:
        assert report.parameters.digest == again.parameters.digest


def test_a_card_is_written_beside_the_parameters(report: RerankReport, tmp_path: Path) -> None:
    report.save(tmp_path / "mine.safetensors")
    assert TokenCompressor(str(tmp_path / "mine.safetensors"), vectors=6).parameters.digest == report.parameters.digest
    card = (tmp_path / "mine.md").read_text(encoding="utf-8")
    assert report.parameters.digest in card
    assert "not told" in card
    json.dumps(report.to_dict())


def test_too_few_documents_are_told(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="at least 3"):
        train(tmp_path, made=material(documents=2))


def test_bm25_is_that_of_the_formula() -> None:
    found = bm25_of(
        np.array([1, 2], np.int32),
        np.array([0, 0]),
        np.array([1, 1, 3, 2], np.int32),
        np.array([0, 0, 0, 1]),
        np.array([0, 2.0, 1.0, 0]),
    )
    first = 2.0 * (2 * 2.2) / (2 + 1.2 * (0.25 + 0.75 * 3 / 2))
    second = 1.0 * 2.2 / (1 + 1.2 * (0.25 + 0.75 * 1 / 2))
    assert np.allclose(found, [[first, second]])


def test_by_rule_takes_questions_out_of_their_passages() -> None:
    text = "# Rivers\n\n" + " ".join(f"The {one} stood near the old town and nobody knew why." for one in WORDS) + "\n\n"
    documents = [Document(text.replace("old", f"old{number}"), id=str(number)) for number in range(4)]
    made = by_rule("some", documents, RecursiveChunker(max_tokens=60), seed=1)
    assert len(made.doc) == len(made.passages)
    assert len(made.gold) == len(made.questions) > 8
    again = by_rule("some", documents, RecursiveChunker(max_tokens=60), seed=1)
    assert again.questions == made.questions
    assert by_rule("some", documents, RecursiveChunker(max_tokens=60), seed=2).questions != made.questions


def test_docstrings_ask_for_their_functions(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text(
        'def f(x):\n    """Double a number that is given.\n\n    More."""\n    return 2 * x + 0 * 111111111111111111111111111111111111111111111111\n\n'
        "def g():\n    return '" + "y" * 90 + "'\n"
    )
    (tmp_path / "b.py").write_text("this is no python (")
    made = functions("code", tmp_path.glob("*.py"), root=tmp_path)
    said = made.questions.index("Double a number that is given.")
    assert made.gold[said] == 0
    named = [(text, row) for text, row in zip(made.questions, made.gold.tolist(), strict=True) if text != made.questions[said]]
    assert all("fg"[row] in re.findall(r"\w+", text) for text, row in named)
    assert len(made.questions) == len(set(made.questions))
    assert "Double" not in made.passages[0]
    assert "return 2 * x" in made.passages[0]
    assert len(made.passages) == 2


def test_functions_are_asked_for_by_name(tmp_path: Path) -> None:
    methods = "".join(
        f"    def turn_{one}(self, value):\n        {one} = value * 2\n" + "        return value + 1\n" * 3 for one in WORDS
    )
    (tmp_path / "a.py").write_text(f"class Wheel:\n{methods}")
    made = functions("code", [tmp_path / "a.py"], root=tmp_path)
    assert len(made.passages) == 12
    assert 4 <= len(made.questions) < 12
    for text, row in zip(made.questions, made.gold.tolist(), strict=True):
        assert f"turn_{WORDS[row]}" in text or f"turn {WORDS[row]}" in text
    assert functions("code", [tmp_path / "a.py"], root=tmp_path).questions == made.questions


def test_the_mean_of_runs_lies_between_them() -> None:
    one = untrained_parameters(HashReader(dim=16, window=20), ["a b c d", "c d e"], layers=(1,), bits=8)
    other = replace(one, documents=-one.documents, logits=one.logits + 1)
    assert np.allclose(average([one, one]).documents, one.documents)
    mean = average([one, other])
    assert np.allclose(mean.documents, 0)
    assert np.allclose(mean.logits, one.logits + 0.5, atol=2e-3)


def test_labels_on_documents_find_their_chunk() -> None:
    text = " ".join(f"Sentence number {number} stands here alone." for number in range(60))
    at = text.index("number 40")
    made = on_documents(
        [Document(text, id="d")], [Label(question="which?", spans=(("d", at, at + 9),))], RecursiveChunker(max_tokens=40)
    )
    assert "number 40" in made.passages[made.gold[0]]


def test_a_teachers_scores_are_learned_from(tmp_path: Path) -> None:
    made = material(documents=8)
    rng = np.random.default_rng(0)
    lines = []
    for question, gold in zip(made.questions, made.gold.tolist(), strict=True):
        rows = [gold, *(int(row) for row in rng.permutation(len(made.passages))[:3] if row != gold)]
        lines.append(
            json.dumps(
                {"question": question, "passages": [made.passages[row] for row in rows], "scores": [9.0, *range(len(rows) - 1)]}
            )
        )
    file = tmp_path / "scores.jsonl"
    file.write_text("\n".join(lines))
    read = taught(file)
    assert [read.passages[row] for row in read.gold] == [made.passages[row] for row in made.gold]
    assert train(tmp_path / "states", made=read).gains.keys() == {"taught"}


@pytest.mark.parametrize(
    "line",
    [
        "{",
        "[]",
        '{"question": "a"}',
        '{"question": "a", "passages": ["b"], "scores": [1]}',
        '{"question": "a", "passages": ["b", "c"], "scores": [1]}',
    ],
)
def test_scores_that_cannot_be_read_are_told_with_their_line(tmp_path: Path, line: str) -> None:
    file = tmp_path / "scores.jsonl"
    file.write_text("\n" + line)
    with pytest.raises(LoadError, match=":2"):
        taught(file)


def test_judged_questions_of_a_collection_become_material(tmp_path: Path) -> None:
    from ragkit.evaluate import load_collection

    (tmp_path / "corpus.jsonl").write_text("\n".join(json.dumps({"id": f"d{n}", "text": f"text {n}"}) for n in range(5)))
    (tmp_path / "queries.jsonl").write_text("\n".join(json.dumps({"id": f"q{n}", "text": f"asked {n}"}) for n in range(5)))
    (tmp_path / "qrels.tsv").write_text("q\td\tr\n" + "\n".join(f"q{n}\td{n}\t1" for n in range(4)))
    made = labelled(load_collection(tmp_path))
    assert sorted(made.questions) == ["asked 0", "asked 1", "asked 2", "asked 3"]
    assert all(made.passages[row][-1] == text[-1] for text, row in zip(made.questions, made.gold, strict=True))
