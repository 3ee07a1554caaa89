"""Questions to hits: candidates by every phrasing in one search, fused, reranked, and brought into shape."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple, Protocol

import numpy as np

from ragkit.errors import InvalidInputError
from ragkit.index.joined import joined_hit
from ragkit.index.queries import passage_vectors, query_vectors
from ragkit.lexical import TextQuery
from ragkit.retrieve import Phrasings, Shape, choose, expand_hits, fuse_deep
from ragkit.seams import Embedder, Tokenizer, Vectors
from ragkit.types import Chunk, Hit

Rerank = Callable[[str, Sequence[Hit]], Sequence[Hit]]
Query = str | TextQuery | Phrasings

#: Shapes that leave hits out look for others among at most so many times fetch_k candidates.
_DEEPEST = 64
#: LanceDB counts candidates in 32 bits.
_MOST = 2**31 - 1


class Phrase(NamedTuple):
    """One text to search by; a ``passage`` is embedded as documents are. ``terms`` is what the BM25 arm reads instead of it."""

    text: str
    passage: bool = False
    terms: TextQuery | None = None


#: Searches all the phrases together, each to the same depth.
Find = Callable[[Sequence[Phrase], int], Sequence[list[Hit]]]
#: Puts the hits of every query into a new order, or some of them.
Reorder = Callable[[Sequence[str], Sequence[list[Hit]]], list[list[Hit]]]


class Reader(Protocol):
    """What of a store shapes need."""

    def vectors_of(self, chunk_ids: Sequence[str], /) -> Mapping[str, Vectors]: ...

    def chunks_of_each(self, doc_ids: Sequence[str], /) -> Mapping[str, Sequence[Chunk]]: ...


def phrases_of(query: Query) -> list[Phrase]:
    """The phrases to search for one query. Raises InvalidInputError for one that is no text or blank."""
    if isinstance(query, Phrasings):
        return [*map(Phrase, query.texts), *(Phrase(text, passage=True) for text in query.passages)]
    terms = query if isinstance(query, TextQuery) else None
    text = query.plain() if isinstance(query, TextQuery) else query
    if not isinstance(text, str):
        raise InvalidInputError(
            f"The query is {query!r} ({type(query).__name__}); a query is text, a question of ragkit.lexical such as Phrase, or Phrasings "
            "of several texts for one need."
        )
    if not text.strip():
        raise InvalidInputError(f"The query {query!r} is blank; ask with at least one word.")
    return [Phrase(text, terms=terms)]


def phrase_vectors(embedder: Embedder, phrases: Sequence[Phrase], known: Mapping[str, Vectors]) -> Vectors:
    """``(n, dim)`` unit rows, one per phrase; questions in ``known`` have theirs already."""
    asked = [phrase.text for phrase in phrases if not phrase.passage and phrase.text not in known]
    vectors = {**known, **(dict(zip(asked, query_vectors(embedder, asked), strict=True)) if asked else {})}
    shown = [phrase.text for phrase in phrases if phrase.passage]
    passages = dict(zip(shown, passage_vectors(embedder, shown), strict=True)) if shown else {}
    return np.stack([(passages if phrase.passage else vectors)[phrase.text] for phrase in phrases])


def reordered(rerank: Rerank) -> Reorder:
    """A reranker of one question's hits as one of many; it must return hits that it was given, each at most once."""
    if not callable(rerank) or isinstance(rerank, type):
        raise InvalidInputError(f"rerank is {rerank!r}; give a CompressedReranker, or a function (question, hits) -> hits.")

    def reorder(queries: Sequence[str], found: Sequence[list[Hit]]) -> list[list[Hit]]:
        return [_reranked(rerank, query, hits) for query, hits in zip(queries, found, strict=True)]

    return reorder


def answer(
    queries: Sequence[list[Phrase]],
    find: Find,
    reader: Reader,
    *,
    k: int,
    fetch_k: int,
    reorder: Reorder | None = None,
    shape: Shape | None = None,
    tokenizer: Tokenizer | None = None,
) -> list[list[Hit]]:
    """The ``k`` best hits for every query, in order; each is given by its phrases.

    ``reorder`` gets the first phrases and their best max(k, fetch_k) hits. ``tokenizer`` counts the tokens of expanded
    hits; without one the counts of their chunks are added.
    """
    if not queries:
        return []
    depth = k if reorder is None and shape is None else max(k, fetch_k)
    ranked = _ranked(queries, find, depth, fetch_k)
    if reorder is not None:
        ranked = reorder([phrases[0].text for phrases in queries], ranked)
    if shape is None:
        return [hits[:k] for hits in ranked]
    shaped = []
    for phrases, hits in zip(queries, ranked, strict=True):

        def deeper(depth: int, phrases: list[Phrase] = phrases, hits: list[Hit] = hits) -> list[Hit]:
            # What a reranker was shown is all there is to choose from.
            return hits if reorder is not None else _ranked([phrases], find, depth, fetch_k)[0]

        shaped.append(_shaped(hits, deeper, reader, shape, k, fetch_k, tokenizer))
    return shaped


