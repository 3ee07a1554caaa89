"""LangChain's documents to ragkit's and back."""

from __future__ import annotations

import copy
import uuid
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from langchain_core.documents import Document as LangChainDocument

from ragkit.errors import InvalidInputError
from ragkit.index import Index
from ragkit.index.asking import Query
from ragkit.retrieve import Phrasings
from ragkit.types import Chunk, Document, Hit

_READ = ("source", "title", "media_type", "language")


def to_ragkit(documents: Sequence[LangChainDocument], ids: Sequence[str | None] | None) -> list[Document]:
    """One ragkit Document each; the id is the one in ``ids``, else the document's own, else a new random one."""
    if ids is not None and len(ids) != len(documents):
        raise InvalidInputError(f"{len(documents)} documents and {len(ids)} ids: give one id per document, or none.")
    return [
        Document(document.page_content, id=given or document.id or str(uuid.uuid4()), metadata=document.metadata)
        for document, given in zip(documents, ids or [None] * len(documents), strict=True)
    ]


def to_chunk(document: LangChainDocument) -> Document:
    """The document as chunkers read it: of the metadata, which may hold what JSON cannot, only what they look at."""
    known = {key: value for key in _READ if isinstance(value := document.metadata.get(key), str)}
    return Document(document.page_content, id=document.id or "", metadata=known)


def piece_of(document: LangChainDocument, chunk: Chunk, *, start_index: bool, context: bool) -> LangChainDocument:
    """A chunk of the document, with a copy of its metadata and what the chunker found; an id where the document has one."""
    metadata = copy.deepcopy(document.metadata) | dict(chunk.metadata)
    if context and chunk.context:
        metadata["context"] = chunk.context
    if start_index:
        metadata["start_index"] = chunk.start
    return LangChainDocument(page_content=chunk.text, metadata=metadata, id=chunk.id if document.id else None)


def from_chunks(index: Index, chunks: Sequence[Chunk], *, context: bool = False) -> list[LangChainDocument]:
    """A chunk that is its whole document is that document again; any other is a part with its place, and its context if asked."""
    # Only a chunk at the very start can be all of its document, so only those need a look at the others.
    lengths = index.lengths({chunk.doc_id for chunk in chunks if chunk.start == 0})
    found = []
    for chunk in chunks:
        metadata = copy.deepcopy(dict(chunk.metadata))
        if chunk.start == 0 and chunk.end == lengths.get(chunk.doc_id):
            found.append(LangChainDocument(page_content=chunk.text, metadata=metadata, id=chunk.doc_id))
            continue
        metadata |= {"doc_id": chunk.doc_id, "start_index": chunk.start, "end_index": chunk.end}
        if context and chunk.context:
            metadata["context"] = chunk.context
        found.append(LangChainDocument(page_content=chunk.text, metadata=metadata, id=chunk.id))
    return found


def from_hits(index: Index, hits: Sequence[Hit], *, context: bool = False) -> list[LangChainDocument]:
    """The documents or parts that a search found, in its order."""
    return from_chunks(index, [hit.chunk for hit in hits], context=context)


def wanted_chunks(index: Index, ids: Sequence[str], *, context: bool = False) -> list[LangChainDocument]:
    """The documents or parts with these chunk ids; unknown ids are left out."""
    return from_chunks(index, index.get_chunks(ids), context=context)


def rebuilt(chunks: Sequence[Chunk]) -> LangChainDocument:
    """A whole document from all of its chunks, in order; the metadata they agree on."""
    text = ""
    for chunk in chunks:
        text += chunk.text[len(text) - chunk.start :]
    first = chunks[0].metadata
    shared = {key: value for key, value in first.items() if all(chunk.metadata.get(key, ...) == value for chunk in chunks)}
    return LangChainDocument(page_content=text, metadata=shared, id=chunks[0].doc_id)


def explained(document: LangChainDocument, hit: Hit, query: Query) -> LangChainDocument:
    """The document with ``metadata["ragkit"]``: where it stands, why it ranked, what stands behind it, what was asked."""
    why: dict[str, Any] = {
        "citation": hit.citation,
        "lines": list(hit.lines),
        "document": hit.chunk.doc_id,
        "span": [hit.chunk.start, hit.chunk.end],
        "score": hit.score,
        "rank": hit.rank,
        "parts": {arm: {"score": part.score, "rank": part.rank, "share": part.share} for arm, part in hit.parts.items()},
    }
    if hit.folded:
        why["folded"] = [one.citation for one in hit.folded]
    if isinstance(query, Phrasings):
        why["asked"] = {
            "texts": list(query.texts),
            "passages": list(query.passages),
            "note": query.note,
            "cost": asdict(query.cost),
        }
    document.metadata["ragkit"] = why
    return document
