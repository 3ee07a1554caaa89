"""The versions of a table: every commit makes one, a day keeps them, and a tag keeps them longer."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from ragkit.errors import InvalidInputError, StoreError, StoreMismatchError

if TYPE_CHECKING:
    from ragkit.store.chunks import ChunkStore

KEEP = timedelta(days=1)
_MARGIN = timedelta(minutes=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """A commit: its number, when it was made (UTC), the chunks it holds, and its tags, sorted."""

    number: int
    time: datetime
    chunks: int
    tags: tuple[str, ...] = ()


def versions(store: ChunkStore) -> list[Version]:
    """The versions that can still be read, oldest first."""

    def ask(table: Any) -> list[Version]:
        tags: dict[int, list[str]] = defaultdict(list)
        for name, number in _tags(table).items():
            tags[number].append(name)
        return [
            Version(
                number=found["version"],
                time=_moment(found["timestamp"]),
                chunks=int(found["metadata"].get("total_rows", 0)),
                tags=tuple(sorted(tags[found["version"]])),
            )
            for found in table.list_versions()
        ]

    return sorted(store.read("listing versions", ask), key=lambda one: one.number)


def tag(store: ChunkStore, name: str, version: int) -> None:
    """Name a version, so that it is kept. Raises InvalidInputError for a name in use or that LanceDB refuses, StoreError."""
    if (
        not isinstance(name, str)
        or not name
        or name.isdecimal()
        or not all(c.isascii() and (c.isalnum() or c in ".-_") for c in name)
    ):
        raise InvalidInputError(
            f"The tag {name!r} cannot be a name: it is made of letters, digits, '.', '-' and '_', and is no number."
        )
    if name in store.read("reading tags", _tags):
        raise InvalidInputError(f"{store.path} has a tag {name!r} already. Remove it first, or choose another name.")
    store.write("tagging a version", lambda table: table.tags.create(name, version))


def untag(store: ChunkStore, name: str) -> None:
    """Take a name off its version. Raises InvalidInputError for a name that is not there."""
    if name not in store.read("reading tags", _tags):
        raise InvalidInputError(f"{store.path} has no tag {name!r}.")
    store.write("removing a tag", lambda table: table.tags.delete(name))


def number_of(store: ChunkStore, version: int | str) -> int:
    """The number of a version or tag that can still be read. Raises InvalidInputError for no such thing, StoreError for a lost one."""
    if isinstance(version, bool) or not isinstance(version, (int, str)):
        raise InvalidInputError(f"version is {version!r}; it is the number of a version, or the name of a tag.")
    found = versions(store)
    for one in found:
        if one.number == version or version in one.tags:
            return one.number
    what = "tag" if isinstance(version, str) else "version"
    raise StoreError(
        f"{store.path} has no {what} {version!r}, or no longer: it holds {len(found)} versions, {found[0].number} to {found[-1].number}. "
        "Those older than a day are dropped unless a tag keeps them; list them with index.history.versions() or `ragkit history`."
    )


def restore(store: ChunkStore, version: int, *, before: Callable[[ChunkStore], None]) -> None:
    """Make a new version that equals an old one; those between stay in the history. ``before`` is shown the old one first.

    Raises StoreMismatchError for a version with the vectors of another model.
    """
    old = store.at(version)
    if old.header.vector != store.header.vector:
        raise StoreMismatchError(
            f"Version {version} of {store.path} holds vectors of {old.header.card.name!r}, and the newest those of "
            f"{store.header.card.name!r}. Move the index back to that model instead."
        )
    before(old)
    store.write("restoring a version", lambda table: store.at(version).read("restoring a version", _restore))


def _restore(table: Any) -> None:
    table.restore()


def keep_for(table: Any) -> timedelta:
    """How old a version must be to be dropped: more than a day, and more than the oldest version with a tag.

    LanceDB's clean-up refuses to run when it would pass over a tagged version, so what is newer than one is kept with it.
    """
    tagged = set(_tags(table).values())
    times = [_moment(one["timestamp"]) for one in table.list_versions() if one["version"] in tagged]
    return max([KEEP, *(datetime.now(UTC) - time + _MARGIN for time in times)])


def _tags(table: Any) -> Mapping[str, int]:
    return {name: int(entry["version"]) for name, entry in table.tags.list().items()}


def _moment(stamp: datetime) -> datetime:
    # LanceDB gives local time without a zone.
    return stamp.astimezone(UTC)
