"""Vectors kept on disk by content, so that embedding the same thing again is free."""

from __future__ import annotations

import sqlite3
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import blake2b
from itertools import groupby
from pathlib import Path
from threading import Lock

import numpy as np

from ragkit.embed.adapted import AdaptedEmbedder
from ragkit.embed.inputs import Reading, batch_readings, reading_key, text_readings
from ragkit.embed.states import needed_reader, own_rows
from ragkit.errors import InvalidInputError, StoreCorruptError
from ragkit.seams import Embedder, Receive, Tokenizer, TokenStates, Vectors
from ragkit.sqlite import SqliteFile
from ragkit.types import Chunk, Document, ModelCard
from ragkit.vec.mixing import embed_mixed

_SCHEMA = "CREATE TABLE IF NOT EXISTS vectors (key BLOB PRIMARY KEY, vector BLOB NOT NULL, checksum BLOB NOT NULL) WITHOUT ROWID"
#: Vectors are stored after this many new ones, so that an interrupted call loses little.
_BLOCK = 4096
#: Keys asked for in one statement.
_KEYS = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheStats:
    """What a CachedEmbedder did since it was made, and what its file holds.

    ``hits`` and ``misses`` count rows; ``damaged`` the stored rows whose checksum was wrong (they count as misses
    and are replaced); ``bypassed`` the rows that could not be looked up or stored because the file refused, each
    time with a RuntimeWarning. ``entries`` and ``size`` (bytes) describe the file.
    """

    hits: int
    misses: int
    damaged: int
    bypassed: int
    entries: int
    size: int


