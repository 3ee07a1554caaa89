"""The searches of an index."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ragkit.errors import InvalidInputError
from ragkit.index.asking import Find, Phrase, Query, Rerank, answer, check_choice, phrase_vectors, phrases_of, reordered
from ragkit.index.contents import Contents
from ragkit.index.runs import run_hits
from ragkit.lexical import read
from ragkit.rerank.reranker import CompressedReranker
from ragkit.retrieve import (
    DEFAULT_FETCH_K,
    Candidates,
    Context,
    Mode,
    Order,
    Shape,
    Threshold,
    assemble,
    at_least,
    candidates,
)
from ragkit.retrieve import search as run_search
from ragkit.retrieve import search_many as run_searches
from ragkit.seams import Vectors
from ragkit.store import AS_TUNED, Nearness
from ragkit.text.term_query import TermQuery
from ragkit.types import Hit

Where = Mapping[str, Any]


class Searching(Contents):
    """Questions in, hits out: every search reads one version of the database."""

    def search(
        self,
        query: Query,
        *,
        k: int = 10,
        mode: Mode = "hybrid",
        where: Where | None = None,
        fetch_k: int = DEFAULT_FETCH_K,
        rerank: Rerank | None = None,
        shape: Shape | None = None,
        nearness: Nearness = AS_TUNED,
        min_score: float | Threshold | None = None,
    ) -> list[Hit]:
        """The ``k`` best hits for a question, best first; fewer when fewer chunks can match.

        ``mode`` is "dense" (cosine), "bm25" or "hybrid" (both, fused). Each arm gives ``fetch_k`` candidates whatever
        ``k`` is, so a smaller ``k`` gives the beginning of a larger one. ``where`` filters by metadata before the arms
        choose; ``ragkit.store.compile_where`` tells its language. ``rerank`` gets the query and the best
        max(k, fetch_k) hits and returns them in a new order, or some of them; ranks are then counted anew. A CompressedReranker reads
        stored codes instead, never text, and the question's tokens from the pass that makes its vector. A query beyond
        the model's window is read in several windows, whose vectors are averaged. Words around a question that ask for nothing ("could
        you please tell me ...") are left out unless the analyzer was made with ``courtesies=False``; nothing else of it is dropped.

        ``query`` may be a question of ``ragkit.lexical`` (``Phrase``, ``AllOf``, ``AnyOf``, ``Not``, ``Prefix``, ``Fuzzy``, ``Words``): the
        BM25 arm finds what meets it, the dense arm reads its plain words, and what it excludes comes from neither. ``nearness`` is
        how hard the vector index is searched, as ``tune`` measured it without one; scores are exact whatever it says.

        ``query`` may be ``Phrasings``, several ways to put one need: each is searched, and their scores are averaged.
        ``shape`` chooses among the hits and expands them (``Shape`` tells in what order). What it leaves out is made up for
        from deeper candidates, up to 64 times ``fetch_k``; a smaller ``k`` still gives the beginning of a larger one.

        ``min_score`` leaves out hits below it: a cosine for "dense", BM25 for "bm25"; for "hybrid", whose scores compare the candidates
        of one question only, a ``ragkit.retrieve.Threshold``, a probability of relevance that means the same for every question.

        Raises InvalidInputError for a query that is not text or is blank, an unknown mode, ``k`` or ``fetch_k`` below 1, and
        ``mmr`` with ``k`` above ``fetch_k``; FilterError; StoreError.
        """
        return self.search_many(
            [query],
            k=k,
            mode=mode,
            where=where,
            fetch_k=fetch_k,
            rerank=rerank,
            shape=shape,
            nearness=nearness,
            min_score=min_score,
        )[0]

    def search_runs(
        self,
        query: Query,
        *,
        k: int = 5,
        max_tokens: int = 256,
        gap: int = 1,
        mode: Mode = "hybrid",
        where: Where | None = None,
        fetch_k: int = DEFAULT_FETCH_K,
    ) -> list[Hit]:
        """The ``k`` best runs of neighbouring chunks, for an index of sentences: ``SentenceChunker(128, packing="one")``.

        The best ``fetch_k`` chunks are found as ``search`` finds them and merged: a run grows from a strong chunk over
        neighbours that are nearly as strong, across up to ``gap`` weaker ones, to at most ``max_tokens`` tokens of its chunks.
        ``hit.chunk`` is the run, exactly a slice of its document, with the metadata that its chunks agree on; it is not stored
        under its id. ``hit.score`` is the strongest chunk's score with a share of its neighbours', ``hit.parts`` that
        chunk's own. No two runs overlap, and the first k are the beginning of more. ``ragkit.retrieve.find_runs`` is the rule.

        Raises what ``search`` raises, and InvalidInputError for ``max_tokens`` or ``gap`` out of range.
        """
        if not isinstance(k, int) or isinstance(k, bool) or k < 1:
            raise InvalidInputError(f"k is {k!r}; it must be a whole number, at least 1.")
        hits = self.search(query, k=fetch_k, mode=mode, where=where, fetch_k=fetch_k)
        tokenizer = None if mode == "bm25" else self.embedder.tokenizer
        return run_hits(hits, self.chunks_of, k=k, max_tokens=max_tokens, gap=gap, tokenizer=tokenizer)

    def search_vector(
        self,
        vector: Vectors,
        *,
        k: int = 10,
        where: Where | None = None,
        fetch_k: int = DEFAULT_FETCH_K,
        nearness: Nearness = AS_TUNED,
    ) -> list[Hit]:
        """The ``k`` chunks nearest to a vector ``(dim,)`` of the same model, by cosine; otherwise like ``search``."""
        try:
            query = np.asarray(vector, np.float32)
        except (ValueError, TypeError) as error:
            raise InvalidInputError(
                f"vector is a {type(vector).__name__} that is no array of numbers: {error}. Give {self.card.dim} numbers."
            ) from error
        return self._store.searched(
            lambda arms: run_search(arms, query_vector=query, query_tokens=[], k=k, mode="dense", fetch_k=fetch_k, where=where),
            words=False,
            nearness=nearness,
        )

    def search_many(
        self,
        queries: Sequence[Query],
        *,
        k: int = 10,
        mode: Mode = "hybrid",
        where: Where | None = None,
        fetch_k: int = DEFAULT_FETCH_K,
        rerank: Rerank | None = None,
        shape: Shape | None = None,
        nearness: Nearness = AS_TUNED,
        min_score: float | Threshold | None = None,
    ) -> list[list[Hit]]:
        """``search`` for every query, in order, with one call of the embedder and one scan of the vectors."""
        if isinstance(queries, str):
            raise InvalidInputError("queries is one string; give a list of questions, or use search().")
        found = self._answer(
            list(queries), k=k, mode=mode, where=where, fetch_k=fetch_k, rerank=rerank, shape=shape, nearness=nearness
        )
        return [at_least(hits, min_score) for hits in found]

    async def asearch(
        self,
        query: Query,
        *,
        k: int = 10,
        mode: Mode = "hybrid",
        where: Where | None = None,
        fetch_k: int = DEFAULT_FETCH_K,
        rerank: Rerank | None = None,
        shape: Shape | None = None,
        nearness: Nearness = AS_TUNED,
        min_score: float | Threshold | None = None,
    ) -> list[Hit]:
        """``search`` in a worker thread of the running loop; the model and LanceDB release the interpreter's lock."""
        return await asyncio.to_thread(
            self.search,
            query,
            k=k,
            mode=mode,
            where=where,
            fetch_k=fetch_k,
            rerank=rerank,
            shape=shape,
            nearness=nearness,
            min_score=min_score,
        )

    def candidates(
        self, queries: Sequence[str], *, fetch_k: int = DEFAULT_FETCH_K, where: Where | None = None
    ) -> list[Candidates]:
        """What the fusion of a hybrid search is given for each question: for trying fusions without searching again."""
        if isinstance(queries, str):
            raise InvalidInputError("queries is one string; give a list of questions.")
        phrases = [phrase for query in queries for phrase in phrases_of(query)]
        vectors = phrase_vectors(self.embedder, self._read(phrases), {}) if phrases else np.empty((0, self.card.dim), np.float32)
        tokens = [self._terms(phrase) for phrase in phrases]
        return self._store.searched(
            lambda arms: candidates(
                arms, query_vectors=vectors, queries_tokens=tokens, fetch_k=fetch_k, where=where, bm25=self._bm25
            )
        )

    def context(
        self,
        question: Query,
        *,
        max_tokens: int,
        k: int = 20,
        mode: Mode = "hybrid",
        where: Where | None = None,
        fetch_k: int = DEFAULT_FETCH_K,
        rerank: Rerank | None = None,
        shape: Shape | None = None,
        tokenizer: Any = None,
        order: Order = "rank",
    ) -> Context:
        """What a language model should read to answer: the best hits as numbered passages within ``max_tokens`` tokens.

        Hits that touch or overlap become one passage; each passage is an exact slice of its document, and
        ``context.cited(answer)`` finds those that an answer cites as [1]. At most ``k`` hits are used; those that do not fit are named
        in ``left_out``. ``tokenizer``, anything ``ragkit.text.resolve_tokenizer`` takes, should be the reading model's; the embedder's
        without one. ``order`` is that of ``ragkit.retrieve.assemble``, the rest that of ``search``.
        """
        hits = self.search(question, k=k, mode=mode, where=where, fetch_k=fetch_k, rerank=rerank, shape=shape)
        counter = self.embedder.tokenizer if tokenizer is None else tokenizer
        return assemble(hits, max_tokens=max_tokens, tokenizer=counter, order=order)

    def _answer(
        self,
        queries: list[Query],
        *,
        k: int,
        mode: Mode,
        where: Where | None,
        fetch_k: int,
        rerank: Rerank | None,
        shape: Shape | None,
        nearness: Nearness,
    ) -> list[list[Hit]]:
        asked = [phrases_of(query) for query in queries]
        check_choice(k, fetch_k, shape)
        if not asked:
            return []
        known: dict[str, Vectors] = {}
        reorder = None if rerank is None else reordered(rerank)
        if isinstance(rerank, CompressedReranker):
            first = [phrases[0].text for phrases in map(self._read, asked)]
            states = self.codes.ask(rerank, first, dense=mode in ("dense", "hybrid"))
            if states.vectors is not None:
                known = dict(zip(first, states.vectors, strict=True))
            reorder = lambda _, found: self.codes.rerank(states, found)  # noqa: E731
        counts = shape is not None and shape.expand is not None and mode != "bm25"
        return answer(
            asked,
            self._finder(known, mode, where, fetch_k, nearness),
            self._store,
            k=k,
            fetch_k=fetch_k,
            reorder=reorder,
            shape=shape,
            tokenizer=self.embedder.tokenizer if counts else None,
        )

    def _finder(self, known: Mapping[str, Vectors], mode: Mode, where: Where | None, fetch_k: int, nearness: Nearness) -> Find:
        def find(phrases: Sequence[Phrase], depth: int) -> list[list[Hit]]:
            tokens = [[] if mode == "dense" else self._terms(phrase) for phrase in phrases]
            vectors = phrase_vectors(self.embedder, self._read(phrases), known) if mode in ("dense", "hybrid") else None
            return self._store.searched(
                lambda arms: run_searches(
                    arms,
                    query_vectors=vectors,
                    queries_tokens=tokens,
                    k=depth,
                    mode=mode,
                    fetch_k=fetch_k,
                    fusion=self._fusion,
                    where=where,
                    bm25=self._bm25,
                ),
                dense=mode != "bm25",
                words=mode != "dense",
                nearness=nearness,
            )

        return find

    def _read(self, phrases: Sequence[Phrase]) -> list[Phrase]:
        """The phrases as models read them: questions without the words around them that ask for nothing."""
        return [one if one.passage else one._replace(text=self.analyzer.asked(one.text)) for one in phrases]

    def _terms(self, phrase: Phrase) -> Sequence[str] | TermQuery:
        if phrase.terms is None:
            return self.analyzer.query_tokens(phrase.text)
        return read(phrase.terms, self.analyzer, lambda: self._store.term_stats().df)
