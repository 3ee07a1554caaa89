"""What else a user would take for search on one machine: faiss and usearch for vectors, bm25s for words, and both fused."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib.util import find_spec

import numpy as np
from search_corpus import DIM, Corpus, Questions

K, FETCH = 10, 100
_UP_TO = 100_000

Ask = Callable[[int], Sequence[int]]


def contenders(corpus: Corpus, questions: Questions) -> dict[str, Ask]:
    """Peers that are installed, by name: from a question's number to the places of the best chunks, best first."""
    found: dict[str, Ask] = {"dense, numpy in memory": lambda n: _best(corpus.vectors @ questions.vectors[n], K)}
    if len(corpus.texts) > _UP_TO:
        return found
    dense: Ask | None = None
    if find_spec("faiss"):
        dense = _faiss(corpus, questions, found)
    if find_spec("usearch"):
        found["dense, usearch float16 graph"] = _usearch(corpus, questions)
    if find_spec("bm25s"):
        words = _bm25s(corpus, questions)
        found["bm25, bm25s in memory"] = lambda n: words(n)[:K]
        if dense is not None:
            found["hybrid, faiss and bm25s by RRF"] = lambda n, dense=dense: _rrf(dense(n), words(n))
            if find_spec("langchain_classic"):
                found["hybrid, EnsembleRetriever of both"] = _ensemble(corpus, dense, words)
    return found


def _faiss(corpus: Corpus, questions: Questions, found: dict[str, Ask]) -> Ask:
    import faiss

    # Its waiting threads would slow down whoever comes next.
    faiss.omp_set_num_threads(1)
    flat = faiss.IndexFlatIP(DIM)
    flat.add(corpus.vectors)
    lists = faiss.IndexIVFFlat(faiss.IndexFlatIP(DIM), DIM, int(len(corpus.vectors) ** 0.5), faiss.METRIC_INNER_PRODUCT)
    lists.train(corpus.vectors[: 64 * lists.nlist])
    lists.add(corpus.vectors)
    lists.nprobe = max(8, lists.nlist // 20)
    found["dense, faiss flat"] = lambda n: flat.search(questions.vectors[n : n + 1], K)[1][0].tolist()
    found["dense, faiss IVF"] = lambda n: lists.search(questions.vectors[n : n + 1], K)[1][0].tolist()
    return lambda n: flat.search(questions.vectors[n : n + 1], FETCH)[1][0].tolist()


def _usearch(corpus: Corpus, questions: Questions) -> Ask:
    from usearch.index import Index

    graph = Index(ndim=DIM, metric="cos", dtype="f16")
    graph.add(np.arange(len(corpus.vectors)), corpus.vectors)
    return lambda n: graph.search(questions.vectors[n], K).keys.tolist()


def _bm25s(corpus: Corpus, questions: Questions) -> Ask:
    import bm25s

    words = bm25s.BM25(k1=1.2, b=0.75)
    words.index(corpus.tokens, show_progress=False)
    return lambda n: words.retrieve([questions.tokens[n]], k=FETCH, show_progress=False)[0][0].tolist()


def _ensemble(corpus: Corpus, dense: Ask, words: Ask) -> Ask:
    from langchain_classic.retrievers import EnsembleRetriever
    from langchain_core.documents import Document
    from langchain_core.retrievers import BaseRetriever

    documents = [Document(text, id=str(place)) for place, text in enumerate(corpus.texts)]

    class Given(BaseRetriever):
        ask: Ask

        def _get_relevant_documents(self, query: str, *, run_manager: object) -> list[Document]:
            return [documents[place] for place in self.ask(int(query))]

    both = EnsembleRetriever(retrievers=[Given(ask=dense), Given(ask=words)], weights=[0.5, 0.5], id_key=None)
    return lambda n: [int(one.id) for one in both.invoke(str(n))[:K]]


def _rrf(*lists: Sequence[int]) -> list[int]:
    scores: dict[int, float] = {}
    for ranked in lists:
        for rank, place in enumerate(ranked, 1):
            scores[place] = scores.get(place, 0.0) + 1 / (60 + rank)
    return sorted(scores, key=scores.__getitem__, reverse=True)[:K]


def _best(scores: np.ndarray, k: int) -> list[int]:
    places = np.argpartition(scores, -k)[-k:]
    return places[np.argsort(-scores[places])].tolist()
