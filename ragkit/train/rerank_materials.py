"""Where questions for a reranker come from: labelled collections, labels on documents, a teacher's scores, the standard library."""

from __future__ import annotations

import json
import pydoc_data.topics
import sysconfig
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ragkit.errors import InvalidInputError, LoadError
from ragkit.seams import Chunker
from ragkit.train.labels import Label
from ragkit.train.rerank_rules import Material, by_rule, functions
from ragkit.types import Chunk, Document

if TYPE_CHECKING:
    from ragkit.evaluate import Collection

#: Parts of the standard library whose code is tests or data.
_NO_LIBRARY = frozenset({"test", "tests", "idle_test", "lib2to3", "site-packages", "dist-packages"})


def labelled(collection: Collection, *, passages: int = 8000, per_passage: int = 3, seed: int = 0) -> Material:
    """The judged questions of a collection, at most ``per_passage`` on each of about ``passages`` passages of whole documents by lot.

    A passage is what the collection judges; a question's gold passage is its most relevant one.
    """
    unit = collection.unit
    units, places = collection.units(unit)
    rng = np.random.default_rng(seed)
    texts: list[str] = []
    doc: list[int] = []
    row: dict[str, int] = {}
    members: dict[str, list[Document]] = {}
    for one in units:
        members.setdefault(places[one.id].doc_id, []).append(one)
    names = sorted(members)
    for number in rng.permutation(len(names)).tolist():
        if len(texts) >= passages:
            break
        for one in members[names[number]]:
            row[one.id] = len(texts)
            texts.append(one.text)
            doc.append(number)
    judged = collection.judgements(unit)
    asked: dict[int, list[str]] = {}
    for query in collection.queries:
        grades = {target: grade for target, grade in judged.get(query.id, {}).items() if grade > 0 and target in row}
        if grades:
            asked.setdefault(row[max(grades, key=lambda target: (grades[target], target))], []).append(query.text)
    questions: list[str] = []
    gold: list[int] = []
    for passage, found in sorted(asked.items()):
        some = rng.permutation(len(found))[:per_passage].tolist()
        questions += [found[place] for place in some]
        gold += [passage] * len(some)
    if not questions:
        raise InvalidInputError(f"The collection {collection.name!r} has no judged question to learn from.")
    return Material(name=collection.name, passages=texts, doc=np.array(doc), questions=questions, gold=np.array(gold))


def on_documents(documents: Sequence[Document], labels: Sequence[Label], chunker: Chunker) -> Material:
    """Labelled questions on documents of one's own: a question's passage is the chunk that shares most with its first span."""
    numbers = {document.id: number for number, document in enumerate(documents)}
    chunks: list[Chunk] = []
    own: dict[str, list[int]] = {}
    for document in documents:
        made = chunker(document)
        own[document.id] = list(range(len(chunks), len(chunks) + len(made)))
        chunks += made
    gold: list[int] = []
    for label in labels:
        doc_id, start, end = label.spans[0]
        gold.append(max(own[doc_id], key=lambda row: min(chunks[row].end, end) - max(chunks[row].start, start)))
    if not gold:
        raise InvalidInputError("There are no labels to learn from.")
    return Material(
        name="labels",
        passages=[chunk.text for chunk in chunks],
        doc=np.array([numbers[chunk.doc_id] for chunk in chunks]),
        questions=[label.question for label in labels],
        gold=np.array(gold),
    )


