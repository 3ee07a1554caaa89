"""Many documents by several processes: the same chunks in the same order."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import threading
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import fields
from functools import cache
from multiprocessing.process import BaseProcess
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from ragkit.errors import ChunkWorkerError, InvalidInputError
from ragkit.seams import Chunker
from ragkit.types import Chunk, Document

if TYPE_CHECKING:
    from concurrent.futures import Future

#: Documents travel in batches of about so many characters: smaller ones cost more to send than to cut.
_BATCH = 200_000
#: Batches a worker may be ahead of the reader.
_AHEAD = 2
_NAMES = tuple(field.name for field in fields(Chunk) if field.name != "text")
_facts = attrgetter(*_NAMES)

Facts = tuple[Any, ...]
Answer = tuple[list[list[Facts]], BaseException | None]

_sent = b""


def checked_workers(workers: int) -> int:
    """``workers``; raises InvalidInputError unless it is a whole number of at least 1."""
    if not isinstance(workers, int) or isinstance(workers, bool) or workers < 1:
        raise InvalidInputError(f"workers is {workers!r}; it must be a whole number of processes, at least 1.")
    return workers


def checked_documents(documents: Iterable[Document]) -> Iterable[Document]:
    """``documents``; raises InvalidInputError for what cannot be gone through."""
    if not isinstance(documents, Iterable):
        raise InvalidInputError(
            f"stream takes an iterable of Documents, not {type(documents).__name__}. For one document: chunker(document)."
        )
    return documents


def stream_by_workers(chunker: Chunker, documents: Iterable[Document], workers: int) -> Iterator[Chunk]:
    """The chunks of ``chunker.stream(documents)``, made by ``workers`` new processes; documents are read a little ahead.

    An error comes after the chunks of the documents before it, with a note that names the document. Processes end when
    the iterator is closed or exhausted, and when this process dies.

    Raises InvalidInputError for a chunker that cannot be pickled, ChunkWorkerError when a process is killed.
    """
    from concurrent.futures import ProcessPoolExecutor
    from concurrent.futures.process import BrokenProcessPool

    sent = _pickled(chunker)
    pool = ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), initializer=_begin, initargs=(sent,))
    waiting: deque[tuple[list[Document], Future[Answer]]] = deque()
    try:
        batches = _batches(documents)
        failure: Exception | None = None
        while waiting or failure is None:
            while failure is None and len(waiting) <= workers * _AHEAD:
                try:
                    batch = next(batches)
                except Exception as error:
                    # StopIteration too: what was read before comes first.
                    failure = error
                else:
                    waiting.append((batch, pool.submit(_cut, batch)))
            if waiting:
                yield from _received(*waiting.popleft())
        if not isinstance(failure, StopIteration):
            raise failure
    except BrokenProcessPool as error:
        raise ChunkWorkerError(
            "A process that cut documents was killed, perhaps for want of memory. Chunks given before this stand. Use fewer "
            "workers; in a script, start them under if __name__ == '__main__'."
        ) from error
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _pickled(chunker: Chunker) -> bytes:
    try:
        return pickle.dumps(chunker)
    except Exception as error:
        raise InvalidInputError(
            f"{type(chunker).__name__} cannot be sent to another process: {error}. With workers, tokenizer functions must be "
            "defined at the top of a module (no lambda), and models cannot travel; use workers=1."
        ) from error


def _batches(documents: Iterable[Document]) -> Iterator[list[Document]]:
    batch: list[Document] = []
    size = 0
    try:
        for document in documents:
            batch.append(document)
            size += len(document.text) if isinstance(document, Document) else 0
            if size >= _BATCH:
                yield batch
                batch, size = [], 0
    except Exception:
        if batch:
            yield batch
        raise
    if batch:
        yield batch


def _received(batch: list[Document], future: Future[Answer]) -> Iterator[Chunk]:
    found, error = future.result()
    for document, rows in zip(batch, found, strict=False):
        for row in rows:
            known = dict(zip(_NAMES, row, strict=True))
            yield Chunk(text=document.text[known["start"] : known["end"]], **known)
    if error is not None:
        raise error


def _begin(sent: bytes) -> None:
    """What a new process does first: the parent alone answers Ctrl-C, and no process outlives it."""
    global _sent
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Every core has a process already.
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    _sent = sent


def _end_with(parent: BaseProcess) -> None:
    parent.join()
    os._exit(1)


@cache
def _the_chunker() -> Chunker:
    chunker: Chunker = pickle.loads(_sent)
    return chunker


def _cut(batch: list[Document]) -> Answer:
    """The facts of each document's chunks; their texts are slices of a document that the parent has."""
    chunker = _the_chunker()
    found: list[list[Facts]] = []
    for document in batch:
        try:
            found.append([_facts(chunk) for chunk in chunker(document)])
        except Exception as error:
            name = document.id if isinstance(document, Document) else document
            error.add_note(f"While cutting the document {name!r}.")
            return found, _portable(error)
    return found, None


def _portable(error: Exception) -> Exception:
    """``error`` if it survives the way to the parent, else its words."""
    try:
        pickle.loads(pickle.dumps(error))
        return error
    except Exception:
        plain = ChunkWorkerError(f"{type(error).__name__}: {error}")
        plain.__notes__ = error.__notes__
        return plain
