"""Opening and creating the one table of a database."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

from ragkit.errors import StoreCorruptError, StoreError
from ragkit.store.columns import read_columns
from ragkit.store.failures import told, translate
from ragkit.store.patience import keep_trying
from ragkit.store.schema import Header, make_schema, read_header

_TABLE = "chunks"
FOLDER = f"{_TABLE}.lance"


def connect(path: Path, *, session: Any = None) -> Any:
    """A LanceDB connection whose tables always see the newest commit; connections of one session share its caches."""
    import lancedb

    with told(path, "connecting"):
        return lancedb.connect(path, read_consistency_interval=timedelta(0), session=session)


def exists(path: Path, *, table: str = _TABLE) -> bool:
    """True when that table was begun in the database at ``path``. Raises StoreError where no database can be."""
    folder = f"{table}.lance"
    try:
        if path.exists() and not path.is_dir():
            raise StoreError(f"{path} is a file; a database is a folder. Choose another path.")
        if not path.is_dir():
            return False
        entries = sorted(entry.name for entry in path.iterdir())
    except OSError as error:
        raise translate(error, path, "looking at the folder") from error
    if folder not in entries:
        foreign = [name for name in entries if not name.endswith(".lance")]
        if foreign:
            raise StoreError(
                f"{path} is no database of ragkit: it holds {foreign[0]!r} and no {folder}. "
                "Choose a path that is empty or does not exist yet."
            )
        return False
    return _begun(path / folder, path)


def _begun(folder: Path, path: Path) -> bool:
    if any((folder / "_versions").glob("*.manifest")):
        return True
    # A process killed while creating leaves a folder without rows; rows without a manifest are a loss.
    if any((folder / "data").glob("*")):
        raise StoreCorruptError(
            f"{folder} holds data and no list of versions (_versions/*.manifest is missing). "
            f"Restore {path} from a backup, or remove it and index the documents again."
        )
    return False


def open_table(database: Any, path: Path, *, version: int | str | None = None) -> tuple[Any, Header]:
    """The table, at a version or a tag where one is given, and its header. Raises StoreError, StoreFormatError or StoreCorruptError."""
    with told(path, "opening"):
        table = database.open_table(_TABLE)
        if version is not None:
            try:
                table.checkout(version)
            except ValueError as error:
                raise StoreError(
                    f"{path} has no version {version!r}, or no longer: versions older than a day are dropped unless a tag keeps them. "
                    "`ragkit history` and index.history.versions() list those it has."
                ) from error
        return table, read_header(table.schema, path)


def create_table(database: Any, path: Path, header: Header) -> tuple[Any, Header]:
    """The new table; the one another process created meanwhile, where it was quicker."""
    try:
        with told(path, "creating the database"):
            table = database.create_table(_TABLE, schema=make_schema(header))
            return table, header
    except StoreError as error:
        if "already exists" not in str(error):
            raise
        return open_table(database, path)


def ensure_column_indexes(table: Any) -> None:
    """A scalar index over each declared column: BITMAP for bool, LABEL_LIST for lists, BTREE for the rest."""
    from lancedb.index import Bitmap, BTree, LabelList

    indexed = {name for index in table.list_indices() for name in index.columns}
    for column in read_columns(table.schema):
        if column.name not in indexed:
            kind = str(column.type)
            table.create_index(column.name, config=Bitmap() if kind == "bool" else LabelList() if "[" in kind else BTree())


def ensure_text_index(table: Any, path: Path, *, replace: bool = False) -> None:
    """The full-text index over ``lex``: blanks separate tokens and nothing else is changed, for the analyzer did it all."""
    from lancedb.index import FTS

    config = FTS(
        base_tokenizer="whitespace",
        stem=False,
        remove_stop_words=False,
        lower_case=False,
        ascii_folding=False,
        max_token_length=None,
    )

    def there() -> bool:
        return any(index.columns == ["lex"] for index in table.list_indices())

    def once() -> None:
        if not replace and there():
            return
        try:
            with told(path, "creating the full-text index"):
                table.create_index("lex", config=config, replace=replace)
        except StoreError:
            # Another process may have created it between the look and the attempt.
            if replace or not there():
                raise

    keep_trying(once, refresh=table.checkout_latest)
