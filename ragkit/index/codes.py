"""``index.codes``: the compressed chunks of an index, for rerankers that never read the text."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable, Container, Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Literal, NamedTuple

from ragkit.embed import CachedEmbedder, TransformerEmbedder, token_reader
from ragkit.errors import InvalidInputError, LoadError, StoreError, StoreMismatchError
from ragkit.index.compressing import CodeWriter, code_tables, open_codes, reader_for, reading_of, stored_passages
from ragkit.index.late import LateInteraction
from ragkit.index.moving import rebuilt
from ragkit.index.queries import query_vectors, vectors_and_states
from ragkit.progress import progress as progress_bar
from ragkit.rerank.compressor import TokenCompressor
from ragkit.rerank.passages import Passages, empty, require
from ragkit.rerank.reranker import CompressedReranker
from ragkit.rerank.types import Compressor, CompressorCard
from ragkit.seams import Embedder, TokenReader, TokenStates, Vectors
from ragkit.store import ChunkStore
from ragkit.store.codes import CodeTable, chunks_with_addresses, content_addresses
from ragkit.types import Chunk, Document, Hit

Choice = Compressor | Literal["auto"] | None
#: Chunks to compress between two commits.
_CHUNKS = 512
#: Questions whose candidates' codes are in memory at once.
_QUESTIONS = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class CodesState:
    """What the database holds of one compressor: ``chunks`` have codes, ``missing`` have none or old ones.

    ``left_over`` counts codes of chunks that are gone; ``optimize`` removes them. ``bytes`` is the size of one window's code.
    """

    compressor: CompressorCard
    chunks: int
    missing: int
    left_over: int
    bytes: int


class Asked(NamedTuple):
    """Questions as their reranker needs them, and their vectors where the dense arm wants some."""

    reranker: CompressedReranker
    vectors: Vectors | None
    states: list[TokenStates]


class IndexCodes:
    """The codes beside an index's chunks: one table per compressor, filled by ``add``, or by ``fill`` for what is there already.

    ``choice`` is the compressor that ``add`` writes codes of. "auto" is the one that ships with ragkit where the index's model is the one
    it was trained for, runs on this machine, and its vectors do not come from a cache; else none.
    """

    def __init__(self, store: Callable[[], ChunkStore], embedder: Callable[[], Embedder], choice: Choice) -> None:
        if not (choice is None or choice == "auto" or isinstance(choice, Compressor)):
            raise InvalidInputError(
                f"compressor is {choice!r}; it is 'auto', None for no codes, or a compressor such as TokenCompressor()."
            )
        self._of, self._embedder, self._choice = store, embedder, choice
        self._opened: dict[str, CodeTable] = {}
        self._default: TokenReader | None = None

    def __repr__(self) -> str:
        return f"IndexCodes({[state.compressor.name for state in self.status()]})"

    @property
    def _store(self) -> ChunkStore:
        return self._of()

    # What there is

    def status(self) -> list[CodesState]:
        """For each compressor in the database how many chunks have its codes; reads ids, never text."""
        chunks = content_addresses(self._store)
        states = []
        for table in code_tables(self._store):
            card = CompressorCard.from_dict(table.header["compressor"])
            keys = table.keys()
            good = sum(chunk in chunks and chunks[chunk][1] == key for chunk, key in keys.items())
            left_over = len(keys.keys() - chunks.keys())
            states.append(
                CodesState(compressor=card, chunks=good, missing=len(chunks) - good, left_over=left_over, bytes=card.bytes)
            )
        return states

    # Writing

    def writer(self) -> CodeWriter | None:
        """The writer for an ``add``; None where no codes are wanted."""
        compressor = self.compressor
        if compressor is None:
            return None
        return CodeWriter.begin(self._store, compressor, self._reader(compressor, None))

    @property
    def compressor(self) -> Compressor | None:
        """The compressor that ``add`` writes codes of, None for none."""
        if not isinstance(self._choice, str):
            return self._choice
        card = self._store.header.card
        if not card.weights or card.settings.get("engine") != "transformers" or find_spec("scipy") is None:
            return None
        try:
            shipped = TokenCompressor()
        except LoadError:
            return None
        layers = card.settings.get("layers", "all")
        fits = shipped.fits(card) and (layers == "all" or int(layers) >= max(shipped.layers))
        if not fits or isinstance(self._embedder(), CachedEmbedder):
            return None
        return shipped if token_reader(self._embedder()) is not None else None

    def _reader(self, compressor: Compressor, given: TokenReader | None) -> TokenReader:
        """Who reads for a compressor; the default model where it is what the compressor was made for."""
        reader = reader_for(compressor, self._embedder(), given)
        if reader is None:
            # Kept, so that the model is loaded once.
            self._default = reader = self._default or TransformerEmbedder()
        require(compressor, reader)
        return reader

    def fill(self, compressor: Compressor | None = None, *, reader: TokenReader | None = None, progress: bool = False) -> int:
        """Make the codes that are missing; returns of how many chunks. Every few seconds some are stored: killed, it goes on there.

        ``compressor`` None takes that of the index, else the one that ships with ragkit. Chunks are read as they were indexed, window and
        context included, where the index's own model reads them; another ``reader`` reads their text alone. Others may search
        and add meanwhile.

        Raises CapabilityError where nobody can read for the compressor, StoreMismatchError where its codes were made by another reading.
        """
        self._store.require_newest()
        chosen = compressor or self.compressor or TokenCompressor()
        writer = CodeWriter.begin(self._store, chosen, self._reader(chosen, reader))
        known = writer.table.keys()
        missing = {chunk: place for chunk, place in content_addresses(self._store).items() if known.get(chunk) != place[1]}
        done = 0
        with progress_bar("Compressing", total=len(missing), enabled=progress) as watch:
            for doc_ids in _groups([doc_id for doc_id, _ in missing.values()]):
                keys = self._fill(writer, doc_ids, missing)
                done += len(keys)
                watch.advance(len(keys))
        if done:
            writer.table.optimize()
        return done

    def _fill(self, writer: CodeWriter, doc_ids: Sequence[str], missing: Container[str]) -> dict[str, str]:
        """Store the missing codes of these documents; returns the content addresses of the chunks that have them now."""
        stored = chunks_with_addresses(self._store, doc_ids)
        keys = {chunk.id: key for pairs in stored.values() for chunk, key in pairs if chunk.id in missing}
        lacking = writer.lacking(keys.values())
        items: list[tuple[Document, list[Chunk]]] = []
        order: list[str] = []
        for doc_id, pairs in stored.items():
            fresh = {key: chunk for chunk, key in pairs if key in lacking}
            if fresh:
                items.append((rebuilt(doc_id, [chunk for chunk, _ in pairs]), list(fresh.values())))
                order += fresh
                lacking -= fresh.keys()
        writer.read(items, order)
        writer.put(keys)
        return keys

    def drop(self, compressor: Compressor | None = None) -> int:
        """Remove the codes of one compressor, or of all; returns of how many. Chunks, text and vectors are not touched."""
        self._store.require_newest()
        tables = [open_codes(self._store, compressor.card)] if compressor is not None else list(code_tables(self._store))
        dropped = [table for table in tables if table is not None]
        for table in dropped:
            table.drop()
        self._opened.clear()
        return len(dropped)

    def optimize(self, *, left_over: bool = True) -> None:
        """Merge small files, bring the index over chunk ids up to date, and remove the codes of chunks that are gone.

        ``left_over`` False leaves those: looking for them reads all ids.
        """
        self._store.require_newest()
        for table in code_tables(self._store):
            if left_over:
                # In this order: a chunk is stored before its codes are, so what has codes and is no chunk now was deleted.
                coded = table.keys()
                table.delete(sorted(coded.keys() - content_addresses(self._store).keys()))
            table.optimize()

    # Reading

    def ask(self, reranker: CompressedReranker, queries: Sequence[str], *, dense: bool) -> Asked:
        """Token states of questions, out of the pass that makes their vectors where the index's own model reads them."""
        compressor, embedder = reranker.compressor, self._embedder()
        reader = self._reader(compressor, reranker.given_reader)
        if dense and reader.card.fingerprint == embedder.card.fingerprint:
            return Asked(reranker, *vectors_and_states(reader, embedder, queries, compressor.layers))
        vectors = query_vectors(embedder, queries) if dense else None
        return Asked(reranker, vectors, reader.read_queries(queries, layers=compressor.layers))

    def rerank(self, asked: Asked, found: Sequence[Sequence[Hit]]) -> list[list[Hit]]:
        """Each question's hits in their new order, by codes from the database and nothing else."""
        reranker = asked.reranker
        reranked: list[list[Hit]] = []
        for first in range(0, len(found), _QUESTIONS):
            some = found[first : first + _QUESTIONS]
            ids = list(dict.fromkeys(hit.chunk.id for hits in some for hit in hits[: reranker.depth]))
            codes = self.passages(reranker, ids)
            for states, hits in zip(asked.states[first : first + _QUESTIONS], some, strict=True):
                reranked.append(reranker.rank(reranker.compressor.query(states), hits, codes))
        return reranked

    def scores(self, reranker: CompressedReranker, query: str, *, ids: Sequence[str | None], texts: Sequence[str]) -> list[float]:
        """The reranker's score of each passage: by stored codes where ``ids`` names a chunk, or a document of one chunk; else by its text.

        A RuntimeWarning counts those that have neither.
        """
        alone = CompressedReranker(reranker.compressor, reader=self._reader(reranker.compressor, reranker.given_reader))
        asked = alone.question(query)
        alias = self._chunk_names(ids, texts)
        names = [None if one is None else alias.get(one, one) for one in ids]
        stored = self.passages(reranker, [one for one in names if one is not None])
        foreign = {str(at): texts[at] for at, one in enumerate(names) if one is None or one not in stored}
        blank = sum(not text.strip() for text in foreign.values())
        if blank:
            warnings.warn(
                f"{blank} of {len(texts)} passages have neither text nor codes of {reranker.compressor.card.name!r}, and score lowest. "
                "Give their text, or make codes with index.codes.fill().",
                RuntimeWarning,
                stacklevel=3,
            )
        known = dict(zip(stored.rows, reranker.score(asked, stored, list(stored.rows)).tolist(), strict=True))
        fresh = dict(zip(foreign, reranker.score(asked, alone.read(foreign), list(foreign)).tolist(), strict=True))
        return [fresh[str(at)] if str(at) in fresh else known[one or ""] for at, one in enumerate(names)]

    def _chunk_names(self, ids: Sequence[str | None], texts: Sequence[str]) -> dict[str, str]:
        """The chunks of those documents among ``ids`` that are one chunk, by the document's id; not where the text is another."""
        given = {one: text for one, text in zip(ids, texts, strict=True) if one is not None}
        found = chunks_with_addresses(self._store, list(given))
        return {one: pairs[0][0].id for one, pairs in found.items() if len(pairs) == 1 and given[one] in ("", pairs[0][0].text)}

    def passages(self, reranker: CompressedReranker, chunk_ids: Sequence[str]) -> Passages:
        """The codes of those of these chunks that have them. Raises StoreMismatchError where another reading made them."""
        card = reranker.compressor.card
        table = self._opened.get(card.fingerprint) or open_codes(self._store, card)
        if table is None:
            return empty(card)
        reading = reading_of(self._reader(reranker.compressor, reranker.given_reader).card)
        if table.header["reader"] != reading:
            raise StoreMismatchError(
                f"{self._store.path} holds codes of {card.name!r} from states that were read with {table.header['reader']}, and questions would be "
                f"read with {reading}. Use that reader, or drop the codes and fill them again: index.codes.drop(), index.codes.fill()."
            )
        self._opened[card.fingerprint] = table
        try:
            return stored_passages(table, card, chunk_ids)
        except StoreError:
            # Another process may have dropped the table, and filled it anew.
            self._opened.clear()
            fresh = open_codes(self._store, card)
            return empty(card) if fresh is None else stored_passages(fresh, card, chunk_ids)

    def late_interaction(self, reranker: CompressedReranker | None = None, *, vectors: int = 32) -> LateInteraction:
        """A search by every word of a question over these codes; call its ``fill`` after documents were added."""
        return LateInteraction(self._of, self, reranker or CompressedReranker(), vectors)


def _groups(doc_ids: Sequence[str]) -> Iterator[list[str]]:
    """Documents to compress together, by the chunks that wait; ``doc_ids`` has an entry for each of them."""
    waiting = Counter(doc_ids)
    group: list[str] = []
    size = 0
    for doc_id in sorted(waiting):
        group.append(doc_id)
        size += waiting[doc_id]
        if size >= _CHUNKS:
            yield group
            group, size = [], 0
    if group:
        yield group