def taught(path: str | Path) -> Material:
    """Any teacher's scores: JSON lines ``{"question", "passages": [text, ...], "scores": [number, ...]}``, at least two passages each.

    A cross-encoder, a judging language model, people: higher is better, on any scale; each list is standardised. Raises LoadError, with
    file and line, for what cannot be read.
    """
    texts: dict[str, int] = {}
    doc: list[int] = []
    questions: list[str] = []
    lists: list[tuple[np.ndarray, np.ndarray]] = []
    try:
        lines = Path(path).read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise LoadError(f"{path} cannot be read: {error}. It must be a file of JSON lines in UTF-8.") from error
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        question, passages, scores = _judged(f"{path}:{number}", line)
        rows = []
        for passage in passages:
            if passage not in texts:
                texts[passage] = len(texts)
                doc.append(len(questions))
            rows.append(texts[passage])
        deviation = float(scores.std()) or 1.0
        questions.append(question)
        lists.append((np.array(rows), ((scores - scores.mean()) / deviation).astype(np.float32)))
    if not questions:
        raise LoadError(
            f'{path} has no line; each is an object such as {{"question": "...", "passages": ["...", "..."], "scores": [2.5, 0.1]}}.'
        )
    gold = np.array([rows[int(scores.argmax())] for rows, scores in lists])
    return Material(name="taught", passages=list(texts), doc=np.array(doc), questions=questions, gold=gold, lists=lists)


def _judged(where: str, line: str) -> tuple[str, list[str], np.ndarray]:
    try:
        row: Any = json.loads(line)
        question, passages, scores = row["question"], row["passages"], np.array(row["scores"], np.float64)
    except (ValueError, KeyError, TypeError) as error:
        raise LoadError(f"{where}: no object with question, passages and scores: {type(error).__name__}: {error}.") from error
    fine = (
        isinstance(passages, list)
        and len(set(map(str, passages))) == len(passages) >= 2
        and all(isinstance(one, str) for one in passages)
    )
    if not isinstance(question, str) or not question.strip() or not fine:
        raise LoadError(f"{where}: question must be text, and passages at least two different texts.")
    if scores.shape != (len(passages),) or not np.isfinite(scores).all():
        raise LoadError(f"{where}: scores must be {len(passages)} finite numbers, one for each passage.")
    return question, passages, scores


def standard_library(chunker: Chunker, *, most: int = 1100, seed: int = 0) -> list[Material]:
    """What every Python brings along: docstrings asking for their functions, and the language reference asking for its parts.

    Another version of Python gives other texts; ``most`` is the longest function, in characters.
    """
    root = Path(sysconfig.get_paths()["stdlib"])
    files = [file for file in root.rglob("*.py") if not _NO_LIBRARY & set(file.relative_to(root).parts)]
    topics = [Document(text, id=name) for name, text in sorted(pydoc_data.topics.topics.items())]
    return [functions("functions", files, root=root, most=most), by_rule("topics", topics, chunker, seed=seed)]


def recipe(collection: Collection, chunker: Chunker, *, seed: int = 0) -> list[tuple[Material, float]]:
    """What the shipped parameters learn from: a labelled collection, its articles by rule, and the texts that Python brings along.

    With each material how often it is drawn. ``chunker`` cuts what is not cut yet; 200 tokens leave room in one window.
    """
    articles = [
        document for number, document in enumerate(sorted(collection.documents, key=lambda one: one.id)) if number % 6 == 0
    ]
    library, topics = standard_library(chunker, seed=seed)
    return [
        (labelled(collection, seed=seed), 0.45),
        (by_rule("articles", articles, chunker, seed=seed), 0.1),
        (library, 0.22),
        (topics, 0.05),
        (by_rule("packages", package_descriptions(), chunker, seed=seed), 0.18),
    ]


def package_descriptions(*, shortest: int = 1500, longest: int = 40_000) -> list[Document]:
    """What the installed packages say about themselves, each text once; another environment gives other texts."""
    found: dict[str, Document] = {}
    for distribution in sorted(metadata.distributions(), key=lambda one: (one.name or "").lower()):
        told: Any = distribution.metadata
        text = str(told.get_payload() or told.get("Description") or "")[:longest]
        if len(text) >= shortest and text not in found:
            found[text] = Document(text, id=f"{distribution.name} {len(found)}")
    return list(found.values())
