"""Documents whose file is gone, for ``ragkit index --prune``."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from ragkit.errors import InvalidInputError

if TYPE_CHECKING:
    from ragkit.load import FolderLoad
    from ragkit.store import ChunkStore


def gone_documents(store: ChunkStore, documents: FolderLoad, paths: Sequence[Path], root: Path) -> list[str]:
    """The stored ids, sorted, of files under ``paths`` that do not exist any more; only of documents that came from files.

    A file that is there and left out now, by a pattern or because it cannot be read, is not gone. Raises InvalidInputError when no file at all
    is left: then a disk is missing more often than every file.
    """
    tops = [Path(os.path.abspath(path)) for path in paths]
    base = Path(os.path.abspath(root))
    gone = []
    for doc_id in store.document_ids():
        # An absolute id stays what it is.
        file = Path(os.path.abspath(base / doc_id)) if "\0" not in doc_id else None
        if file is not None and any(file.is_relative_to(top) for top in tops) and not file.exists() and _from_file(store, doc_id):
            gone.append(doc_id)
    if gone and not documents.paths():
        raise InvalidInputError(
            f"No file is left under {', '.join(map(str, paths))}, and --prune would remove all {len(gone)} documents of it, {gone[0]!r} the "
            "first. Check that the folder is the right one and its disk is there; Index.delete removes them if that is meant."
        )
    return gone


def _from_file(store: ChunkStore, doc_id: str) -> bool:
    metadata = store.chunks_of(doc_id)[0].metadata
    return "media_type" in metadata and PurePosixPath(str(metadata.get("source"))).name == PurePosixPath(doc_id).name
