"""Index: documents in, cited hits out."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Mapping, Sequence, Sized
from copy import copy
from pathlib import Path
from threading import RLock
from types import TracebackType
from typing import Any, Literal, Self

import numpy as np

from ragkit.chunk import RecursiveChunker, from_recipe
from ragkit.embed import TransformerEmbedder, card_differences, card_for, load_embedder
from ragkit.errors import InvalidInputError, StoreError, StoreMismatchError
from ragkit.index.asking import Find, Phrase, Query, Rerank, answer, check_choice, phrase_vectors, phrases_of, reordered
from ragkit.index.binding import bound, check_readable
from ragkit.index.codes import IndexCodes
from ragkit.index.history import History
from ragkit.index.ingest import Counts, Ingest
from ragkit.index.reports import AddReport, IndexStats
from ragkit.index.runs import run_hits
from ragkit.lexical import Analyzer, Bm25, read
from ragkit.progress import progress as progress_bar
from ragkit.rerank.reranker import CompressedReranker
from ragkit.rerank.types import Compressor
from ragkit.retrieve import (
    DEFAULT_BM25,
    DEFAULT_FETCH_K,
    DEFAULT_FUSION,
    Candidates,
    Context,
    Fusion,
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
from ragkit.seams import Chunker, Embedder, Vectors
from ragkit.store import AS_TUNED, ChunkStore, Column, Header, Nearness, Tuning, declare, declared
from ragkit.store.coded import drift, drop_codes, stored_codec, use_codec
from ragkit.store.versions import number_of
from ragkit.text.term_query import TermQuery
from ragkit.types import Chunk, Document, Hit, ModelCard
from ragkit.vec.codecs import Codec, Drift

Where = Mapping[str, Any]


class Index:
    """Documents, chunked, embedded and stored in a LanceDB database at ``path``, to be searched.

    Without a database at ``path`` one is made, with its parent folders (``create=False``: StoreError). The model card and
    the analyzer are written into it, and only they can open it again. What is not given comes from the database: the
    embedder is loaded from its card when a vector is first needed, the chunker is the one last used. A new database takes
    ``TransformerEmbedder()``, ``RecursiveChunker(max_tokens=256)`` and ``Analyzer()``. ``fusion`` and ``bm25`` (k1 and b)
    only steer searches.
    ``compressor`` decides what ``add`` stores beside the vectors for ``rerank=CompressedReranker()``: codes of that compressor, of the one
    that ships with ragkit where it was trained for this model ("auto"), or none; ``codes`` fills, drops and counts them.
    ``columns`` declares metadata keys of one type, ``{"year": int, "tags": list[str], "published": datetime}``, which makes filters
    on them typed and fast; on a database that has documents they are filled from what is stored, and that may take a moment.

    ``codec``, such as "rotated+int4", stores a code beside every vector and finds dense candidates by a scan of the codes in memory;
    docs/codecs.md tells what each keeps. Other processes on this path need not use it.

    Safe for several threads, and for several processes on one path (start them with "spawn").

    Raises StoreMismatchError when ``embedder``, ``analyzer`` or the type of a column is not what wrote the database, StoreFormatError when a
    newer ragkit wrote it, StoreCorruptError for damaged files, StoreFullError, and StoreError when ``path`` is a file or a
    folder of something else. CapabilityError for a chunker with Late and a model that cannot pool a chunk's own tokens, and
    InvalidInputError for one whose passes are longer than the model's window.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        chunker: Chunker | None = None,
        embedder: Embedder | None = None,
        analyzer: Analyzer | None = None,
        fusion: Fusion | None = None,
        bm25: Bm25 = DEFAULT_BM25,
        compressor: Compressor | Literal["auto"] | None = "auto",
        columns: Mapping[str, Any] | Iterable[Column] | None = None,
        codec: str | Codec | None = None,
        create: bool = True,
    ) -> None:
        if fusion is not None and not callable(getattr(fusion, "fit", None)):
            raise InvalidInputError(f"fusion is {fusion!r}; give one of ragkit.retrieve, such as Adaptive() or Rrf().")
        self.path = Path(path)
        self._given_chunker, self._embedder, self._compressor = chunker, embedder, compressor
        self._chunker: Chunker | None = None
        self._fusion = DEFAULT_FUSION if fusion is None else fusion
        self._bm25 = bm25
        self._lock = RLock()
        self.codes = IndexCodes(lambda: self._store, lambda: self.embedder, compressor)
        header, typed = None, declared(columns)
        if create and not ChunkStore.exists(self.path):
            header = self._new_header(analyzer or Analyzer()).declaring(typed)
        self._store = ChunkStore.open(self.path, create=header)
        stored = self._store.header
        if self._embedder is not None:
            _same_model(self.path, stored.card, card_for(self._embedder, stored.card))
        if chunker is not None:
            check_readable(chunker, stored.card)
        if analyzer is not None and analyzer.recipe != stored.analyzer:
            raise StoreMismatchError(
                f"{self.path} was written with the analyzer {stored.analyzer}, and {analyzer.recipe} was given. "
                "Leave analyzer out to use the stored one, or index the documents into another path."
            )
        self.analyzer = Analyzer.from_recipe(stored.analyzer)
        if typed:
            declare(self._store, typed)
        if codec is not None:
            use_codec(self._store, codec)

    def _new_header(self, analyzer: Analyzer) -> Header:
        from ragkit import __version__

        if self._embedder is None:
            self._embedder = TransformerEmbedder()
        self._chunker = bound(self._given_chunker or RecursiveChunker(max_tokens=256), self._embedder)
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
                    self._chunker = bound(self._given_chunker, self.embedder)
                else:
                    recipe = self._store.last_recipe()
                    chunker = bound(from_recipe(recipe), self.embedder)
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
        """Compact files, bring the indexes up to date (or rebuild a damaged one), drop versions older than a day.

        From 20,000 chunks on the vectors have an index, built anew whenever the chunks have become four times as many, and measured
        by ``tune`` each time. ``add`` calls this by itself when enough is new.

        Codes of chunks that are gone are removed.
        """
        self._store.optimize()
        self.codes.optimize()

    def tune(self, *, target_recall: float = 0.98, queries: int = 100) -> Tuning:
        """Measure how hard the vector index must be searched for ``target_recall`` of the 10 nearest chunks, and keep the result.

        The least effort that reaches it for ``queries`` questions made of stored vectors, against a scan of all, is kept with the
        database and used by every search in every process that names no ``nearness``. ``recall`` of the result says what was reached.
        Below 20,000 chunks there is no index, and nothing to keep: every search is exact.

        Raises InvalidInputError for a target outside (0, 1], for ``queries`` below 1 and for an index without chunks.
        """
        return self._store.tune(target_recall=target_recall, queries=queries)

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

    @property
    def version(self) -> int:
        """The number of the newest commit, whoever made it; cheap enough to be asked before every answer."""
        return self._store.version

    def digests(self, ids: Sequence[str], /) -> dict[str, str]:
        """The digests of these documents as stored now, as in ``Hit.document``; unknown ids are left out."""
        return self._store.digests(ids)

    def document_ids(self) -> list[str]:
        """The ids of all documents, sorted."""
        return self._store.document_ids()

    def codec_drift(self) -> Drift | None:
        """Whether the newest chunks still suit the codec whose codes are stored, and what to do; None without codes."""
        codec = stored_codec(self._store)
        return None if codec is None else drift(self._store, codec)

    def drop_codes(self) -> bool:
        """Drop the codes beside the vectors; True when there were some. Open the index with another ``codec`` to fit a new one."""
        return drop_codes(self._store)

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
        query = np.asarray(vector, np.float32)
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

    def close(self) -> None:
        """Let go of the database; later calls raise StoreError."""
        self._store.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Index({str(self.path)!r}, model={self.card.name!r})"


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
