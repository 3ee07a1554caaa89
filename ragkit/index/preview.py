"""What an ``add`` would do, without doing it: nothing is embedded, nothing is written."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Literal

from ragkit.chunk import from_recipe
from ragkit.errors import InvalidInputError
from ragkit.seams import Chunker
from ragkit.types import Document, digest

_AT_ONCE = 256
What = Literal["added", "replaced", "removed", "unchanged"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What would become of one document, and how many chunks it would get; None where counting them would cost as much as adding."""

    doc_id: str
    what: What
    chunks: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """What an ``add`` would do: a change for each document, in order; ``empty`` names new documents without text."""

    changes: tuple[Change, ...]
    empty: tuple[str, ...] = ()

    def ids(self, what: What) -> list[str]:
        """The documents with that future, in order."""
        return [change.doc_id for change in self.changes if change.what == what]

    @property
    def chunks(self) -> int | None:
        """The chunks that would be written; None where that is not known."""
        counts = [change.chunks for change in self.changes if change.what in ("added", "replaced")]
        known = [count for count in counts if count is not None]
        return sum(known) if len(known) == len(counts) else None


def preview(
    documents: Iterable[Document],
    *,
    chunker: Chunker,
    stored: Callable[[Sequence[str]], Mapping[str, str]],
    gone: Iterable[str] = (),
) -> Preview:
    """The changes that ``Index.add`` with this chunker, bound to the model's tokenizer, would make.

    ``stored`` gives the digests of documents that a database holds; ``gone`` are documents that would be deleted. A chunker that
    asks a language model, or is none of ragkit's, is not run.
    """
    changes: list[Change] = []
    empty: list[str] = []
    cheap = _is_ours(chunker.recipe)
    for block in _blocks(documents):
        digests = stored([document.id for document in block])
        for document in block:
            known = document.id in digests
            if digests.get(document.id) == digest(document.digest, chunker.recipe):
                changes.append(Change(doc_id=document.id, what="unchanged"))
            elif not document.text.strip():
                if known:
                    changes.append(Change(doc_id=document.id, what="removed"))
                else:
                    empty.append(document.id)
            else:
                chunks = len(chunker(document)) if cheap else None
                changes.append(Change(doc_id=document.id, what="replaced" if known else "added", chunks=chunks))
    changes += [Change(doc_id=doc_id, what="removed") for doc_id in gone]
    return Preview(changes=tuple(changes), empty=tuple(empty))


def _is_ours(recipe: str) -> bool:
    try:
        from_recipe(recipe)
    except InvalidInputError:
        return False
    return True


def _blocks(documents: Iterable[Document]) -> Iterator[list[Document]]:
    each = iter(documents)
    while block := list(islice(each, _AT_ONCE)):
        yield block
