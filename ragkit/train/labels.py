"""What a context adapter learns from: questions with the spans that answer them, given or made by rule."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeGuard

import numpy as np

from ragkit.errors import InvalidInputError, LoadError
from ragkit.text.boundaries import Strength, prose_cuts
from ragkit.types import Document

CharSpan = tuple[str, int, int]
_HEADING = re.compile(r"^#{1,6}[ \t]+(?P<words>.+?)[ \t#]*$", re.MULTILINE)
_WORD = re.compile(r"\w+")
#: A sentence of fewer words is seldom about anything; a longer one is no question.
_WORDS = range(6, 41)
#: Sentences of which one becomes a question: about one per chunk, so that most of each chunk stays.
_STRIDE = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """A question and where its answer stands: ``(document id, start, end)`` in characters; ``scope`` is the id of the one
    document it is asked of, or None."""

    question: str
    spans: tuple[CharSpan, ...]
    scope: str | None = None


def load_labels(path: str | Path, documents: Sequence[Document]) -> list[Label]:
    """Labels from JSON lines ``{"question", "doc_id", "start", "end"}``, with ``"scope": true`` where only that document is meant.

    Lines with the same question and scope are one label with several spans. Raises LoadError, with file and line, for what
    cannot be read, an unknown document, or offsets outside its text.
    """
    sizes = {document.id: len(document.text) for document in documents}
    spans: dict[tuple[str, str | None], list[CharSpan]] = {}
    try:
        lines = Path(path).read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise LoadError(f"{path} cannot be read: {error}. It must be a file of JSON lines in UTF-8.") from error
    for number, line in enumerate(lines, 1):
        if line.strip():
            question, span, scoped = _row(f"{path}:{number}", line, sizes)
            spans.setdefault((question, span[0] if scoped else None), []).append(span)
    if not spans:
        raise LoadError(
            f'{path} has no line; each is an object such as {{"question": "...", "doc_id": "...", "start": 0, "end": 10}}.'
        )
    return [Label(question=question, spans=tuple(found), scope=scope) for (question, scope), found in spans.items()]


def _row(where: str, line: str, sizes: Mapping[str, int]) -> tuple[str, CharSpan, bool]:
    try:
        row: Any = json.loads(line)
    except ValueError as error:
        raise LoadError(f"{where}: not JSON: {error}") from error
    if not isinstance(row, dict):
        raise LoadError(f"{where}: a {type(row).__name__}; every line must be a JSON object.")
    question, doc_id, start, end = (row.get(name) for name in ("question", "doc_id", "start", "end"))
    if not isinstance(question, str) or not question.strip():
        raise LoadError(f"{where}: question is {question!r}; it must be text.")
    if not isinstance(doc_id, str) or doc_id not in sizes:
        raise LoadError(
            f"{where}: doc_id is {doc_id!r}, which is none of the {len(sizes)} documents, such as {next(iter(sizes), '')!r}."
        )
    if not _is_whole(start) or not _is_whole(end) or not 0 <= start < end <= sizes[doc_id]:
        raise LoadError(
            f"{where}: the offsets are {start!r} to {end!r}; they must be whole numbers, start before end, within the "
            f"{sizes[doc_id]} characters of {doc_id!r}."
        )
    return question, (doc_id, start, end), bool(row.get("scope"))


def _is_whole(value: Any) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)


def labels_by_rule(documents: Sequence[Document], *, seed: int = 0) -> tuple[list[Document], list[Label]]:
    """Documents to train on and labels for them, without anybody's labels.

    Inverse cloze (Lee, Chang and Toutanova, 1906.00300): of every six sentences one is taken out and becomes the question
    whose answer is the place where it stood. Markdown headings are taken out alike, every other one: "title: heading" asks
    for the section's beginning. What is left of each document is what to chunk; ids and metadata stay.
    """
    rng = np.random.default_rng(seed)
    kept: list[Document] = []
    labels: list[Label] = []
    for document in documents:
        cuts = _taken(document, rng)
        text, places = _without(document.text, [span for span, _ in cuts])
        kept.append(Document(text, id=document.id, metadata=document.metadata))
        for (_, question), place in zip(cuts, places, strict=True):
            start, end = max(0, place - 1), min(len(text), place + 1)
            if text[start:end].strip():
                labels.append(Label(question=question, spans=((document.id, start, end),)))
    if not labels:
        raise InvalidInputError(
            f"The {len(documents)} documents have no sentence of {_WORDS.start} to {_WORDS.stop - 1} words among six, and no Markdown "
            "headings, so nothing can be asked by rule. Give longer documents, or questions."
        )
    return kept, labels


def _taken(document: Document, rng: np.random.Generator) -> list[tuple[tuple[int, int], str]]:
    """Non-overlapping spans to take out, in order, each with its question."""
    text, title = document.text, str(document.metadata.get("title") or "").strip()
    headings = list(_HEADING.finditer(text))
    found = [
        ((match.start(), match.end()), f"{title}: {match['words']}" if title else match["words"])
        for match in headings[int(rng.integers(2)) :: 2]
    ]
    barred = [match.span() for match in headings]
    ends = [0, *sorted(at for at, strength in prose_cuts(text).items() if strength >= Strength.SENTENCE), len(text)]
    sentences = [
        (start, end)
        for start, end in pairwise(ends)
        if len(_WORD.findall(text[start:end])) in _WORDS and not any(start < high and end > low for low, high in barred)
    ]
    for at in range(0, len(sentences) - _STRIDE + 1, _STRIDE):
        start, end = sentences[at + int(rng.integers(_STRIDE))]
        found.append(((start, end), text[start:end].strip()))
    return sorted(found)


def _without(text: str, spans: Sequence[tuple[int, int]]) -> tuple[str, list[int]]:
    parts: list[str] = []
    places: list[int] = []
    at = size = 0
    for start, end in spans:
        parts.append(text[at:start])
        size += start - at
        places.append(size)
        at = end
    return "".join([*parts, text[at:]]), places
