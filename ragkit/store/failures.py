"""What LanceDB's errors mean, in ragkit's tree."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ragkit.errors import RagkitError, StoreCorruptError, StoreError, StoreFullError

# LanceDB 0.40 raises RuntimeError, ValueError or OSError with a text that wraps Rust's; only the text tells them apart.
_FULL = ("no space left", "os error 28", "storagefull", "file too large", "os error 27", "quota exceeded", "os error 122")
_REFUSED = ("read-only file system", "os error 30", "permission denied", "os error 13")
_DAMAGED = (
    "not found", "invalid range", "invalid magic", "magic number", "file size is too small", "corrupt", "unexpected end of file",
    "failed to fill whole buffer", "decode", "does not appear to be a lance file", "out of range", "out of bounds", "checksum", "protobuf",
)  # fmt: skip
_REMEDY = "remove it and index the documents again"
_CONFLICT = (
    "commit conflict",
    "retryable",
    "too many concurrent writers",
    "concurrent transaction",
    "preempted",
    "rewrite",
    "tagged version",
)


def is_conflict(error: BaseException) -> bool:
    """True when another writer came first and the same work may be tried again."""
    text = str(error).lower()
    return any(sign in text for sign in _CONFLICT)


def is_damage(error: BaseException) -> bool:
    """True when files are missing or cannot be decoded; a panic of the Rust core is one such sign."""
    text = str(error).lower()
    return type(error).__name__ == "PanicException" or any(sign in text for sign in _DAMAGED)


def translate(error: BaseException, path: Path, doing: str, *, remedy: str = _REMEDY) -> StoreError:
    """The StoreError that says what went wrong at ``path`` while ``doing``, and what to do about it."""
    text = " ".join(str(error).split())
    low = text.lower()
    detail = f"(LanceDB said: {text[:300]})"
    if any(sign in low for sign in _FULL):
        return StoreFullError(
            f"No space left for {path} while {doing}. What was committed before stays readable; free space, then run it again. {detail}"
        )
    if any(sign in low for sign in _REFUSED):
        return StoreFullError(
            f"The disk refused to write to {path} while {doing}; check its permissions and mount options. {detail}"
        )
    if is_damage(error):
        return StoreCorruptError(
            f"Files of the database {path} are missing or damaged; noticed while {doing}. "
            f"Restore it from a backup, or {remedy}. {detail}"
        )
    return StoreError(f"The database {path} failed while {doing}. {detail}")


@contextmanager
def told(path: Path, doing: str, *, remedy: str = _REMEDY) -> Iterator[None]:
    """Raise LanceDB's failures as StoreError; ``remedy`` is what to do about damage when there is no backup."""
    try:
        yield
    except RagkitError:
        raise
    except Exception as error:
        raise translate(error, path, doing, remedy=remedy) from error
    except BaseException as error:
        # pyo3's PanicException is no Exception; KeyboardInterrupt and its kin must pass.
        if type(error).__name__ != "PanicException":
            raise
        raise translate(error, path, doing, remedy=remedy) from error
