"""What is stored, by document, chunk or content address."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ragkit.seams import Vectors
from ragkit.store.columns import Column, read_columns
from ragkit.store.escape import id_filters, unescape
from ragkit.store.handle import Handle
from ragkit.store.rows import chunk_columns, chunks_from, vectors_from
from ragkit.store.statistics import StoreStats
from ragkit.types import Chunk


class Lookups(Handle):
    """Reads of the newest version that search nothing."""

    def columns(self) -> tuple[Column, ...]:
        """The metadata columns that the table has now; another process may have declared some since it was opened."""
        columns = self.read("reading the columns", lambda table: read_columns(table.schema))
        if columns != self.header.columns:
            self.header = replace(self.header, columns=columns)
        return columns

    def digests(self, doc_ids: Sequence[str]) -> dict[str, str]:
        """The stored digest of each of these documents; ids not stored are left out."""
        found: dict[str, set[str]] = defaultdict(set)
        for where in id_filters("doc_id", doc_ids):
            table = self.scan(["doc_id", "doc_digest"], where)
            for doc_id, digest in zip(table.column("doc_id").to_pylist(), table.column("doc_digest").to_pylist(), strict=True):
                found[unescape(doc_id)].add(digest)
        # Two digests under one id cannot come from a commit of ours; "" matches no document, so it is written anew.
        return {doc_id: digests.pop() if len(digests) == 1 else "" for doc_id, digests in found.items()}

    def vectors(self, keys: Sequence[str]) -> dict[str, Vectors]:
        """The stored vectors, float32 ``(dim,)``, under these content addresses; keys not stored are left out."""
        return self.vectors_under(keys, vector=self.header.vector, key="embed_key")

    def vectors_under(self, keys: Sequence[str], *, vector: str, key: str) -> dict[str, Vectors]:
        """``vectors`` of one of the models that a database may hold vectors of, by its columns."""
        found: dict[str, Vectors] = {}
        for where in id_filters(key, keys):
            table = self.scan([key, vector], f"{vector} IS NOT NULL AND {where}")
            if len(table):
                found.update(zip(table.column(key).to_pylist(), vectors_from(table, vector), strict=True))
        return found

    def vectors_of(self, chunk_ids: Sequence[str]) -> dict[str, Vectors]:
        """The stored vectors, float32 ``(dim,)``, of these chunks; ids not stored are left out."""
        found: dict[str, Vectors] = {}
        for where in id_filters("id", chunk_ids):
            table = self.scan(["id", self.header.vector], where)
            if len(table):
                found.update(zip(map(unescape, table.column("id").to_pylist()), vectors_from(table), strict=True))
        return found

    def lengths(self, doc_ids: Sequence[str]) -> dict[str, int]:
        """Where the last chunk of each of these documents ends, in characters; ids not stored are left out."""
        found: dict[str, int] = {}
        for where in id_filters("doc_id", doc_ids):
            table = self.scan(["doc_id", "end"], where)
            for doc_id, end in zip(
                map(unescape, table.column("doc_id").to_pylist()), table.column("end").to_pylist(), strict=True
            ):
                found[doc_id] = max(end, found.get(doc_id, 0))
        return found

    def get(self, chunk_ids: Sequence[str]) -> list[Chunk]:
        """The chunks with these ids, in the order asked for; ids not stored are left out."""
        found = {}
        for where in id_filters("id", chunk_ids):
            found.update({chunk.id: chunk for chunk in chunks_from(self.scan(chunk_columns(self.header), where))})
        return [found[chunk_id] for chunk_id in dict.fromkeys(chunk_ids) if chunk_id in found]

    def chunks_of(self, doc_id: str) -> list[Chunk]:
        """The chunks of one document in order; empty when it is not stored."""
        return self.chunks_of_each([doc_id]).get(doc_id, [])

    def chunks_of_each(self, doc_ids: Sequence[str]) -> dict[str, list[Chunk]]:
        """The chunks of each of these documents in order; ids not stored are left out."""
        found: dict[str, list[Chunk]] = defaultdict(list)
        for where in id_filters("doc_id", doc_ids):
            for chunk in chunks_from(self.scan(chunk_columns(self.header), where)):
                found[chunk.doc_id].append(chunk)
        return {doc_id: sorted(chunks, key=lambda chunk: chunk.index) for doc_id, chunks in found.items()}

    def document_ids(self) -> list[str]:
        """The ids of all documents, sorted."""
        return sorted(map(unescape, self.scan(["doc_id"]).column("doc_id").unique().to_pylist()))

    def last_recipe(self) -> str:
        """The chunker recipe of the newest commit; of the database's creation while it is empty."""
        table = self.scan(["recipe", "added_at"])
        if not len(table):
            return self.header.chunker
        newest = int(np.argmax(table.column("added_at").to_numpy()))
        return unescape(table.column("recipe")[newest].as_py())

    def stats(self) -> StoreStats:
        """Counts of the newest version."""
        import pyarrow.compute as pc

        table = self.scan(["doc_id", "start", "end", "n_tokens"])
        lengths = pc.subtract(table.column("end"), table.column("start"))
        return StoreStats(
            documents=len(table.column("doc_id").unique()),
            chunks=len(table),
            tokens=pc.sum(table.column("n_tokens")).as_py() or 0,
            characters=pc.sum(lengths).as_py() or 0,
            bytes_on_disk=_size(self.path),
            unindexed=self.unindexed,
            version=self.version,
        )

    @property
    def unindexed(self) -> int:
        """Chunks that the full-text index does not hold yet; searches read them one by one."""

        def ask(table: Any) -> int:
            names = [index.name for index in table.list_indices() if index.columns == ["lex"]]
            return int(table.index_stats(names[0]).num_unindexed_rows) if names else int(table.count_rows())

        return self.read("reading the state of the full-text index", ask)


def _size(path: Path) -> int:
    total = 0
    for file in path.rglob("*"):
        try:
            total += file.stat().st_size if file.is_file() else 0
        except FileNotFoundError:
            continue
    return total
