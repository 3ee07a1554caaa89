"""Questions about documents at hand, with their answers as character spans; here those given in a file."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from ragkit.errors import InvalidInputError, LoadError
from ragkit.evaluate.collections import Collection, Query
from ragkit.evaluate.metrics import CharSpan
from ragkit.types import Document

_NEAR = (60, 200)  # characters on either side of an answer that are compared with its question: first near, then wider
_MANY = 50  # an answer that occurs more often than this says nothing about where it stands
WORDS = re.compile(r"\w+")
LEAST = 80  # characters; a shorter section or passage answers nothing


class LeftOut(NamedTuple):
    """A question that cannot be used, and why."""

    text: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Questions:
    """Questions with their answers as character spans, and an account of the rest.

    ``documents`` are those to study: as given, or with the headings that were asked for blanked out, at the same offsets.
    ``resolved`` are answers that occur more than once, with what was chosen; ``how`` says where the questions come from.
    """

    how: str
    queries: tuple[Query, ...]
    spans: Mapping[str, tuple[CharSpan, ...]] = field(hash=False)
    documents: tuple[Document, ...] = field(hash=False)
    left_out: tuple[LeftOut, ...] = ()
    resolved: tuple[LeftOut, ...] = ()

    def collection(self, name: str) -> Collection:
        """A collection to study. Raises InvalidInputError when no question is left."""
        if not self.queries:
            first = f" The first: {self.left_out[0].text!r}: {self.left_out[0].reason}." if self.left_out else ""
            raise InvalidInputError(
                f"There is no question to study {name!r} by ({self.how}; {len(self.left_out)} left out).{first}"
            )
        return Collection(name=name, documents=self.documents, queries=self.queries, spans=self.spans)


def given_questions(documents: Sequence[Document], path: str | Path) -> Questions:
    """The questions of a JSONL file: ``{"text", "doc_id", "start", "end"}``, or ``{"question", "answer", "doc_id"?}``.

    Offsets are characters of the document's text. An answer is looked for as it is written, then with any white space
    between its words, then in any case. Where it occurs more than once, the occurrence is taken around which the most of the
    question's words stand (the first of equals), and listed in ``resolved``. What cannot be placed is in ``left_out``.

    Raises LoadError, with file and line, for a line that is no such object.
    """
    file = Path(path)
    by_id = {document.id: document for document in documents}
    queries: list[Query] = []
    spans: dict[str, tuple[CharSpan, ...]] = {}
    left_out: list[LeftOut] = []
    resolved: list[LeftOut] = []
    for number, row in _rows(file):
        text = row.get("question", row.get("text"))
        if not isinstance(text, str) or not text.strip():
            raise LoadError(
                f'{file}:{number}: the question ("question" or "text") is {text!r}; it must be text that is not empty.'
            )
        found = _offsets(row, by_id) if "start" in row or "end" in row else _answer(row, text, documents, by_id)
        if isinstance(found, str):
            left_out.append(LeftOut(text, found))
            continue
        span, note = found
        if note:
            resolved.append(LeftOut(text, note))
        key = f"line {number}"
        queries.append(Query(id=key, text=text))
        spans[key] = (span,)
    return Questions(
        how=f"given in {file.name}",
        queries=tuple(queries),
        spans=spans,
        documents=tuple(documents),
        left_out=tuple(left_out),
        resolved=tuple(resolved),
    )


def _rows(file: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    try:
        lines = file.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise LoadError(f"{file} cannot be read: {error}. Give a JSONL file of questions.") from error
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as error:
            raise LoadError(f"{file}:{number}: not JSON: {error}.") from error
        if not isinstance(row, dict):
            raise LoadError(f"{file}:{number}: a {type(row).__name__}; every line must be a JSON object.")
        yield number, row


_Found = tuple[CharSpan, str]


def _offsets(row: Mapping[str, Any], by_id: Mapping[str, Document]) -> _Found | str:
    doc_id, start, end = row.get("doc_id"), row.get("start"), row.get("end")
    if not isinstance(doc_id, str) or doc_id not in by_id:
        return f"there is no document {doc_id!r}"
    size = len(by_id[doc_id].text)
    if type(start) is not int or type(end) is not int or not 0 <= start < end <= size:
        return f"characters {start!r} to {end!r} are not within the {size} of {doc_id!r}"
    return (doc_id, start, end), ""


def _answer(row: Mapping[str, Any], question: str, documents: Sequence[Document], by_id: Mapping[str, Document]) -> _Found | str:
    answer, doc_id = row.get("answer"), row.get("doc_id")
    if not isinstance(answer, str) or not answer.strip():
        return f"it has neither offsets nor an answer (the answer is {answer!r})"
    if doc_id is not None and doc_id not in by_id:
        return f"there is no document {doc_id!r}"
    return locate(question, answer, documents if doc_id is None else [by_id[doc_id]])


def locate(question: str, answer: str, documents: Sequence[Document]) -> _Found | str:
    """Where ``answer`` stands, and a note where that was a choice; or, as text, why it cannot be said."""
    words = answer.split()
    if not words:
        return "the answer is empty"
    loose = r"\s+".join(map(re.escape, words))
    for pattern in (re.compile(re.escape(answer.strip())), re.compile(loose), re.compile(loose, re.IGNORECASE)):
        places = [(one, match.start(), match.end()) for one in documents for match in pattern.finditer(one.text)]
        if places:
            break
    else:
        return f"the answer {short(answer)!r} is in no document"
    if len(places) > _MANY:
        return f"the answer {short(answer)!r} occurs {len(places)} times; give doc_id, start and end"
    asked = {word.lower() for word in WORDS.findall(question)}

    def near(place: tuple[Document, int, int]) -> list[int]:
        one, start, end = place
        around = (one.text[max(0, start - reach) : start] + " " + one.text[end : end + reach] for reach in _NEAR)
        return [len(asked & {word.lower() for word in WORDS.findall(some)}) for some in around]

    one, start, end = max(places, key=near)
    note = (
        ""
        if len(places) == 1
        else f"the answer {short(answer)!r} occurs {len(places)} times; taken at {one.id!r}, character {start}"
    )
    return (one.id, start, end), note


def short(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:57]}..."
