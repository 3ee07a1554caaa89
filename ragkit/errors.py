"""The error tree of ragkit.

Every error names the value it met, what is allowed, and what to do about it. Leaves also subclass the
builtin they refine, so ``except ValueError`` keeps working for callers who do not know ragkit.

    RagkitError
    ├── InvalidInputError(ValueError)          an argument, document or vector that cannot be used
    │   ├── DuplicateIdError                   one id, two different texts
    │   ├── TextTooLongError                   a text beyond the model's window
    │   ├── ChunkLimitError                    one character needs more tokens than a chunk may have
    │   └── FilterError                        a ``where`` that cannot be understood
    ├── CapabilityError(NotImplementedError)   the part exists, this model or store cannot do that
    ├── MissingDependencyError(ImportError)    an optional package is not installed
    ├── ModelNotFoundError(FileNotFoundError)  no weights or tokenizer on this machine
    ├── EmbeddingError(RuntimeError)           an embedder failed or gave unusable vectors
    ├── ContextError(RuntimeError)             a language model that writes context cannot be reached
    ├── ChunkWorkerError(RuntimeError)         a process that cut documents was killed
    ├── LoadError(OSError)                     a file that cannot be read as text
    └── StoreError(RuntimeError)               the database refused, is damaged, or is full
        ├── StoreMismatchError(ValueError)     written by another model or with other settings
        ├── StoreFormatError                   written by a newer ragkit
        ├── StoreCorruptError                  files missing or damaged
        └── StoreFullError(OSError)            no space left, or the disk refuses writes
"""

from __future__ import annotations


class RagkitError(Exception):
    """Base of every error that ragkit raises on purpose."""


class InvalidInputError(RagkitError, ValueError):
    """An argument, document or vector cannot be used as given."""


class DuplicateIdError(InvalidInputError):
    """Two documents of one call share an id and differ in text or metadata."""


class TextTooLongError(InvalidInputError):
    """A text has more tokens than the model's window; nothing is ever cut in silence."""


class ChunkLimitError(InvalidInputError):
    """One character alone needs more tokens than a chunk may have."""


class FilterError(InvalidInputError):
    """A ``where`` filter names an unknown operator or compares with an unusable value."""


class CapabilityError(RagkitError, NotImplementedError):
    """The model or store at hand cannot do what was asked."""


class MissingDependencyError(RagkitError, ImportError):
    """An optional package is needed and not installed; the message names the extra."""


class ModelNotFoundError(RagkitError, FileNotFoundError):
    """No weights or tokenizer of that name on this machine, and downloading was not allowed."""


class EmbeddingError(RagkitError, RuntimeError):
    """An embedder failed, or gave vectors that are not finite or of another shape."""


class ContextError(RagkitError, RuntimeError):
    """A language model that writes context keeps failing; what it answered before is kept."""


class ChunkWorkerError(RagkitError, RuntimeError):
    """A process that cut documents was killed, or failed with an error that cannot travel."""


class LoadError(RagkitError, OSError):
    """A file is missing, unreadable, binary, or not text in a known encoding."""


class StoreError(RagkitError, RuntimeError):
    """The database refused an operation."""


class StoreMismatchError(StoreError, ValueError):
    """The database was written by another embedding model or with other settings."""


class StoreFormatError(StoreError):
    """The database was written in a format this version does not know."""


class StoreCorruptError(StoreError):
    """Files of the database are missing or damaged."""


class StoreFullError(StoreError, OSError):
    """The disk is full or refuses writes; what was committed before stays readable."""
