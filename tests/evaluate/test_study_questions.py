"""Questions given, made from headings, or written by a model: every one is placed exactly, or accounted for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ragkit import Document
from ragkit.errors import ContextError, InvalidInputError, LoadError
from ragkit.evaluate import Questions, given_questions, heading_questions, study_chunks, written_questions
from ragkit.testing.embedders import HashEmbedder

GUIDE = Document(
    "# Guide\n\nIntro words that stand before everything else here.\n\n"
    "## Setting a timeout\n\nPass the number of seconds to the client. The default is thirty seconds, and zero waits for ever.\n\n"
    "## Retries\n\nA request that fails is sent again three times, with pauses that double. Thirty seconds is the longest pause.\n\n"
    "### Short\n\nToo short.\n\n## Notes\n\n" + "Many notes of all kinds stand here, without an end. " * 3,
    id="guide.md",
    metadata={"title": "Guide", "media_type": "text/markdown"},
)
OTHER = Document(
    "# Other\n\n## Notes\n\n" + "Quite other notes are here, on quite another matter. " * 3 + "\n",
    id="other.md",
    metadata={"title": "Other", "media_type": "text/markdown"},
)
CODE = Document(
    "# not a heading\n" + "x = 1  # a comment that goes on and on\n" * 9, id="a.py", metadata={"media_type": "text/x-python"}
)


def _file(tmp_path: Path, *rows: Any) -> Path:
    path = tmp_path / "questions.jsonl"
    path.write_text("\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows) + "\n")
    return path


def _spanned(made: Questions, documents: list[Document]) -> dict[str, str]:
    texts = {document.id: document.text for document in documents}
    return {query.text: texts[doc][start:end] for query in made.queries for doc, start, end in made.spans[query.id]}


def test_given_questions_are_placed_or_listed(tmp_path: Path) -> None:
    start = GUIDE.text.index("A request")
    path = _file(
        tmp_path,
        {"text": "By offsets?", "doc_id": "guide.md", "start": start, "end": start + 9},
        {"question": "How long does it wait by default?", "answer": "The default is thirty\n seconds"},
        {"question": "In any case?", "answer": "pass THE number"},
        "",
        {"question": "Which is the longest pause?", "answer": "thirty seconds"},
        {"question": "Which is the longest pause?", "answer": "hirty seconds"},
        {"question": "Not there?", "answer": "forty-two"},
        {"question": "No such document?", "answer": "Notes", "doc_id": "gone.md"},
        {"text": "Beyond the end?", "doc_id": "guide.md", "start": 0, "end": 99_999},
        {"text": "No answer at all?"},
    )
    made = given_questions([GUIDE, OTHER], path)
    found = _spanned(made, [GUIDE, OTHER])
    assert found["By offsets?"] == "A request"
    assert found["How long does it wait by default?"] == "The default is thirty seconds"
    assert found["In any case?"] == "Pass the number"
    # The second "hirty seconds" has "is the longest pause" around it, as the question does.
    _, start, end = made.spans["line 6"][0]
    assert GUIDE.text[start:].startswith("hirty seconds is the longest")
    assert end == start + len("hirty seconds")
    assert [text for text, _ in made.resolved] == ["Which is the longest pause?"]
    assert "occurs 2 times" in made.resolved[0].reason
    assert dict(made.left_out) == {
        "Not there?": "the answer 'forty-two' is in no document",
        "No such document?": "there is no document 'gone.md'",
        "Beyond the end?": f"characters 0 to 99999 are not within the {len(GUIDE.text)} of 'guide.md'",
        "No answer at all?": "it has neither offsets nor an answer (the answer is None)",
    }
    assert len(made.queries) + len(made.left_out) == 9


def test_an_answer_of_everywhere_is_left_out() -> None:
    from ragkit.evaluate.questions import locate

    assert "occurs 80 times" in str(locate("Which?", "a", [Document("a " * 80, id="x")]))


@pytest.mark.parametrize("row", ["{", "[1]", '{"answer": "x"}', '{"text": " "}'])
def test_a_broken_line_is_an_error_with_its_place(tmp_path: Path, row: str) -> None:
    with pytest.raises(LoadError, match=r"questions\.jsonl:2"):
        given_questions([GUIDE], _file(tmp_path, {"question": "Fine?", "answer": "Retries"}, row))
    with pytest.raises(LoadError, match="cannot be read"):
        given_questions([GUIDE], tmp_path / "gone.jsonl")


def test_headings_ask_and_are_hidden() -> None:
    made = heading_questions([GUIDE, OTHER, CODE], share=1)
    found = _spanned(made, [GUIDE, OTHER])
    assert set(found) == {"Setting a timeout", "Retries", "Guide: Notes", "Other: Notes"}
    assert found["Setting a timeout"].startswith("Pass the number")
    assert found["Setting a timeout"].endswith("for ever.")
    assert found["Other: Notes"].startswith("Quite other")
    assert [text for text, _ in made.left_out] == ["Short"]
    for before, after in zip([GUIDE, OTHER, CODE], made.documents, strict=True):
        assert (before.id, len(before.text), before.metadata) == (after.id, len(after.text), after.metadata)
    assert "Retries" not in made.documents[0].text
    assert "### Short" in made.documents[0].text
    assert made.documents[2] is CODE
    # What is not asked for stays where it can be read.
    half = heading_questions([GUIDE, OTHER], share=0.5, seed=4)
    assert len(half.queries) == 2
    assert (
        sum(
            (
                "Retries" in half.documents[0].text,
                "Setting a timeout" in half.documents[0].text,
                "## Notes" in half.documents[0].text,
            )
        )
        >= 1
    )
    assert half == heading_questions([GUIDE, OTHER], share=0.5, seed=4)


def test_a_heading_twice_under_one_title_is_left_out() -> None:
    twin = Document(GUIDE.text, id="twin.md", metadata=GUIDE.metadata)
    made = heading_questions([GUIDE, twin], share=1)
    assert made.queries == ()
    assert all("2 sections" in reason or "fewer than" in reason for _, reason in made.left_out)
    with pytest.raises(InvalidInputError, match=r"no question to study 'both' .* left out"):
        made.collection("both")


def test_headings_make_a_study() -> None:
    made = heading_questions([GUIDE, OTHER], share=1)
    report = study_chunks(made.collection("guides"), chunkers=["markdown"], sizes=[40], embedder=HashEmbedder(), budgets=[40])
    assert len(report.questions) == 4


def _reply(question: str, answer: str) -> str:
    return "Here it is: " + json.dumps({"question": question, "answer": answer})


def test_written_questions_are_checked_and_kept(tmp_path: Path) -> None:
    asked: list[str] = []

    def ask(prompt: str) -> str:
        asked.append(prompt)
        passage = prompt.split("-----PASSAGE-----")[1].strip()
        words = passage.split()
        replies = [
            _reply("What comes in the middle?", " ".join(words[3:6])),
            _reply(f"Is it {words[1]} {words[2]}?", f"{words[1]} {words[2]}"),
            _reply("What is not there?", "words of no passage"),
            "I cannot help with that.",
            _reply("w" * 500, words[0]),
            json.dumps({"question": "Only half?"}),
        ]
        return replies[len(asked) % len(replies) - 1]

    made = written_questions([GUIDE, OTHER], ask, number=12, seed=2, cache=tmp_path)
    found = _spanned(made, [GUIDE, OTHER])
    assert set(found) == {"What comes in the middle?"}
    assert len(made.queries) + len(made.left_out) == len(asked) >= 6
    reasons = " ".join(reason for _, reason in made.left_out)
    for part in ("repeats its answer", "not in the passage", "no JSON object", "500 characters"):
        assert part in reasons
    before = len(asked)
    again = written_questions([GUIDE, OTHER], ask, number=12, seed=2, cache=tmp_path)
    assert (len(asked), again) == (before, made)


def test_a_model_that_is_down_is_an_error_and_one_slip_is_not() -> None:
    calls = 0

    def down(prompt: str) -> str:
        raise ConnectionError("refused")

    def slips(prompt: str) -> str:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise TimeoutError("slow")
        return _reply("Which?", prompt.split("-----PASSAGE-----")[1].split()[0])

    with pytest.raises(ContextError, match=r"failed 3 times .* refused"):
        written_questions([GUIDE, OTHER], down, number=9, patience=3)
    made = written_questions([GUIDE, OTHER], slips, number=9)
    assert [reason for _, reason in made.left_out] == ["the language model failed: slow"]


def test_nothing_to_ask_about() -> None:
    assert written_questions([Document("short", id="a")], lambda prompt: "", number=3).queries == ()
