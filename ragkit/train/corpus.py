"""A corpus as training sees it: readings of chunks, questions, and which chunks answer them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ragkit.embed.adapted import components
from ragkit.errors import InvalidInputError
from ragkit.lexical import Analyzer, bm25_ceiling, bm25_scores, term_stats
from ragkit.progress import progress as progress_bar
from ragkit.seams import Chunker, Embedder, Vectors
from ragkit.train.labels import Label
from ragkit.types import Chunk, Document

Rows = NDArray[np.int64]
Floats = NDArray[np.float64]
_AT_ONCE = 256


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Corpus:
    """``read`` is ``(n, 3, dim)``: every chunk alone, situated, and its document's mean; ``doc`` ``(n,)`` its document's number."""

    documents: Sequence[Document]
    chunks: Sequence[Chunk]
    read: Vectors
    doc: Rows


class Words(NamedTuple):
    """BM25 for one question: the chunks that share a word with it, their scores, and the score that no chunk can exceed."""

    rows: Rows
    scores: Floats
    ceiling: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Questions:
    """``vectors`` ``(m, dim)``; ``gold[i]`` the chunks that answer question i; ``home`` the document of the first of them.

    ``scope[i]`` is the document the question is asked of, or -1; ``homes[i]`` all documents that answer it. ``words[i]`` is
    BM25 over the chunks' texts, ``words_in_context[i]`` over what an index gives BM25: context and text, where a chunk's
    encoding says so. ``needy[i]``: it names a word of the title that no gold chunk has, so only context can connect them.
    """

    vectors: Vectors
    gold: Sequence[Rows]
    home: Rows
    homes: Sequence[Rows]
    scope: Rows
    words: Sequence[Words]
    words_in_context: Sequence[Words]
    needy: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.gold)


def read_corpus(
    documents: Sequence[Document], chunker: Chunker, embedder: Embedder, *, situated: bool = True, progress: bool = False
) -> Corpus:
    """Chunk every document and read every chunk; documents without chunks are left out."""
    items = [(document, chunker(document)) for document in documents if document.text.strip()]
    items = [(document, chunks) for document, chunks in items if chunks]
    read: list[Vectors] = []
    with progress_bar("Reading chunks", total=sum(len(chunks) for _, chunks in items), enabled=progress) as watch:
        batch: list[tuple[Document, list[Chunk]]] = []
        for place, item in enumerate(items):
            batch.append(item)
            waiting = sum(len(chunks) for _, chunks in batch)
            if waiting >= _AT_ONCE or place == len(items) - 1:
                read.append(components(embedder, batch, situated=situated))
                watch.advance(waiting)
                batch = []
    if not read:
        raise InvalidInputError(f"The {len(documents)} documents give no chunks: they are empty or only white space.")
    return Corpus(
        documents=[document for document, _ in items],
        chunks=[chunk for _, chunks in items for chunk in chunks],
        read=np.concatenate(read),
        doc=np.repeat(np.arange(len(items)), [len(chunks) for _, chunks in items]),
    )


def read_questions(corpus: Corpus, labels: Sequence[Label], embedder: Embedder, analyzer: Analyzer) -> Questions:
    """The labels on this corpus. A chunk answers when it shares at least half of a span, or half of itself, with it.

    Raises InvalidInputError for a label that no chunk answers.
    """
    numbers = {document.id: place for place, document in enumerate(corpus.documents)}
    starts = np.array([chunk.start for chunk in corpus.chunks])
    ends = np.array([chunk.end for chunk in corpus.chunks])
    gold: list[Rows] = []
    for place, label in enumerate(labels):
        found: set[int] = set()
        for doc_id, start, end in label.spans:
            rows = np.flatnonzero(corpus.doc == numbers.get(doc_id, -1))
            shared = np.minimum(ends[rows], end) - np.maximum(starts[rows], start)
            found.update(rows[(shared > 0) & (2 * shared >= np.minimum(end - start, ends[rows] - starts[rows]))].tolist())
        if not found:
            raise InvalidInputError(
                f"No chunk answers label {place}, {label.question[:60]!r} in {label.spans[:3]}: its documents are not among those "
                "given, or its spans are white space. Leave it out, or mend its spans."
            )
        gold.append(np.array(sorted(found), np.int64))
    tokens = [analyzer.tokens(chunk.text) for chunk in corpus.chunks]
    asked = [analyzer.query_tokens(label.question) for label in labels]
    read_along = [bool(chunk.context) and chunk.encoding.lexical for chunk in corpus.chunks]
    words = _bm25(tokens, asked)
    titles = [set(analyzer.tokens(str(document.metadata.get("title") or ""))) for document in corpus.documents]
    needy = [
        all((set(words) & titles[corpus.doc[row]]) - set(tokens[row]) for row in rows)
        for words, rows in zip(asked, gold, strict=True)
    ]
    return Questions(
        vectors=embedder.embed_queries([label.question for label in labels]),
        gold=gold,
        home=np.array([corpus.doc[rows[0]] for rows in gold], np.int64),
        homes=[np.unique(corpus.doc[rows]) for rows in gold],
        scope=np.array([-1 if label.scope is None else numbers[label.scope] for label in labels], np.int64),
        words=words,
        words_in_context=words
        if not any(read_along)
        else _bm25(
            [
                analyzer.tokens(chunk.context) + own if with_context else own
                for chunk, own, with_context in zip(corpus.chunks, tokens, read_along, strict=True)
            ],
            asked,
        ),
        needy=np.array(needy, np.bool_),
    )


def _bm25(tokens: Sequence[Sequence[str]], asked: Sequence[Sequence[str]]) -> list[Words]:
    """Exact BM25 by terms: a score is a sum over the question's words, and each word is in few chunks."""
    stats = term_stats(tokens)
    wanted = {term for words in asked for term in words}
    holders: dict[str, list[int]] = {}
    for row, words in enumerate(tokens):
        for term in wanted.intersection(words):
            holders.setdefault(term, []).append(row)
    weights = {term: bm25_scores([term], [tokens[row] for row in rows], stats) for term, rows in holders.items()}
    total = np.zeros(len(tokens))
    found: list[Words] = []
    for words in asked:
        touched: set[int] = set()
        for term, times in Counter(words).items():
            if term in weights:
                total[holders[term]] += times * weights[term]
                touched.update(holders[term])
        rows = np.array(sorted(touched), np.int64)
        found.append(Words(rows, total[rows].copy(), bm25_ceiling(words, stats)))
        total[rows] = 0.0
    return found
