"""Index: documents in, cited hits out."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping, Sequence, Sized
from copy import copy
from dataclasses import replace
from pathlib import Path
from threading import RLock
from types import TracebackType
from typing import Any, Literal, Self

import numpy as np

from ragkit.chunk import RecursiveChunker, from_recipe
from ragkit.embed import TransformerEmbedder, card_differences, load_embedder
from ragkit.errors import InvalidInputError, StoreError, StoreMismatchError
from ragkit.index.codes import IndexCodes
from ragkit.index.history import History
from ragkit.index.ingest import Counts, Ingest
from ragkit.index.queries import query_vectors
from ragkit.index.reports import AddReport, IndexStats
from ragkit.index.runs import run_hits
from ragkit.lexical import Analyzer
from ragkit.progress import progress as progress_bar
from ragkit.rerank.reranker import CompressedReranker
from ragkit.rerank.types import Compressor
from ragkit.retrieve import DEFAULT_FETCH_K, DEFAULT_FUSION, Fusion, Mode
from ragkit.retrieve import search as run_search
from ragkit.retrieve import search_many as run_searches
from ragkit.seams import Chunker, Embedder, Vectors
from ragkit.store import ChunkStore, Column, Header, declare, declared
from ragkit.store.versions import number_of
from ragkit.types import Chunk, Document, Hit, ModelCard

Where = Mapping[str, Any]
Rerank = Callable[[str, Sequence[Hit]], Sequence[Hit]]


class Index:
    """Documents, chunked, embedded and stored in a LanceDB database at ``path``, to be searched.

    Without a database at ``path`` one is made, with its parent folders (``create=False``: StoreError). The model card and
    the analyzer are written into it, and only they can open it again. What is not given comes from the database: the
    embedder is loaded from its card when a vector is first needed, the chunker is the one last used. A new database takes
    ``TransformerEmbedder()``, ``RecursiveChunker(max_tokens=256)`` and ``Analyzer()``. ``fusion`` only steers searches.
    ``compressor`` decides what ``add`` stores beside the vectors for ``rerank=CompressedReranker()``: codes of that compressor, of the one
    that ships with ragkit where it was trained for this model ("auto"), or none; ``codes`` fills, drops and counts them.
    ``columns`` declares metadata keys of one type, ``{"year": int, "tags": list[str], "published": datetime}``, which makes filters
    on them typed and fast; on a database that has documents they are filled from what is stored, and that may take a moment.

    Safe for several threads, and for several processes on one path (start them with "spawn").

    Raises StoreMismatchError when ``embedder``, ``analyzer`` or the type of a column is not what wrote the database, StoreFormatError when a
    newer ragkit wrote it, StoreCorruptError for damaged files, StoreFullError, and StoreError when ``path`` is a file or a
    folder of something else.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        chunker: Chunker | None = None,
        embedder: Embedder | None = None,
        analyzer: Analyzer | None = None,
        fusion: Fusion | None = None,
        compressor: Compressor | Literal["auto"] | None = "auto",
        columns: Mapping[str, Any] | Iterable[Column] | None = None,
        create: bool = True,
    ) -> None:
        self.path = Path(path)
        self._given_chunker, self._embedder, self._compressor = chunker, embedder, compressor
        self._chunker: Chunker | None = None
        self._fusion = DEFAULT_FUSION if fusion is None else fusion
        self._lock = RLock()
        self.codes = IndexCodes(lambda: self._store, lambda: self.embedder, compressor)
        header, typed = None, declared(columns)
        if create and not ChunkStore.exists(self.path):
            header = self._new_header(analyzer or Analyzer()).declaring(typed)
        self._store = ChunkStore.open(self.path, create=header)
        stored = self._store.header
        if self._embedder is not None:
            _same_model(self.path, stored.card, self._embedder.card)
        if analyzer is not None and analyzer.recipe != stored.analyzer:
            raise StoreMismatchError(
                f"{self.path} was written with the analyzer {stored.analyzer}, and {analyzer.recipe} was given. "
                "Leave analyzer out to use the stored one, or index the documents into another path."
            )
        self.analyzer = Analyzer.from_recipe(stored.analyzer)
        if typed:
            declare(self._store, typed)

    def _new_header(self, analyzer: Analyzer) -> Header:
        from ragkit import __version__

        if self._embedder is None:
            self._embedder = TransformerEmbedder()
        self._chunker = _bound(self._given_chunker or RecursiveChunker(max_tokens=256), self._embedder)
        return Header(card=self._embedder.card, analyzer=analyzer.recipe, chunker=self._chunker.recipe, ragkit=__version__)

    @property
    def card(self) -> ModelCard:
        """The card of the model whose vectors are stored."""
        return self._store.header.card

    @property
    def embedder(self) -> Embedder:
        """The embedding model, loaded from the stored card where none was given.

        Raises ModelNotFoundError when it is not on this machine, StoreMismatchError when it has changed.
        """
        with self._lock:
            if self._embedder is None:
                embedder = load_embedder(self.card)
                _same_model(self.path, self.card, embedder.card)
                self._embedder = embedder
            return self._embedder

    @property
    def chunker(self) -> Chunker:
        """The chunker of the next ``add``: the one given, else the one last used on this database.

        Raises InvalidInputError or StoreMismatchError when that one was not ragkit's, or had a tokenizer of its own.
        """
        with self._lock:
            if self._chunker is None:
                if self._given_chunker is not None:
                    self._chunker = _bound(self._given_chunker, self.embedder)
                else:
                    recipe = self._store.last_recipe()
                    chunker = _bound(from_recipe(recipe), self.embedder)
                    if chunker.recipe != recipe:
                        raise StoreMismatchError(
                            f"The chunker last used on {self.path} cannot be rebuilt: its recipe is {recipe}, and rebuilt on this model's "
                            f"tokenizer it is {chunker.recipe}. Pass the chunker: Index(path, chunker=...)."
                        )
                    self._chunker = chunker
            return self._chunker

    @property
    def columns(self) -> tuple[Column, ...]:
        """The declared metadata columns, whoever declared them."""
        return self._store.columns()

    @property
    def history(self) -> History:
        """The versions of this index: ``versions()``, ``tag(name)``, ``untag(name)``, ``restore(version)``."""
        return History(self._store)

    def at(self, version: int | str) -> Self:
        """This index as it was at a version or a tag, for reading only; close it as any other.

        Both arms, their statistics, chunks and counts are those of that version; a write raises StoreError. Raises StoreError for a
        version that is not there, or no longer, and StoreMismatchError for one with the vectors of another model.
        """
        old = copy(self)
        old._store = self._store.at(number_of(self._store, version))
        _same_model(self.path, old.card, self.card)
        old._chunker = None
        old.codes = IndexCodes(lambda: old._store, lambda: old.embedder, self._compressor)
        return old

    # Writing

    def add(self, documents: Document | Iterable[Document], *, progress: bool = False, batch_chunks: int = 4096) -> AddReport:
        """Store what is new or changed; the rest costs a hash.

        ``documents`` is read lazily; memory holds one batch, and an id and a digest per document. A document counts as
        changed when its text, metadata or the chunker differ from what is stored under its id; then its chunks are
        replaced, and only windows the model has not read before are embedded. Every commit holds whole documents, at
        most about ``batch_chunks`` chunks, and comes every few seconds: an interrupted call leaves no half document,
        and the next goes on where it stopped. ``progress`` draws a bar on stderr where that is a terminal.

        Raises DuplicateIdError for one id with two contents, EmbeddingError for vectors that are zero, not finite or of
        the wrong shape, InvalidInputError for items that are no documents, StoreFullError, StoreError. What was
        committed before stays, and a note on the exception says how much that is.
        """
        if not isinstance(batch_chunks, int) or isinstance(batch_chunks, bool) or batch_chunks < 1:
            raise InvalidInputError(f"batch_chunks is {batch_chunks!r}; it must be a whole number, at least 1.")
        if isinstance(documents, Document):
            documents = [documents]
        if isinstance(documents, (str, bytes, Mapping)) or not isinstance(documents, Iterable):
            raise InvalidInputError(
                f"documents is a {type(documents).__name__}; give Documents, for example index.add([Document('some text')])."
            )
        begun = time.perf_counter()
        total = len(documents) if isinstance(documents, Sized) else None
        with progress_bar("Indexing", total=total, enabled=progress) as watch:
            counts = Ingest(
                self._store,
                self.chunker,
                lambda: self.embedder,
                self.analyzer,
                batch_chunks=batch_chunks,
                watch=watch,
                codes=self.codes.writer(),
            ).run(documents)
        optimized, note = self._tidy(counts)
        return AddReport(
            added=counts.added,
            replaced=counts.replaced,
            unchanged=counts.unchanged,
            removed=counts.removed,
            chunks=counts.chunks,
            embedded=counts.embedded,
            reused=counts.reused,
            skipped=tuple(counts.skipped),
            unfinished=tuple(counts.unfinished),
            optimized=optimized,
            note=note,
            seconds=time.perf_counter() - begun,
        )

    def _tidy(self, counts: Counts) -> tuple[bool, str]:
        """Bring the full-text index up to date where it is worth it; the documents are stored already, whatever happens."""
        if not counts.written:
            return False, "nothing was written"
        try:
            if not self._store.worth_optimizing():
                return False, "few chunks are outside the full-text index; they are searched all the same"
            self._store.optimize()
            self.codes.optimize(left_over=False)
        except StoreError as error:
            return False, f"the documents are stored, but optimizing failed and can be repeated with optimize(): {error}"
        return True, ""

    def delete(self, ids: str | Iterable[str]) -> int:
        """Remove documents by id with all their chunks; returns how many were stored. Unknown ids are no error."""
        return self._store.delete(_ids(ids))

    def optimize(self) -> None:
        """Compact files, bring the full-text index up to date (or rebuild a damaged one), drop versions older than a day.

        Codes of chunks that are gone are removed.
        """
        self._store.optimize()
        self.codes.optimize()

    # Reading

    def get_chunks(self, ids: str | Iterable[str]) -> list[Chunk]:
        """The chunks with these ids, in the order asked for; unknown ids are left out."""
        return self._store.get(_ids(ids))

    def chunks_of(self, doc_id: str) -> list[Chunk]:
        """The chunks of one document, in order; empty when it is not stored."""
        return self._store.chunks_of(_ids(doc_id)[0])

    def vectors(self, chunk_ids: Iterable[str]) -> Vectors:
        """The stored vectors of these chunks, float32 ``(n, dim)``, in the order asked for.

        Raises InvalidInputError for a chunk that is not stored.
        """
        wanted = _ids(chunk_ids)
        found = self._store.vectors_of(wanted)
        missing = next((one for one in wanted if one not in found), None)
        if missing is not None:
            raise InvalidInputError(f"{self.path} holds no chunk {missing!r}. Use the ids of hits or of chunks_of().")
        return np.stack([found[one] for one in wanted]) if wanted else np.empty((0, self.card.dim), np.float32)

    def lengths(self, doc_ids: Iterable[str]) -> dict[str, int]:
        """The characters of each of these documents, up to the end of the last chunk; unknown ids are left out."""
        return self._store.lengths(_ids(doc_ids))

    def document_ids(self) -> list[str]:
        """The ids of all documents, sorted."""
        return self._store.document_ids()

    def stats(self) -> IndexStats:
        """Counts and settings of the newest version."""
        counts = self._store.stats()
        return IndexStats(
            path=str(self.path),
            documents=counts.documents,
            chunks=counts.chunks,
            tokens=counts.tokens,
            characters=counts.characters,
            bytes_on_disk=counts.bytes_on_disk,
            unindexed=counts.unindexed,
            version=counts.version,
            model=self.card,
            chunker=self._chunker.recipe if self._chunker is not None else self._store.last_recipe(),
            analyzer=self.analyzer.recipe,
        )

    def search(
        self,
        query: str,
        *,
        k: int = 10,
        mode: Mode = "hybrid",
        where: Where | None = None,
        fetch_k: int = DEFAULT_FETCH_K,
        rerank: Rerank | None = None,
    ) -> list[Hit]:
        """The ``k`` best hits for a question, best first; fewer when fewer chunks can match.

        ``mode`` is "dense" (cosine), "bm25" or "hybrid" (both, fused). Each arm gives ``fetch_k`` candidates whatever
        ``k`` is, so a smaller ``k`` gives the beginning of a larger one. ``where`` filters by metadata before the arms
        choose; ``ragkit.store.compile_where`` tells its language. ``rerank`` gets the query and the best
        max(k, fetch_k) hits and returns them in a new order, or some of them; ranks are then counted anew. A CompressedReranker reads
        stored codes instead, never text, and the question's tokens from the pass that makes its vector. A query beyond
        the model's window is read in several windows, whose vectors are averaged; nothing of it is dropped.

        Raises InvalidInputError for a query that is not text or is blank, an unknown mode, ``k`` or ``fetch_k`` below 1;
        FilterError; StoreError.
        """
        return self._answer([query], k=k, mode=mode, where=where, fetch_k=fetch_k, rerank=rerank)[0]

    def search_runs(
        self,
        query: str,
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
        self, vector: Vectors, *, k: int = 10, where: Where | None = None, fetch_k: int = DEFAULT_FETCH_K
    ) -> list[Hit]:
        """The ``k`` chunks nearest to a vector ``(dim,)`` of the same model, by cosine; otherwise like ``search``."""
        query = np.asarray(vector, np.float32)
        return self._store.searched(
            lambda arms: run_search(arms, query_vector=query, query_tokens=[], k=k, mode="dense", fetch_k=fetch_k, where=where),
            words=False,
        )

    def search_many(
        self,
        queries: Sequence[str],
        *,
        k: int = 10,
        mode: Mode = "hybrid",
        where: Where | None = None,
        fetch_k: int = DEFAULT_FETCH_K,
        rerank: Rerank | None = None,
    ) -> list[list[Hit]]:
        """``search`` for every query, in order, with one call of the embedder and one scan of the vectors."""
        if isinstance(queries, str):
            raise InvalidInputError("queries is one string; give a list of questions, or use search().")
        return self._answer(list(queries), k=k, mode=mode, where=where, fetch_k=fetch_k, rerank=rerank)

    async def asearch(
        self,
        query: str,
        *,
        k: int = 10,
        mode: Mode = "hybrid",
        where: Where | None = None,
        fetch_k: int = DEFAULT_FETCH_K,
        rerank: Rerank | None = None,
    ) -> list[Hit]:
        """``search`` in a worker thread of the running loop; the model and LanceDB release the interpreter's lock."""
        return await asyncio.to_thread(self.search, query, k=k, mode=mode, where=where, fetch_k=fetch_k, rerank=rerank)

    def _answer(
        self, queries: list[str], *, k: int, mode: Mode, where: Where | None, fetch_k: int, rerank: Rerank | None
    ) -> list[list[Hit]]:
        for query in queries:
            if not isinstance(query, str):
                raise InvalidInputError(f"The query is {query!r} ({type(query).__name__}); a query is text.")
            if not query.strip():
                raise InvalidInputError(f"The query {query!r} is blank; ask with at least one word.")
        if not queries:
            return []
        depth = max(k, fetch_k) if rerank is not None and isinstance(k, int) and k >= 1 else k
        asked = None
        if isinstance(rerank, CompressedReranker):
            asked = self.codes.ask(rerank, queries, dense=mode in ("dense", "hybrid"))
        tokens = [[] if mode == "dense" else self.analyzer.query_tokens(query) for query in queries]
        if asked is not None:
            vectors = asked.vectors
        else:
            vectors = query_vectors(self.embedder, queries) if mode in ("dense", "hybrid") else None
        found = self._store.searched(
            lambda arms: run_searches(
                arms,
                query_vectors=vectors,
                queries_tokens=tokens,
                k=depth,
                mode=mode,
                fetch_k=fetch_k,
                fusion=self._fusion,
                where=where,
            ),
            dense=mode != "bm25",
            words=mode != "dense",
        )
        if asked is not None:
            return [hits[:k] for hits in self.codes.rerank(asked, found)]
        if rerank is None:
            return found
        return [_reranked(rerank, query, hits)[:k] for query, hits in zip(queries, found, strict=True)]

    def close(self) -> None:
        """Let go of the database; later calls raise StoreError."""
        self._store.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Index({str(self.path)!r}, model={self.card.name!r})"