def _ranked(queries: Sequence[list[Phrase]], find: Find, depth: int, fetch_k: int) -> list[list[Hit]]:
    """The best ``depth`` hits of each, fused where there are several phrases for it; all phrases are searched together."""
    reach = depth if all(len(phrases) == 1 for phrases in queries) else max(depth, fetch_k)
    found = iter(find([phrase for phrases in queries for phrase in phrases], reach))
    ranked = []
    for phrases in queries:
        lists = [next(found) for _ in phrases]
        if len(phrases) == 1:
            ranked.append(lists[0][:depth])
            continue

        def longer(depth: int, phrases: list[Phrase] = phrases, lists: list[list[Hit]] = lists) -> Sequence[list[Hit]]:
            return [hits[:depth] for hits in lists] if depth <= reach else find(phrases, depth)

        ranked.append(fuse_deep(longer, _names(phrases), k=depth, depth=fetch_k))
    return ranked


def _names(phrases: Sequence[Phrase]) -> list[str]:
    """q1, q2 and so on for questions, p1 and so on for passages, as ``Phrasings`` documents them."""
    questions = sum(not phrase.passage for phrase in phrases)
    return [f"q{at}" if at <= questions else f"p{at - questions}" for at in range(1, len(phrases) + 1)]


def _shaped(
    hits: list[Hit],
    deeper: Callable[[int], list[Hit]],
    reader: Reader,
    shape: Shape,
    k: int,
    fetch_k: int,
    tokenizer: Tokenizer | None,
) -> list[Hit]:
    """The first ``k`` hits in shape; where too many were left out, from twice as many candidates, again and again."""
    depth = max(k, fetch_k)
    while True:
        chosen, full = choose(hits, shape, fetch_k=fetch_k, vectors=lambda some: _vectors(reader, some))
        if shape.expand is not None:
            chosen = _expanded(chosen, reader, shape, k, tokenizer)
        enough = full if shape.mmr is not None else len(chosen) >= k
        if enough or len(hits) < depth or depth >= _DEEPEST * fetch_k:
            return [replace(hit, rank=rank) for rank, hit in enumerate(chosen[:k], 1)]
        depth *= 2
        hits = deeper(depth)


def _expanded(hits: Sequence[Hit], reader: Reader, shape: Shape, k: int, tokenizer: Tokenizer | None) -> list[Hit]:
    assert shape.expand is not None
    stretches = expand_hits(hits, reader.chunks_of_each, k=k, expand=shape.expand, max_tokens=shape.max_tokens)
    return [replace(joined_hit(one.chunks, one.seed, tokenizer), folded=(*one.seed.folded, *one.others)) for one in stretches]


def _vectors(reader: Reader, hits: Sequence[Hit]) -> Vectors:
    """A row per hit; zeros, which are like nothing, for a chunk that was deleted since it was found."""
    found = reader.vectors_of([hit.chunk.id for hit in hits])
    dim = next((len(vector) for vector in found.values()), 1)
    return (
        np.stack([found.get(hit.chunk.id, np.zeros(dim, np.float32)) for hit in hits]) if hits else np.empty((0, dim), np.float32)
    )


def _reranked(rerank: Rerank, query: str, hits: list[Hit]) -> list[Hit]:
    known = {hit.chunk.id for hit in hits}
    answered = rerank(query, hits)
    if not isinstance(answered, Iterable):
        raise InvalidInputError(f"rerank returned {answered!r}; it must return a list of hits.")
    ordered = list(answered)
    ids = [hit.chunk.id if isinstance(hit, Hit) else None for hit in ordered]
    if len(set(ids)) != len(ids) or not known.issuperset(ids):
        raise InvalidInputError("rerank must return hits that it was given, each at most once; it returned others or repeats.")
    return [replace(hit, rank=rank) for rank, hit in enumerate(ordered, 1)]


def check_choice(k: int, fetch_k: int, shape: Shape | None) -> None:
    """Raise InvalidInputError for ``k`` or ``fetch_k`` below 1, and a shape whose ``mmr`` chooses from fewer than ``k``."""
    for name, value in (("k", k), ("fetch_k", fetch_k)):
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise InvalidInputError(f"{name} is {value!r}; it must be a whole number, at least 1.")
    if fetch_k > _MOST:
        raise InvalidInputError(f"fetch_k is {fetch_k}; it may be at most {_MOST}.")
    if shape is not None and not isinstance(shape, Shape):
        raise InvalidInputError(f"shape is a {type(shape).__name__}; give a Shape, for example Shape(per_document=2).")
    if shape is not None and shape.mmr is not None and k > fetch_k:
        raise InvalidInputError(f"k is {k} and mmr chooses from the fetch_k = {fetch_k} best. Raise fetch_k, or lower k.")
