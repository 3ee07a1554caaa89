"""Read labelled collections: BEIR's layout, and its extension by passages, spans and questions about one document.

A collection is a folder:

- ``corpus.jsonl``: ``{"_id" or "id", "text", "title"?, "metadata"?}``
- ``queries.jsonl``: ``{"_id" or "id", "text", "doc_id"?}``; with ``doc_id`` the question is asked of that document only
- ``qrels/<split>.tsv`` or ``qrels.tsv``: a header, then query id, corpus id, relevance, separated by tabs
- ``passages.jsonl`` (optional): ``{"id", "doc_id", "start", "end"}``, character offsets into the document's text
- ``passage_qrels.tsv`` (optional): like ``qrels.tsv`` with passage ids
- ``spans.jsonl`` (optional): ``{"query_id", "doc_id", "start", "end", "text"?}``: the evidence for a question

Every ``.jsonl`` may be compressed as ``.jsonl.gz``.
"""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from ragkit.errors import InvalidInputError, LoadError
from ragkit.types import Document

Unit = Literal["document", "passage"]
Judgements = Mapping[str, Mapping[str, int]]
SCOPE = "scope"


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """A question; ``doc_id`` names the one document it is about, or is None."""

    id: str
    text: str
    doc_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Passage:
    """A given piece ``[start, end)`` of a document, itself a thing to retrieve."""

    id: str
    doc_id: str
    start: int
    end: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a unit of retrieval lies: its text begins at ``start`` of the document ``doc_id``."""

    doc_id: str
    start: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Collection:
    """Documents, questions and judgements. ``unjudgeable`` counts judgements that name ids the collection lacks."""

    name: str
    documents: Sequence[Document] = field(hash=False)
    queries: Sequence[Query] = field(hash=False)
    qrels: Judgements = field(default_factory=dict, hash=False)
    passages: Sequence[Passage] = field(default=(), hash=False)
    passage_qrels: Judgements = field(default_factory=dict, hash=False)
    spans: Mapping[str, Sequence[tuple[str, int, int]]] = field(default_factory=dict, hash=False)
    unjudgeable: int = 0

    @property
    def unit(self) -> Unit:
        """What is judged: passages where the collection has judged passages, else documents."""
        return "passage" if self.passage_qrels else "document"

    def judgements(self, unit: Unit) -> Judgements:
        """Relevance by question and unit id."""
        return self.passage_qrels if unit == "passage" else self.qrels

    def units(self, unit: Unit) -> tuple[list[Document], dict[str, Place]]:
        """The documents to index, and where each lies in the collection's documents.

        Each carries ``scope`` metadata, its document's id, for questions about one document. A title is put before
        the text of a document that does not begin with it, unless spans need its offsets to stay.
        """
        if unit == "passage":
            texts = {document.id: document.text for document in self.documents}
            made = [
                Document(texts[one.doc_id][one.start : one.end], id=one.id, metadata={SCOPE: one.doc_id}) for one in self.passages
            ]
            return made, {one.id: Place(doc_id=one.doc_id, start=one.start) for one in self.passages}
        made = [
            Document(document.text if self.spans else _titled(document), id=document.id, metadata={SCOPE: document.id})
            for document in self.documents
        ]
        return made, {document.id: Place(doc_id=document.id, start=0) for document in self.documents}


def _titled(document: Document) -> str:
    title = str(document.metadata.get("title") or "").strip()
    return f"{title}\n{document.text}" if title and not document.text.startswith(title) else document.text


def load_collection(path: str | Path, *, split: str = "test") -> Collection:
    """The collection in the folder ``path``; ``split`` chooses ``qrels/<split>.tsv`` in BEIR's layout.

    Raises LoadError, with file and line, for whatever cannot be read: a missing file, a line that is no JSON object or
    lacks a field, an id twice, offsets outside the text, a relevance that is no whole number. Judgements of ids that
    are not in the collection are counted in ``unjudgeable``: a published collection may have them.
    """
    folder = Path(path)
    if not folder.is_dir():
        raise LoadError(f"{folder} is not a folder; a collection is a folder with corpus.jsonl, queries.jsonl and qrels.")
    corpus = _found(folder, "corpus")
    documents: dict[str, Document] = {}
    for where, row in _rows(corpus):
        key = _id(where, row, documents)
        metadata = row.get("metadata") or {}
        if not isinstance(metadata, dict):
            raise LoadError(f"{where}: metadata is {metadata!r}; it must be an object.")
        title = {"title": row["title"]} if isinstance(row.get("title"), str) else {}
        try:
            documents[key] = Document(_text(where, row, "text"), id=key, metadata={**metadata, **title})
        except InvalidInputError as error:
            raise LoadError(f"{where}: {error}") from error
    queries: dict[str, Query] = {}
    for where, row in _rows(_found(folder, "queries")):
        key = _id(where, row, queries)
        doc_id = row.get("doc_id")
        if doc_id is not None and doc_id not in documents:
            raise LoadError(f"{where}: doc_id is {doc_id!r}, which {corpus.name} does not have.")
        queries[key] = Query(id=key, text=_text(where, row, "text"), doc_id=doc_id)
    passages = _passages(folder, documents)
    spans = _spans(folder, documents, queries)
    qrels, lost = _judgements(folder, (f"qrels/{split}.tsv", "qrels.tsv"), queries, documents)
    passage_qrels, lost_passages = _judgements(folder, ("passage_qrels.tsv",), queries, passages)
    if not (qrels or passage_qrels or spans):
        raise LoadError(f"{folder} has no judgements: give qrels/{split}.tsv, qrels.tsv, passage_qrels.tsv or spans.jsonl.")
    return Collection(
        name=folder.resolve().name,
        documents=tuple(documents.values()),
        queries=tuple(queries.values()),
        qrels=qrels,
        passages=tuple(passages.values()),
        passage_qrels=passage_qrels,
        spans=spans,
        unjudgeable=lost + lost_passages,
    )


def _passages(folder: Path, documents: Mapping[str, Document]) -> dict[str, Passage]:
    passages: dict[str, Passage] = {}
    file = _found(folder, "passages", optional=True)
    for where, row in _rows(file) if file else ():
        key = _id(where, row, passages)
        doc_id, start, end = _range(where, row, documents)
        passages[key] = Passage(id=key, doc_id=doc_id, start=start, end=end)
    return passages


def _spans(
    folder: Path, documents: Mapping[str, Document], queries: Mapping[str, Query]
) -> dict[str, tuple[tuple[str, int, int], ...]]:
    spans: dict[str, list[tuple[str, int, int]]] = {}
    file = _found(folder, "spans", optional=True)
    for where, row in _rows(file) if file else ():
        query_id = _text(where, row, "query_id")
        if query_id not in queries:
            raise LoadError(f"{where}: query_id is {query_id!r}, which the queries do not have.")
        doc_id, start, end = _range(where, row, documents)
        if "text" in row and documents[doc_id].text[start:end] != row["text"]:
            raise LoadError(
                f"{where}: characters {start} to {end} of {doc_id!r} are {documents[doc_id].text[start:end]!r}, not {row['text']!r}."
            )
        spans.setdefault(query_id, []).append((doc_id, start, end))
    return {query_id: tuple(found) for query_id, found in spans.items()}


def _judgements(
    folder: Path, names: Sequence[str], queries: Mapping[str, Any], targets: Mapping[str, Any]
) -> tuple[dict[str, dict[str, int]], int]:
    file = next((folder / name for name in names if (folder / name).is_file()), None)
    judged: dict[str, dict[str, int]] = {}
    lost = 0
    if file is None:
        return judged, lost
    for number, line in enumerate(_lines(file), 1):
        fields = line.rstrip("\r\n").split("\t")
        where = f"{file}:{number}"
        if len(fields) != 3:
            raise LoadError(f"{where}: {len(fields)} fields; a judgement is query id, corpus id, relevance, separated by tabs.")
        query_id, target, relevance = fields
        try:
            grade = int(relevance)
        except ValueError as error:
            if number == 1:
                continue
            raise LoadError(f"{where}: the relevance is {relevance!r}; it must be a whole number.") from error
        if query_id not in queries or target not in targets:
            lost += 1
        if query_id in queries:
            judged.setdefault(query_id, {})[target] = grade
    return judged, lost


def _found(folder: Path, name: str, *, optional: bool = False) -> Any:
    for file in (folder / f"{name}.jsonl", folder / f"{name}.jsonl.gz"):
        if file.is_file():
            return file
    if optional:
        return None
    raise LoadError(f"{folder} has neither {name}.jsonl nor {name}.jsonl.gz; a collection needs one.")


def _lines(file: Path) -> Iterator[str]:
    number = 0
    try:
        # Only a line feed ends a row: JSON may hold other line separators inside its strings.
        with (gzip.open if file.suffix == ".gz" else open)(file, "rt", encoding="utf-8", newline="\n") as lines:
            for line in lines:
                number += 1
                yield line
    except (OSError, EOFError, UnicodeDecodeError, zlib.error) as error:
        raise LoadError(f"{file}:{number + 1}: cannot be read: {error}") from error


def _rows(file: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    for number, line in enumerate(_lines(file), 1):
        if not line.strip():
            continue
        where = f"{file}:{number}"
        try:
            row = json.loads(line)
        except ValueError as error:
            raise LoadError(f"{where}: not JSON: {error}") from error
        if not isinstance(row, dict):
            raise LoadError(f"{where}: a {type(row).__name__}; every line must be a JSON object.")
        yield where, row


def _text(where: str, row: Mapping[str, Any], name: str) -> str:
    value = row.get(name)
    if not isinstance(value, str):
        raise LoadError(f"{where}: {name!r} is {value!r}; it must be text.")
    return value


def _id(where: str, row: Mapping[str, Any], seen: Mapping[str, Any]) -> str:
    value = row.get("_id", row.get("id"))
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str) or not value:
        raise LoadError(f"{where}: the id ('_id' or 'id') is {value!r}; it must be text that is not empty.")
    if value in seen:
        raise LoadError(f"{where}: the id {value!r} occurs a second time.")
    return value


def _range(where: str, row: Mapping[str, Any], documents: Mapping[str, Document]) -> tuple[str, int, int]:
    doc_id, start, end = _text(where, row, "doc_id"), row.get("start"), row.get("end")
    if doc_id not in documents:
        raise LoadError(f"{where}: doc_id is {doc_id!r}, which the corpus does not have.")
    size = len(documents[doc_id].text)
    if not (isinstance(start, int) and isinstance(end, int) and 0 <= start <= end <= size):
        raise LoadError(
            f"{where}: the offsets are {start!r} to {end!r}; they must lie within the {size} characters of {doc_id!r}."
        )
    return doc_id, start, end
