"""Which version of a table is the newest, without asking LanceDB: for those who have to know before every answer."""

from __future__ import annotations

import os
from pathlib import Path

from ragkit.store.failures import translate

_LAST = 2**64 - 1


class Newest:
    """Reads the newest version number of the LanceDB table in ``folder`` from the names of its manifests.

    LanceDB publishes version v by one file, named by 2**64 - 1 - v, and numbers versions without gaps. So while the manifest
    last seen is still that file and the next one is not there, nothing was committed: two ``stat`` calls, a few microseconds. A
    table that was removed and made anew has another file under the old name, and is noticed too. Local folders only.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._versions = str(folder / "_versions")
        self._seen: tuple[int, tuple[int, int]] | None = None
        #: How often the manifest last seen was gone, or another, when it was looked for: then even an equal version may be another.
        self.breaks = 0

    def version(self) -> int:
        """The newest version. Raises StoreCorruptError when the table or its manifests are gone."""
        seen = self._seen
        try:
            if seen is None or self._mark(seen[0]) != seen[1]:
                self.breaks += seen is not None
                return self._look()
            if not os.path.exists(self._manifest(seen[0] + 1)):
                return seen[0]
            return self._look()
        except OSError as error:
            raise translate(error, self._folder.parent, "looking for the newest version") from error

    def _look(self) -> int:
        names = [name[:20] for name in os.listdir(self._versions) if len(name) == 29 and name.endswith(".manifest")]
        if not names:
            raise FileNotFoundError(2, "manifests not found in", self._versions)
        version = _LAST - int(min(names))
        # The newest one cannot be cleaned up unless a newer one has come, and then the next call finds that.
        mark = self._mark(version)
        self._seen = (version, mark) if mark is not None else None
        return version

    def _manifest(self, version: int) -> str:
        return f"{self._versions}/{_LAST - version:020d}.manifest"

    def _mark(self, version: int) -> tuple[int, int] | None:
        try:
            found = os.stat(self._manifest(version))
        except FileNotFoundError:
            return None
        return found.st_ino, found.st_mtime_ns