def _bound(chunker: Chunker, embedder: Embedder) -> Chunker:
    tokenizer = embedder.tokenizer
    return chunker if tokenizer is None else chunker.bind(tokenizer, window=embedder.card.window)


def _reranked(rerank: Rerank, query: str, hits: list[Hit]) -> list[Hit]:
    known = {hit.chunk.id for hit in hits}
    ordered = list(rerank(query, hits))
    ids = [hit.chunk.id if isinstance(hit, Hit) else None for hit in ordered]
    if len(set(ids)) != len(ids) or not known.issuperset(ids):
        raise InvalidInputError("rerank must return hits that it was given, each at most once; it returned others or repeats.")
    return [replace(hit, rank=rank) for rank, hit in enumerate(ordered, 1)]


def _ids(ids: str | Iterable[str]) -> list[str]:
    wanted = [ids] if isinstance(ids, str) else list(ids)
    for one in wanted:
        if not isinstance(one, str):
            raise InvalidInputError(f"The id {one!r} is a {type(one).__name__}; ids are str.")
    return wanted


def _same_model(path: Path, stored: ModelCard, given: ModelCard) -> None:
    """Raise StoreMismatchError, naming both cards and where they differ."""
    if stored.fingerprint == given.fingerprint:
        return
    raise StoreMismatchError(
        f"{path} holds vectors of the model {stored.name!r} (dim {stored.dim}), and the embedder is {given.name!r} (dim {given.dim}); "
        f"vectors of different models cannot be compared. {'; '.join(card_differences(stored, given))}. Open it with the stored model (leave embedder out), "
        "or index the documents into another path."
    )
