"""Late interaction as a search of its own: every word of the question looks for its best match in every chunk."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ragkit.errors import InvalidInputError
from ragkit.lexical import Analyzer
from ragkit.rerank.passages import Passages
from ragkit.rerank.reranker import CompressedReranker
from ragkit.seams import Vectors
from ragkit.store import ChunkStore, compile_where
from ragkit.store.codes import content_addresses
from ragkit.store.escape import id_filters, unescape
from ragkit.store.multivectors import MultiVectors
from ragkit.store.rows import Stored, stored_columns, stored_from
from ragkit.types import Hit, Part

if TYPE_CHECKING:
    from ragkit.index.codes import IndexCodes

_AT_ONCE = 2048


class LateInteraction:
    """Chunks by the words of a question one by one (ColBERT, 2004.12832): ``index.codes.late_interaction()``.

    A multivector column beside the chunks, made by ``fill`` from the codes that ``CompressedReranker`` reads, with no pass through a
    model: the first ``vectors`` of each. LanceDB compares them all for the ``fetch_k`` best; those are then scored by their whole codes, so
    that a score is the one that the reranker gives. Chunks without codes, or added since the last ``fill``, are not found.

    Raises InvalidInputError for ``vectors`` below 1.
    """

    def __init__(self, store: Callable[[], ChunkStore], codes: IndexCodes, reranker: CompressedReranker, vectors: int) -> None:
        _whole("vectors", vectors)
        self._of, self._codes, self._reranker, self._vectors = store, codes, reranker, vectors
        card = reranker.compressor.card
        self._table = MultiVectors.open(store().path, f"late_{card.fingerprint[:12]}_{vectors}", dim=card.bits)

    def fill(self) -> int:
        """Give the column what the codes have and it lacks, and remove what is gone; returns how many chunks it was given."""
        chunks = {chunk: key for chunk, (_, key) in content_addresses(self._of()).items()}
        have = self._table.keys()
        self._table.delete(sorted(have.keys() - chunks.keys()))
        wanted = [chunk for chunk, key in chunks.items() if have.get(chunk) != key]
        done = 0
        for at in range(0, len(wanted), _AT_ONCE):
            codes = self._codes.passages(self._reranker, wanted[at : at + _AT_ONCE])
            made = {chunk: self._unpacked(codes, chunk) for chunk in codes.rows}
            self._table.put({chunk: rows for chunk, rows in made.items() if len(rows)}, chunks)
            done += len(made)
        if done:
            self._table.optimize()
        return done

    def _unpacked(self, codes: Passages, chunk: str) -> Vectors:
        first, last = codes.rows[chunk]
        bits = [codes.codes[row, : min(self._vectors, codes.counts[row])] for row in range(first, last)]
        signs = np.unpackbits(np.concatenate(bits), axis=1).astype(np.float32) * 2 - 1
        unit: Vectors = signs / np.float32(np.sqrt(signs.shape[1]))
        return unit

    def search(self, question: str, *, k: int = 10, where: Mapping[str, Any] | None = None, fetch_k: int = 100) -> list[Hit]:
        """The ``k`` best hits, best first; ``hit.score`` is the gated mean of each word's best match, in [-1, 1].

        ``where`` counts before the candidates are chosen. Raises what ``Index.search`` raises.
        """
        _whole("k", k)
        _whole("fetch_k", fetch_k)
        if not isinstance(question, str) or not question.strip():
            raise InvalidInputError(f"The query is {question!r}; ask with at least one word.")
        # As every search reads questions: without the words around them that ask for nothing.
        bare = Analyzer.from_recipe(self._of().header.analyzer).asked(question)
        (states,) = self._codes.ask(self._reranker, [bare], dense=False).states
        asked = self._reranker.compressor.query(states)
        heavy = asked.vectors[asked.gates > 0]
        if not len(heavy):
            return []
        among = None if where is None else self._matching(where)
        near = self._near(heavy, max(k, fetch_k), among)
        codes = self._codes.passages(self._reranker, list(near))
        known = [chunk for chunk in near if chunk in codes]
        scores = dict(zip(known, self._reranker.score(asked, codes, known).tolist(), strict=True))
        return _hits(near, scores, k)

    def _near(self, queries: Vectors, wanted: int, among: Sequence[str] | None) -> dict[str, Stored]:
        """The nearest ``wanted`` chunks that are still stored, nearest first: those that are gone since ``fill`` take no one's place."""
        store, limit = self._of(), wanted
        columns = stored_columns(store.header)
        while True:
            near = self._table.nearest(queries, limit=limit, among=among)
            rows = {one.chunk.id: one for where in id_filters("id", near) for one in stored_from(store.scan(columns, where))}
            if len(rows) >= wanted or len(near) < limit:
                return {chunk: rows[chunk] for chunk in [one for one in near if one in rows][:wanted]}
            limit *= 2

    def _matching(self, where: Mapping[str, Any]) -> list[str]:
        store = self._of()
        return [unescape(one) for one in store.scan(["id"], compile_where(where, store.columns())).column("id").to_pylist()]


def _hits(rows: Mapping[str, Stored], scores: Mapping[str, float], k: int) -> list[Hit]:
    found = sorted((rows[one] for one in scores), key=lambda one: (-scores[one.chunk.id], one.chunk.doc_id, one.chunk.start))
    return [
        Hit(
            chunk=one.chunk,
            score=scores[one.chunk.id],
            rank=rank,
            parts={"late": Part(score=scores[one.chunk.id], rank=rank, share=scores[one.chunk.id])},
            lines=one.lines,
            document=one.document,
        )
        for rank, one in enumerate(found[:k], 1)
    ]


def _whole(name: str, value: object) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise InvalidInputError(f"{name} is {value!r}; it must be a whole number, at least 1.")
