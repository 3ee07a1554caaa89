"""A handle on the table of chunks: reads and writes of it, with their errors translated and tried again where others came first."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from ragkit.errors import StoreCorruptError, StoreError, StoreMismatchError
from ragkit.store import database
from ragkit.store.failures import told
from ragkit.store.newest import Newest
from ragkit.store.patience import keep_trying
from ragkit.store.schema import Header

if TYPE_CHECKING:
    import pyarrow as pa

_T = TypeVar("_T")


class Handle:
    """The LanceDB table at ``path``, newest version or the one it was opened at; ``header`` says what its columns hold."""

    def __init__(self, path: str | Path, table: Any, header: Header, *, at: int | str | None = None) -> None:
        self.path = Path(path)
        self.header = header
        self._at = at
        self._newest = Newest(self.path / database.FOLDER)
        self._table = table

    @property
    def version(self) -> int:
        """The number of the newest commit, or of the one this store was opened at; microseconds where nothing was committed."""
        if self._at is None and self._table is not None:
            return self._newest.version()
        return int(self.read("reading the version", lambda table: table.version))

    def scan(self, columns: list[str], where: str | None = None) -> pa.Table:
        """Some columns of the newest version, of the rows that SQL lets through."""

        def ask(table: Any) -> pa.Table:
            query = table.search().select(columns)
            return (query.where(where) if where else query).to_arrow()

        return self.read("reading", ask)

    def read(self, doing: str, ask: Callable[[Any], _T]) -> _T:
        """What ``ask`` finds out from LanceDB's table, with its errors translated."""
        table = self._current()
        try:
            with told(self.path, doing):
                return ask(table)
        except StoreError as error:
            self._refuse_moved()
            if not isinstance(error, StoreCorruptError):
                raise
            # A reader may hold files that a clean-up elsewhere has since removed; a fresh table does not know them.
            with told(self.path, doing):
                return ask(self._reopen())

    def require_newest(self) -> None:
        """Raise StoreError for a store that was opened at a version, which is for reading only."""
        if self._at is not None:
            raise StoreError(f"This is {self.path} at version {self._at}, for reading only. Open the index itself to change it.")

    def write(self, doing: str, act: Callable[[Any], object]) -> None:
        """Run ``act``; while other writers come first, again on a fresh table, with growing pauses, for a minute."""
        self.require_newest()

        def once() -> None:
            try:
                with told(self.path, doing):
                    act(self._current())
            except StoreError:
                self._refuse_moved()
                raise

        keep_trying(once, refresh=self._reopen)

    def _current(self) -> Any:
        if self._table is None:
            raise StoreError(f"The store {self.path} is closed. Open it again.")
        return self._table

    def _reopen(self) -> Any:
        self._current()
        table, header = database.open_table(database.connect(self.path), self.path, version=self._at)
        self._same_model(header)
        self._table = table
        return table

    def _same_model(self, header: Header) -> None:
        if header.vector != self.header.vector:
            raise StoreMismatchError(
                f"{self.path} was moved from the model {self.header.card.name!r} to {header.card.name!r} (dim {header.card.dim}) after it was "
                "opened here. Open it again, with the new model or without one: Index(path)."
            )

    def _refuse_moved(self) -> None:
        """Raise StoreMismatchError where a failure came of vectors that are now another model's."""
        try:
            self._reopen()
        except StoreMismatchError:
            raise
        except StoreError:
            return
