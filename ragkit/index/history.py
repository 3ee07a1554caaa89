"""What an index was: its versions, their names, and the way back to one."""

from __future__ import annotations

from ragkit.index.compressing import forget_stale
from ragkit.store import ChunkStore
from ragkit.store.codes import content_addresses
from ragkit.store.versions import Version, number_of, restore, tag, untag, versions


class History:
    """The versions of an index. Every commit makes one: an ``add`` makes several, ``delete`` and ``optimize`` too.

    ``optimize``, which ``add`` calls when it is worth it, drops versions older than a day. A tag keeps its version, and all later
    ones with it, until it is removed.
    """

    def __init__(self, store: ChunkStore) -> None:
        self._store = store

    def versions(self) -> list[Version]:
        """The versions that can still be read, oldest first: ``.number .time .chunks .tags``."""
        return versions(self._store)

    def tag(self, name: str, *, version: int | None = None) -> None:
        """Name a version, by default the newest, so that it is kept and can be asked for by that name.

        Raises InvalidInputError for a name in use, or not made of letters, digits, ".", "-" and "_"; StoreError for a lost version.
        """
        tag(self._store, name, self._store.version if version is None else number_of(self._store, version))

    def untag(self, name: str) -> None:
        """Remove a name; its version is then kept as long as any other. Raises InvalidInputError for an unknown name."""
        untag(self._store, name)

    def restore(self, version: int | str) -> int:
        """Make the index what it was at a version or tag, as one new commit; returns that commit's number.

        Nothing is lost: the versions in between stay, and can be restored in turn. Columns, chunker recipes and the model's
        vectors are those of that version; codes for rerankers that another reading made are removed. Raises StoreError for a version that is not there, or that holds another model's vectors.
        """
        restore(self._store, number_of(self._store, version), before=self._forget_codes)
        return self._store.version

    def _forget_codes(self, old: ChunkStore) -> None:
        forget_stale(self._store, {chunk: key for chunk, (_, key) in content_addresses(old).items()})
