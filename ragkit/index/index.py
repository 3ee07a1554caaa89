"""Index: documents in, cited hits out."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sized

from ragkit.errors import InvalidInputError, StoreError
from ragkit.index.contents import checked_ids
from ragkit.index.ingest import Counts, Ingest
from ragkit.index.reports import AddReport
from ragkit.index.searching import Searching
from ragkit.progress import progress as progress_bar
from ragkit.store import Tuning
from ragkit.store.coded import drop_codes
from ragkit.types import Document


class Index(Searching):
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
    InvalidInputError for one whose passes are longer than the model's window, or overlap by all of it.
    """

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
        return self._store.delete(checked_ids(ids))

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

    def drop_codes(self) -> bool:
        """Drop the codes beside the vectors; True when there were some. Open the index with another ``codec`` to fit a new one."""
        return drop_codes(self._store)
