"""Labels from a file and by rule."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragkit.errors import InvalidInputError, LoadError
from ragkit.testing.texts import pathological
from ragkit.train import Label, labels_by_rule, load_labels
from ragkit.types import Document

DOCUMENT = Document("One two three. Four five six.", id="a.txt")


def write(path: Path, *rows: object) -> Path:
    path.write_text("\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows), encoding="utf-8")
    return path


def test_rows_of_one_question_are_one_label(tmp_path: Path):
    row = {"question": "What?", "doc_id": "a.txt", "start": 0, "end": 14}
    file = write(tmp_path / "q.jsonl", row, "", row | {"start": 15, "end": 29}, row | {"scope": True})
    assert load_labels(file, [DOCUMENT]) == [
        Label(question="What?", spans=(("a.txt", 0, 14), ("a.txt", 15, 29))),
        Label(question="What?", spans=(("a.txt", 0, 14),), scope="a.txt"),
    ]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("{", ":1: not JSON"),
        ([1], "must be a JSON object"),
        ({"doc_id": "a.txt", "start": 0, "end": 1}, "question is None"),
        ({"question": "?", "doc_id": "b.txt", "start": 0, "end": 1}, "doc_id is 'b.txt'"),
        ({"question": "?", "doc_id": "a.txt", "start": 0, "end": 30}, "within the 29 characters"),
        ({"question": "?", "doc_id": "a.txt", "start": 3, "end": 3}, "start before end"),
        ({"question": "?", "doc_id": "a.txt", "start": False, "end": 3}, "whole numbers"),
        ("", "has no line"),
    ],
)
def test_bad_rows(tmp_path: Path, row: object, message: str):
    with pytest.raises(LoadError, match=message):
        load_labels(write(tmp_path / "q.jsonl", row), [DOCUMENT])


def test_missing_file(tmp_path: Path):
    with pytest.raises(LoadError, match="cannot be read"):
        load_labels(tmp_path / "none.jsonl", [DOCUMENT])


SENTENCES = st.lists(st.integers(1, 12), min_size=0, max_size=40)


@given(SENTENCES, st.integers(0, 5), st.sampled_from(["", "# A heading of some words\n\n", "## Two\n# Three ##\n"]))
def test_what_is_taken_out_is_asked_where_it_stood(lengths: list[int], seed: int, head: str):
    words = iter(f"w{number}" for number in range(10_000))
    text = head + " ".join(" ".join(next(words) for _ in range(length)).capitalize() + "." for length in lengths)
    document = Document(text, id="d", metadata={"title": "Title"})
    try:
        (kept,), labels = labels_by_rule([document], seed=seed)
    except InvalidInputError:
        return
    assert kept.metadata == document.metadata
    assert (kept.id, labels_by_rule([document], seed=seed)[1]) == ("d", labels)
    for label in labels:
        ((_, start, end),) = label.spans
        assert 0 <= start < end <= len(kept.text)
        asked = label.question.removeprefix("Title: ")
        assert asked in text
        assert asked not in kept.text
        # What stood before and after it in the document stands before and after its place.
        before, after = text.split(asked, 1)
        assert set(kept.text[:start].split()) <= set(before.split()) | set(kept.text[:start].split()[-1:])
        assert set(kept.text[end:].split()[1:]) <= set(after.split())


@pytest.mark.parametrize("text", pathological(3_000).values(), ids=pathological(3_000))
def test_odd_texts_never_break_it(text: str):
    try:
        kept, labels = labels_by_rule([Document(text, id="x")])
    except InvalidInputError:
        return
    for label in labels:
        assert kept[0].text[label.spans[0][1] : label.spans[0][2]].strip()
