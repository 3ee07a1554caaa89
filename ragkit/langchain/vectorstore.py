"""An Index as a LangChain vector store."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from os import PathLike
from typing import Any, cast

import numpy as np
from langchain_core.documents import Document as LangChainDocument
from langchain_core.embeddings import Embeddings
from langchain_core.vectorstores import VectorStore
from langchain_core.vectorstores.utils import maximal_marginal_relevance

from ragkit.errors import InvalidInputError
from ragkit.index import Index
from ragkit.index.asking import phrase_vectors, phrases_of
from ragkit.langchain.documents import from_hits, rebuilt, to_ragkit, wanted_chunks
from ragkit.langchain.embeddings import LangChainEmbedder, RagkitEmbeddings
from ragkit.retrieve import Mode
from ragkit.seams import Chunker, Embedder
from ragkit.types import Hit

Filter = Mapping[str, Any]


class RagkitVectorStore(VectorStore):
    """LangChain documents in a ragkit Index: chunked, embedded, and searched by meaning, by words, or both.

    Each LangChain document is one document of the index, under its own id, one given, or a new random one; adding
    an id again replaces it, or does nothing when nothing changed. A search returns chunks. A chunk that is its
    whole document comes back as that document, with the id and metadata that were added; a part of a longer one has the
    chunk's id, and ``doc_id``, ``start_index`` and ``end_index`` beside the document's metadata.

    ``mode`` is "hybrid" (the default), "dense" or "bm25", here or in each call. Filters are given as ``filter`` or
    ``where`` in the index's language: ``{"year": {"$gte": 2020}}``. Scores are never distances: higher is
    better. ``similarity_search_with_score`` gives the mode's own score; relevance scores, searches by vector and maximal
    marginal relevance are about vectors, so they use the dense arm whatever the mode.

    The index's chunker may be a pipeline, ``RecursiveChunker() | Situate()`` or ``| Late()``: the context goes into the vectors, and
    never into ``page_content``; with ``add_context`` parts have it in their metadata.

    Metadata must be JSON-like. A document without text has nothing to be found by: it is not stored, and a warning says so.
    """

    def __init__(self, index: Index, *, mode: Mode = "hybrid", add_context: bool = False) -> None:
        self.index = index
        self.mode: Mode = mode
        self.add_context = add_context

    @property
    def embeddings(self) -> Embeddings:
        """The index's embedding model; the LangChain object itself when the index was made with one."""
        embedder = self.index.embedder
        return embedder.embeddings if isinstance(embedder, LangChainEmbedder) else RagkitEmbeddings(embedder)

    def add_documents(
        self,
        documents: Sequence[LangChainDocument],
        *,
        ids: Sequence[str | None] | None = None,
        batch_size: int | None = None,
        **kwargs: Any,
    ) -> list[str]:
        """Add or replace documents; returns the ids of those that are now stored, in order.

        ``batch_size`` is what ``langchain_core.indexing`` passes: the most chunks of one commit. Raises
        DuplicateIdError for one id with two contents in one call, and what ``Index.add`` raises.
        """
        _no_more("add_documents", kwargs)
        added = to_ragkit(documents, ids)
        report = self.index.add(added) if batch_size is None else self.index.add(added, batch_chunks=batch_size)
        empty = {doc_id for doc_id, _ in report.skipped}
        for doc_id, reason in report.skipped:
            warnings.warn(f"Document {doc_id!r} was not stored: {reason}", stacklevel=2)
        return [document.id for document in added if document.id not in empty]

    def delete(self, ids: list[str] | None = None, **kwargs: Any) -> bool:
        """Delete documents by id; ids that are not there are no error. All of them, with ``ids=None``."""
        _no_more("delete", kwargs)
        self.index.delete(self.index.document_ids() if ids is None else ids)
        return True

    def get_by_ids(self, ids: Sequence[str], /) -> list[LangChainDocument]:
        """Whole documents by document id, and parts by the ids that searches gave them; unknown ids are left out."""
        found = []
        for one in ids:
            chunks = self.index.chunks_of(one)
            found += [rebuilt(chunks)] if chunks else wanted_chunks(self.index, [one], context=self.add_context)
        return found

    def similarity_search(self, query: str, k: int = 4, **kwargs: Any) -> list[LangChainDocument]:
        """The ``k`` best documents or parts. Options: ``filter`` or ``where``, ``mode``, ``fetch_k``, ``shape``."""
        return self._found(self._hits(query, k, kwargs))

    def similarity_search_with_score(self, query: str, k: int = 4, **kwargs: Any) -> list[tuple[LangChainDocument, float]]:
        """``similarity_search`` with the mode's score: cosine (dense), BM25 (bm25) or the fused score (hybrid). Higher is better."""
        hits = self._hits(query, k, kwargs)
        return [(document, hit.score) for document, hit in zip(self._found(hits), hits, strict=True)]

    def similarity_search_by_vector(self, embedding: list[float], k: int = 4, **kwargs: Any) -> list[LangChainDocument]:
        """The documents or parts nearest to a vector. Options: ``filter`` or ``where``."""
        return self._found(self._nearest(embedding, k, kwargs))

    def similarity_search_with_score_by_vector(
        self, embedding: list[float], k: int = 4, **kwargs: Any
    ) -> list[tuple[LangChainDocument, float]]:
        """``similarity_search_by_vector`` with cosines. Higher is better."""
        hits = self._nearest(embedding, k, kwargs)
        return [(document, hit.score) for document, hit in zip(self._found(hits), hits, strict=True)]

    def max_marginal_relevance_search(
        self, query: str, k: int = 4, fetch_k: int = 20, lambda_mult: float = 0.5, **kwargs: Any
    ) -> list[LangChainDocument]:
        """``k`` of the ``fetch_k`` nearest, each close to the query and far from those before it (Carbonell and Goldstein, 1998).

        A ``fetch_k`` below ``k`` counts as ``k``. For words and meaning together: ``similarity_search(..., shape=Shape(mmr=0.7))``.
        """
        vector = phrase_vectors(self.index.embedder, phrases_of(query), {})[0].tolist()
        return self.max_marginal_relevance_search_by_vector(vector, k, fetch_k, lambda_mult, **kwargs)

    def max_marginal_relevance_search_by_vector(
        self, embedding: list[float], k: int = 4, fetch_k: int = 20, lambda_mult: float = 0.5, **kwargs: Any
    ) -> list[LangChainDocument]:
        """``max_marginal_relevance_search`` for a vector; ``lambda_mult`` 1 wants only closeness, 0 only variety."""
        if not 0 <= lambda_mult <= 1:
            raise InvalidInputError(f"lambda_mult is {lambda_mult}; it must be between 0 (variety) and 1 (closeness).")
        hits = self._nearest(embedding, max(k, fetch_k), kwargs)
        vectors = self.index.vectors([hit.chunk.id for hit in hits])
        chosen = maximal_marginal_relevance(np.asarray(embedding, np.float32), list(vectors), lambda_mult, k)
        return self._found([hits[place] for place in chosen])

    def _similarity_search_with_relevance_scores(
        self, query: str, k: int = 4, **kwargs: Any
    ) -> list[tuple[LangChainDocument, float]]:
        """Cosines, with everything below 0 as 0: a threshold of 0.8 means a cosine of 0.8."""
        found = self.similarity_search_with_score(query, k, **{**kwargs, "mode": "dense"})
        return [(document, min(max(score, 0.0), 1.0)) for document, score in found]

    async def _asimilarity_search_with_relevance_scores(
        self, query: str, k: int = 4, **kwargs: Any
    ) -> list[tuple[LangChainDocument, float]]:
        """The same, in a worker thread."""
        found = await self.asimilarity_search_with_score(query, k, **{**kwargs, "mode": "dense"})
        return [(document, min(max(score, 0.0), 1.0)) for document, score in found]

    @classmethod
    def from_texts(  # type: ignore[override]
        cls,
        texts: list[str],
        embedding: Embeddings | Embedder,
        metadatas: list[dict[str, Any]] | None = None,
        *,
        path: str | PathLike[str],
        ids: list[str] | None = None,
        name: str | None = None,
        chunker: Chunker | None = None,
        mode: Mode = "hybrid",
        add_context: bool = False,
    ) -> RagkitVectorStore:
        """A store at ``path`` with these texts; ``from_documents`` takes the same options.

        ``embedding`` is a LangChain or a ragkit embedder. The ``name`` of a LangChain model is written into the
        database; it defaults to the object's ``model`` or ``model_name``.
        """
        embedder = embedding if isinstance(embedding, Embedder) else _embedder(embedding, name)
        store = cls(Index(str(path), chunker=chunker, embedder=embedder), mode=mode, add_context=add_context)
        store.add_texts(texts, metadatas, ids=ids)
        return store

    def _found(self, hits: Sequence[Hit]) -> list[LangChainDocument]:
        return from_hits(self.index, hits, context=self.add_context)

    def _hits(self, query: str, k: int, options: dict[str, Any]) -> list[Hit]:
        options = dict(options)
        where, mode = _where(options), options.pop("mode", self.mode)
        more = {name: options.pop(name) for name in ("fetch_k", "shape") if name in options}
        _no_more("the search", options)
        return self.index.search(query, k=k, mode=mode, where=where, **more)

    def _nearest(self, embedding: Sequence[float], k: int, options: dict[str, Any]) -> list[Hit]:
        options = dict(options)
        where = _where(options)
        _no_more("the search", options)
        return self.index.search_vector(np.asarray(embedding, np.float32), k=k, where=where)


def _where(options: dict[str, Any]) -> Filter | None:
    """Take the filter out of the options, under either name."""
    given = [options.pop(key) for key in ("filter", "where") if options.get(key) is not None]
    for key in ("filter", "where"):
        options.pop(key, None)
    if len(given) == 2:
        raise InvalidInputError("Both filter= and where= were given; they are two names for one thing. Give one.")
    return cast("Filter", given[0]) if given else None


def _no_more(what: str, options: Mapping[str, Any]) -> None:
    if options:
        raise InvalidInputError(
            f"{what} got the unknown options {sorted(options)}; see the method's documentation for those it takes."
        )


def _embedder(embedding: Embeddings, name: str | None) -> Embedder:
    if isinstance(embedding, RagkitEmbeddings):
        return embedding.embedder
    for attribute in ("model", "model_name"):
        value = getattr(embedding, attribute, None)
        name = name or (value if isinstance(value, str) else None)
    if not name:
        raise InvalidInputError(
            f"{type(embedding).__name__} does not say which model it is; pass name= (it is written into the database, "
            "so that vectors of two models never meet)."
        )
    return LangChainEmbedder(embedding, name=name)
