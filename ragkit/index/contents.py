"""What an index holds, looked up rather than searched."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from ragkit.errors import InvalidInputError
from ragkit.index.opened import Opened
from ragkit.index.reports import IndexStats
from ragkit.seams import Vectors
from ragkit.store.coded import drift, stored_codec
from ragkit.types import Chunk
from ragkit.vec.codecs import Drift


class Contents(Opened):
    """Chunks, vectors, documents and counts of the newest version."""

    def get_chunks(self, ids: str | Iterable[str]) -> list[Chunk]:
        """The chunks with these ids, in the order asked for; unknown ids are left out."""
        return self._store.get(checked_ids(ids))

    def chunks_of(self, doc_id: str) -> list[Chunk]:
        """The chunks of one document, in order; empty when it is not stored."""
        return self._store.chunks_of(checked_ids([doc_id])[0])

    def vectors(self, chunk_ids: Iterable[str]) -> Vectors:
        """The stored vectors of these chunks, float32 ``(n, dim)``, in the order asked for.

        Raises InvalidInputError for a chunk that is not stored.
        """
        wanted = checked_ids(chunk_ids)
        found = self._store.vectors_of(wanted)
        missing = next((one for one in wanted if one not in found), None)
        if missing is not None:
            raise InvalidInputError(f"{self.path} holds no chunk {missing!r}. Use the ids of hits or of chunks_of().")
        return np.stack([found[one] for one in wanted]) if wanted else np.empty((0, self.card.dim), np.float32)

    def lengths(self, doc_ids: Iterable[str]) -> dict[str, int]:
        """The characters of each of these documents, up to the end of the last chunk; unknown ids are left out."""
        return self._store.lengths(checked_ids(doc_ids))

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


def checked_ids(ids: str | Iterable[str]) -> list[str]:
    wanted = [ids] if isinstance(ids, str) else list(ids)
    for one in wanted:
        if not isinstance(one, str):
            raise InvalidInputError(f"The id {one!r} is a {type(one).__name__}; ids are str.")
    return wanted
