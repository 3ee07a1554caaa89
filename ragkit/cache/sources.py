"""What an answer rests on, and whether it still stands."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from threading import Lock
from typing import NamedTuple, Protocol, runtime_checkable

from ragkit.cache.entry import Entry
from ragkit.errors import InvalidInputError
from ragkit.types import Chunk, Document, Hit


class Version(NamedTuple):
    """A document as it was when somebody looked: its id and digest."""

    id: str
    digest: str


#: The sources an answer may name: what a search returned, chunks, documents, ids of documents, or versions of them.
Source = Hit | Chunk | Document | Version | str
#: Documents whose digest is remembered, for the version of the index that it was read at.
_REMEMBERED = 100_000


@runtime_checkable
class DocumentVersions(Protocol):
    """Says which version of a document is stored: ``ragkit.Index`` is one.

    ``version`` changes with every commit and is asked for before every answer, so it has to be cheap. ``digests`` leaves out ids
    that are not stored; a digest changes when the document does.
    """

    @property
    def version(self) -> int: ...

    def digests(self, ids: Sequence[str], /) -> Mapping[str, str]: ...


class Sources:
    """Compares the documents under an answer with those stored now."""

    def __init__(self, index: DocumentVersions | None) -> None:
        self._index = index
        self._lock = Lock()
        self._version: int | None = None
        self._digests: dict[str, str] = {}

    def named(self, sources: Iterable[Source]) -> tuple[tuple[tuple[str, str], ...], str | None]:
        """Ids and digests of the documents behind ``sources``, and why they cannot be relied on, None where they can.

        A hit brings the digest of what was read. For a chunk or an id the index is asked now, so it has to be put before the
        document can have changed. Without an index digests that nobody brought stay empty.
        """
        found: dict[str, str] = {}
        for source in sources:
            name, version = _name(source)
            if version and found.get(name, version) not in ("", version):
                return (), f"the sources hold two versions of the document {name!r}"
            found[name] = version or found.get(name, "")
        open_ = [name for name, version in found.items() if not version]
        if open_ and self._index is not None:
            current = self.current(open_)
            for name in open_:
                if not current.get(name):
                    return (), f"the document {name!r} is not in the index, so its change would not be noticed"
                found[name] = current[name]
        return tuple(sorted(found.items())), None

    def pinned(self, sources: Iterable[Source]) -> tuple[Source, ...]:
        """The same sources, as they are now where the index knows them: what is read of them later may be another version."""
        given = tuple(sources)
        if self._index is None or not given:
            return given
        known = [_name(one) for one in given]
        current = self.current({name for name, version in known if not version})
        return tuple(
            Version(name, current[name]) if not version and current[name] else one
            for one, (name, version) in zip(given, known, strict=True)
        )

    def current(self, names: Iterable[str]) -> dict[str, str]:
        """The digests of these documents as they are stored now; "" for those that are not."""
        if self._index is None:
            return {}
        version = self._index.version
        with self._lock:
            if version != self._version or len(self._digests) > _REMEMBERED:
                self._version, self._digests = version, {}
            known = self._digests
        wanted = list(dict.fromkeys(names))
        missing = [name for name in wanted if name not in known]
        if missing:
            # Read after the version: at worst newer than it says, and then read again for the next one.
            fresh = self._index.digests(missing)
            known.update({name: fresh.get(name, "") for name in missing})
        return {name: known[name] for name in wanted}

    def stale(self, entries: Sequence[Entry]) -> dict[str, str]:
        """For each entry that must not be served any more, by id, the document that has changed or is gone."""
        named = [entry for entry in entries if entry.documents]
        if self._index is None or not named:
            return {}
        current = self.current(name for entry in named for name, _ in entry.documents)
        gone = {}
        for entry in named:
            for name, version in entry.documents:
                if not version or current[name] != version:
                    gone[entry.id] = name
                    break
        return gone


def _name(source: Source) -> tuple[str, str]:
    if isinstance(source, Version):
        return source
    if isinstance(source, Hit):
        return source.chunk.doc_id, source.document
    if isinstance(source, Chunk):
        return source.doc_id, ""
    if isinstance(source, Document):
        return source.id, ""
    if isinstance(source, str) and source:
        return source, ""
    raise InvalidInputError(
        f"A source is {source!r} ({type(source).__name__}); give hits, chunks, documents or ids of documents."
    )
