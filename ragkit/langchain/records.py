"""LangChain's record manager, in the database that holds the documents."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from langchain_core.indexing import RecordManager

from ragkit.errors import InvalidInputError
from ragkit.index import Index
from ragkit.store.records import RecordStore


class RagkitRecordManager(RecordManager):
    """Accounts of what ``langchain_core.indexing.index()`` wrote into an index, in a table of the index's own database.

    Records and documents are copied, moved and restored together, and they cannot drift apart: a key counts as existing only
    while its document is stored too, so whatever was deleted behind LangChain's back is added again. Times come from
    the table and only go forward, also where clocks of several machines do not. ``namespace`` keeps the accounts of several
    sources apart; LangChain's clean-up sees its own only.

    Safe for several threads and processes; the async methods run in worker threads. Raises InvalidInputError for an
    empty namespace, and StoreError.
    """

    def __init__(self, index: Index, *, namespace: str = "langchain") -> None:
        if not isinstance(namespace, str) or not namespace:
            raise InvalidInputError(f"namespace is {namespace!r}; it is text that names the source of the documents.")
        super().__init__(namespace)
        self.index = index
        self._records = RecordStore(index.path)

    def create_schema(self) -> None:
        """Make the table where there is none; the first update does it too."""
        self._records.create()

    def get_time(self) -> float:
        """Seconds since 1970, to the microsecond, later than every update so far."""
        return self._records.now() / 1e6

    def update(
        self, keys: Sequence[str], *, group_ids: Sequence[str | None] | None = None, time_at_least: float | None = None
    ) -> None:
        """Note the keys as written now. Without ``group_ids`` those known before keep their group.

        Raises InvalidInputError for another number of groups than keys, StoreError for a ``time_at_least`` in the future.
        """
        if group_ids is not None and len(group_ids) != len(keys):
            raise InvalidInputError(f"{len(keys)} keys and {len(group_ids)} group_ids: give one group per key, or none at all.")
        groups = dict(zip(keys, _texts(group_ids or [None] * len(keys)), strict=True))
        at_least = 0 if time_at_least is None else _microseconds(time_at_least)
        self._records.put(self.namespace, groups, keep_groups=group_ids is None, at_least=at_least)

    def exists(self, keys: Sequence[str]) -> list[bool]:
        """Whether each key was noted and its document is stored."""
        noted = self._records.groups(self.namespace, keys)
        stored = self.index.lengths(noted)
        return [key in stored for key in keys]

    def list_keys(
        self,
        *,
        before: float | None = None,
        after: float | None = None,
        group_ids: Sequence[str] | None = None,
        limit: int | None = None,
    ) -> list[str]:
        """Keys by the time of their last update (exclusive) and by group, the oldest first; no group listed, no key."""
        return self._records.keys(
            self.namespace,
            before=None if before is None else _microseconds(before),
            after=None if after is None else _microseconds(after),
            groups=None if group_ids is None else [text for text in _texts(group_ids) if text is not None],
            limit=limit,
        )

    def delete_keys(self, keys: Sequence[str]) -> None:
        """Forget the keys; unknown ones are no error. Documents stay."""
        self._records.delete(self.namespace, keys)

    async def acreate_schema(self) -> None:
        """``create_schema`` in a worker thread."""
        await asyncio.to_thread(self.create_schema)

    async def aget_time(self) -> float:
        """``get_time`` in a worker thread."""
        return await asyncio.to_thread(self.get_time)

    async def aupdate(
        self, keys: Sequence[str], *, group_ids: Sequence[str | None] | None = None, time_at_least: float | None = None
    ) -> None:
        """``update`` in a worker thread."""
        await asyncio.to_thread(self.update, keys, group_ids=group_ids, time_at_least=time_at_least)

    async def aexists(self, keys: Sequence[str]) -> list[bool]:
        """``exists`` in a worker thread."""
        return await asyncio.to_thread(self.exists, keys)

    async def alist_keys(
        self,
        *,
        before: float | None = None,
        after: float | None = None,
        group_ids: Sequence[str] | None = None,
        limit: int | None = None,
    ) -> list[str]:
        """``list_keys`` in a worker thread."""
        return await asyncio.to_thread(self.list_keys, before=before, after=after, group_ids=group_ids, limit=limit)

    async def adelete_keys(self, keys: Sequence[str]) -> None:
        """``delete_keys`` in a worker thread."""
        await asyncio.to_thread(self.delete_keys, keys)


def _texts(group_ids: Sequence[object]) -> list[str | None]:
    # LangChain passes on what stands under source_id_key as it is, and by then it has stored the documents.
    return [None if group is None else str(group) for group in group_ids]


def _microseconds(seconds: float) -> int:
    return round(seconds * 1e6)