class CachedEmbedder:
    """Any embedder with a content-addressed cache of its vectors in one SQLite file.

    A vector is found by the digest of the model card, the side (query or document), the text with its context,
    and the span in it: another model, prompt or window text never meets it. Rows carry checksums, so a damaged
    row is embedded again instead of returned. Several threads, processes and models may share the file (WAL mode);
    it must lie on a local disk.

    The cache saves time and nothing else: when the file is full, locked for 30 seconds or damaged while in use,
    vectors come from the embedder, a RuntimeWarning says why, and ``stats().bypassed`` counts them. A file that
    cannot be opened, or is no cache, raises StoreError, StoreCorruptError or StoreFormatError on first use.
    """

    def __init__(self, embedder: Embedder, *, path: str | Path) -> None:
        if isinstance(embedder, AdaptedEmbedder):
            raise InvalidInputError(
                "A CachedEmbedder keeps single readings, and an adapter mixes several. Wrap the base instead: "
                "AdaptedEmbedder(CachedEmbedder(base, path=...), path=...)."
            )
        self.embedder = embedder
        self._file = SqliteFile(
            path, what="The vector cache", schema=_SCHEMA, remedy="Delete it: it only saves time.", durable=False
        )
        self.path = self._file.path
        self._lock = Lock()
        self._counts: Counter[str] = Counter()

    def __repr__(self) -> str:
        return f"CachedEmbedder({self.embedder!r}, path={str(self.path)!r})"

    @property
    def card(self) -> ModelCard:
        """The wrapped embedder's card: cached and fresh vectors are the same."""
        return self.embedder.card

    @property
    def tokenizer(self) -> Tokenizer | None:
        """The wrapped embedder's tokenizer."""
        return self.embedder.tokenizer

    def embed_texts(self, texts: Sequence[str], /) -> Vectors:
        """``(n, dim)`` document-side vectors, from the file or from the embedder; its errors."""
        readings, _ = text_readings(texts)
        return self._embed(readings, lambda rows: self.embedder.embed_texts([texts[row] for row in rows]), side="document")

    def embed_queries(self, texts: Sequence[str], /) -> Vectors:
        """``(n, dim)`` query-side vectors, from the file or from the embedder; its errors."""
        readings, _ = text_readings(texts, kind="query")
        return self._embed(readings, lambda rows: self.embedder.embed_queries([texts[row] for row in rows]), side="query")

    def embed_query(self, text: str, /) -> Vectors:
        """``(dim,)`` query-side vector, from the file or from the embedder; its errors."""
        vector: Vectors = self.embed_queries([text])[0]
        return vector

    def embed_chunks(self, document: Document, chunks: Sequence[Chunk], /) -> Vectors:
        """``(n, dim)``: each chunk's window with its context encoded, its span pooled; from the file or from the embedder."""
        return self.embed_batch([(document, chunks)])

    def embed_batch(self, items: Sequence[tuple[Document, Sequence[Chunk]]], /) -> Vectors:
        """``embed_chunks`` over many documents at once, rows in order; shares are mixed from cached readings."""
        return embed_mixed(items, self._embed_read)

    def _embed_read(self, items: Sequence[tuple[Document, Sequence[Chunk]]]) -> Vectors:
        readings, _ = batch_readings(items)
        owners = [(place, chunk) for place, (_, chunks) in enumerate(items) for chunk in chunks]

        def fresh(rows: Sequence[int]) -> Vectors:
            wanted = groupby((owners[row] for row in rows), key=lambda owner: owner[0])
            return self.embedder.embed_batch([(items[place][0], [chunk for _, chunk in group]) for place, group in wanted])

        return self._embed(readings, fresh, side="document")

    def embed_and_read(
        self, items: Sequence[tuple[Document, Sequence[Chunk]]], /, *, layers: Sequence[int], receive: Receive
    ) -> Vectors:
        """``embed_batch`` with the states of the chunks' tokens; those are not kept, so everything goes through the model.

        Raises CapabilityError where the wrapped embedder gives no states.
        """
        reader = needed_reader(self.embedder)

        def read(parts: Sequence[tuple[Document, Sequence[Chunk]]]) -> Vectors:
            vectors = reader.embed_and_read(parts, layers=layers, receive=own_rows(items, receive))
            return self._embed(batch_readings(parts)[0], lambda rows: vectors[list(rows)], side="document")

        return embed_mixed(items, read)

    def embed_and_read_queries(self, texts: Sequence[str], /, *, layers: Sequence[int]) -> tuple[Vectors, list[TokenStates]]:
        """``embed_queries`` with the states of the queries' tokens; those are not kept. Raises CapabilityError as above."""
        vectors, states = needed_reader(self.embedder).embed_and_read_queries(texts, layers=layers)
        readings, _ = text_readings(texts, kind="query")
        return self._embed(readings, lambda rows: vectors[list(rows)], side="query"), states

    def read_texts(self, texts: Sequence[str], /, *, layers: Sequence[int]) -> list[list[TokenStates]]:
        """The wrapped embedder's, never from the file. Raises CapabilityError where it gives none."""
        return needed_reader(self.embedder).read_texts(texts, layers=layers)

    def read_queries(self, texts: Sequence[str], /, *, layers: Sequence[int]) -> list[TokenStates]:
        """The wrapped embedder's, never from the file. Raises CapabilityError where it gives none."""
        return needed_reader(self.embedder).read_queries(texts, layers=layers)

    def stats(self) -> CacheStats:
        """Counts since this object was made, and the file's entries and bytes; raises StoreError for an unusable file."""
        with self._lock:
            connection = self._file.connection()
            try:
                entries = int(connection.execute("SELECT count(*) FROM vectors").fetchone()[0])
            except sqlite3.Error as error:
                raise StoreCorruptError(
                    f"The vector cache {str(self.path)!r} cannot be read: {error}. Delete it: it only saves time."
                ) from error
            names = ("hits", "misses", "damaged", "bypassed")
            size = sum(path.stat().st_size for path in self.path.parent.glob(self.path.name + "*"))
            return CacheStats(**{name: self._counts[name] for name in names}, entries=entries, size=size)

    def close(self) -> None:
        """Close the file; the next call opens it again."""
        with self._lock:
            self._file.close()

    def _embed(self, readings: Sequence[Reading], fresh: Callable[[Sequence[int]], Vectors], *, side: str) -> Vectors:
        card = self.card
        keys = [bytes.fromhex(reading_key(card, reading, side=side)) for reading in readings]
        known = self._load(sorted(set(keys)), card.dim)
        missing = [row for row, key in _firsts(keys) if key not in known]
        for at in range(0, len(missing), _BLOCK):
            rows = missing[at : at + _BLOCK]
            found = {keys[row]: vector for row, vector in zip(rows, fresh(rows), strict=True)}
            self._save(found)
            known |= found
        with self._lock:
            self._counts["misses"] += len(missing)
            self._counts["hits"] += len(keys) - len(missing)
        if not keys:
            return np.empty((0, card.dim), np.float32)
        return np.stack([known[key] for key in keys])

    def _load(self, keys: Sequence[bytes], dim: int) -> dict[bytes, Vectors]:
        found: dict[bytes, Vectors] = {}
        with self._lock:
            connection = self._file.connection()
            with self._bypass(len(keys), "looked up"):
                for at in range(0, len(keys), _KEYS):
                    part = keys[at : at + _KEYS]
                    marks = ",".join("?" * len(part))
                    for key, blob, check in connection.execute(
                        f"SELECT key, vector, checksum FROM vectors WHERE key IN ({marks})", part
                    ):
                        if _checksum(key, blob) != check or len(blob) != 4 * dim:
                            self._counts["damaged"] += 1
                            continue
                        found[key] = np.frombuffer(blob, dtype="<f4").astype(np.float32)
        return found

    def _save(self, vectors: dict[bytes, Vectors]) -> None:
        blobs = [(key, vector.astype("<f4").tobytes()) for key, vector in vectors.items()]
        rows = [(key, blob, _checksum(key, blob)) for key, blob in blobs]
        with self._lock:
            connection = self._file.connection()
            with self._bypass(len(rows), "stored"), connection:
                connection.executemany("INSERT OR REPLACE INTO vectors (key, vector, checksum) VALUES (?, ?, ?)", rows)

    @contextmanager
    def _bypass(self, rows: int, what: str) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            self._counts["bypassed"] += rows
            warnings.warn(
                f"{rows} vectors could not be {what} in the cache {str(self.path)!r}: {error}. They were embedded all the same. "
                "Free space, or delete the file if it is damaged.",
                RuntimeWarning,
                stacklevel=5,
            )


def _firsts(keys: Sequence[bytes]) -> list[tuple[int, bytes]]:
    first: dict[bytes, int] = {}
    for row, key in enumerate(keys):
        first.setdefault(key, row)
    return [(row, key) for key, row in first.items()]


def _checksum(key: bytes, blob: bytes) -> bytes:
    return blake2b(key + blob, digest_size=8).digest()
