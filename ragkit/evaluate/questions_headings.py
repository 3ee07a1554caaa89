"""Questions made by rule: a heading asks, its section answers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from random import Random
from typing import NamedTuple

from ragkit.chunk.commonmark import blocks
from ragkit.errors import InvalidInputError
from ragkit.evaluate.collections import Query
from ragkit.evaluate.metrics import CharSpan
from ragkit.evaluate.questions import LEAST, LeftOut, Questions
from ragkit.types import Document


class _Section(NamedTuple):
    document: int
    heading: tuple[int, int]
    path: tuple[str, ...]
    start: int
    end: int


def heading_questions(documents: Sequence[Document], *, share: float = 0.5, limit: int | None = None, seed: int = 0) -> Questions:
    """Ask for a ``share`` of the sections by their headings; the answer is the section's own text, up to the next heading.

    A search would win by copying if the heading it is asked for stood in the text, or in a context made of headings. So the headings
    that are asked for are blanked out, at the same length, in ``documents`` of the result; the others stay. A heading that two sections have is
    asked with its title and the headings above it; where that too occurs twice, or the heading is the document's title,
    or its section is shorter than 80 characters, it is in ``left_out``. Only Markdown headings are known; source code is not looked at.
    """
    if not 0 < share <= 1:
        raise InvalidInputError(f"share is {share!r}; it is the part of the sections to ask for, above 0 and at most 1.")
    sections, left_out = _sections(documents)
    alone = Counter(section.path[-1].casefold() for section in sections)
    asked = [
        (section, section.path[-1] if alone[section.path[-1].casefold()] == 1 else ": ".join(section.path))
        for section in sections
    ]
    again = Counter(text.casefold() for _, text in asked)
    usable = []
    for section, text in asked:
        if again[text.casefold()] > 1:
            left_out.append(LeftOut(text, f"{again[text.casefold()]} sections have these headings"))
        else:
            usable.append((section, text))
    number = round(share * len(usable)) or len(usable)
    chosen = sorted(Random(seed).sample(range(len(usable)), min(number, limit or number)))
    texts = [document.text for document in documents]
    queries: list[Query] = []
    spans: dict[str, tuple[CharSpan, ...]] = {}
    for at in chosen:
        section, text = usable[at]
        start, end = section.heading
        whole = texts[section.document]
        texts[section.document] = whole[:start] + " " * (end - start) + whole[end:]
        key = f"heading {at + 1}"
        queries.append(Query(id=key, text=text))
        spans[key] = ((documents[section.document].id, section.start, section.end),)
    hidden = tuple(one if text == one.text else replace(one, text=text) for one, text in zip(documents, texts, strict=True))
    return Questions(
        how="made from headings, which are hidden from the search",
        queries=tuple(queries),
        spans=spans,
        documents=hidden,
        left_out=tuple(left_out),
    )


def _sections(documents: Sequence[Document]) -> tuple[list[_Section], list[LeftOut]]:
    sections: list[_Section] = []
    left_out: list[LeftOut] = []
    for place, document in enumerate(documents):
        media = str(document.metadata.get("media_type") or "text/markdown")
        if media not in ("text/markdown", "text/plain", "application/x-ipynb+json"):
            continue
        title = str(document.metadata.get("title") or "").strip()
        headings = [one for one in blocks(document.text) if one.kind == "heading" and one.title.strip()]
        path: dict[int, str] = {}
        ends = [*(one.start for one in headings[1:]), len(document.text)]
        for one, end in zip(headings, ends, strict=True):
            name = " ".join(one.title.split())
            path = {level: above for level, above in path.items() if level < one.level} | {one.level: name}
            start = one.end
            body = document.text[start:end]
            start += len(body) - len(body.lstrip())
            end = one.end + len(body.rstrip())
            at = document.text.find(one.title, one.start, one.end)
            if name == title or at < 0:
                continue
            if end - start < LEAST:
                left_out.append(LeftOut(name, f"its section in {document.id!r} has fewer than {LEAST} characters"))
                continue
            above = list(path.values())
            names = tuple([title, *above] if title and title not in above else above)
            sections.append(_Section(place, (at, at + len(one.title)), names, start, end))
    return sections, left_out
