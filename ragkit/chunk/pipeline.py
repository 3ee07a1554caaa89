"""Steps after cutting: ``chunker | Situate() | Late()`` gives a chunker again."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Protocol, Self, runtime_checkable

from ragkit.chunk.engine import Engine
from ragkit.chunk.situate import Fallible
from ragkit.chunk.workers import checked_documents, checked_workers, stream_by_workers
from ragkit.errors import InvalidInputError
from ragkit.seams import Tokenizer
from ragkit.types import Chunk, Document, canonical_json, digest


@runtime_checkable
class Step(Protocol):
    """Says of finished chunks what a model may read around them; spans, texts and order stay as they are.

    ``recipe`` names the step and its settings, JSON-like, under the key "step" its kind. ``reserve`` is how many
    tokens of context it may add to a chunk: the chunker before it leaves that much room.
    """

    @property
    def recipe(self) -> Mapping[str, Any]: ...

    @property
    def reserve(self) -> int: ...

    def __call__(self, document: Document, chunks: Sequence[Chunk], tokenizer: Tokenizer, /) -> list[Chunk]: ...


@dataclass(frozen=True)
class Pipeline:
    """A chunker whose chunks then go through ``steps``, in order; a Chunker itself.

    The chunker's limit holds for text, context, special tokens and prompt together: what the steps may add is
    reserved while cutting. Ids are made anew, because the same span read otherwise has another vector.
    """

    chunker: Engine
    steps: tuple[Step, ...]

    def __or__(self, step: Step) -> Pipeline:
        """This pipeline with one more step at its end."""
        return Pipeline(self.chunker, (*self.steps, _checked(step)))

    @cached_property
    def recipe(self) -> str:
        """Every choice, as canonical JSON: the chunker's own recipe and each step's."""
        return canonical_json(
            {"chunker": "pipeline", "first": json.loads(self.chunker.recipe), "steps": [dict(step.recipe) for step in self.steps]}
        )

    def bind(self, tokenizer: Tokenizer, /, *, window: int | None = None) -> Self:
        """The same pipeline with its chunker on this tokenizer; errors as in ``Engine.bind``, and where context leaves no room."""
        bound = replace(self, chunker=self.chunker.bind(tokenizer, window=window))
        # Now, before a database is made for chunks that cannot be cut.
        assert bound._cutter
        return bound

    @cached_property
    def _cutter(self) -> Engine:
        return self.chunker.keeping_free(sum(step.reserve for step in self.steps))

    def __call__(self, document: Document, /) -> list[Chunk]:
        """The chunks of one document, in order."""
        chunks = self._cutter(document)
        for step in self.steps:
            chunks = step(document, chunks, self._cutter.counter)
        recipe = self.recipe
        return [replace(chunk, id=digest(document.id, recipe, f"{chunk.start}:{chunk.end}", chunk.text)) for chunk in chunks]

    def unfinished(self, doc_id: str, /) -> str:
        """What the steps left undone of a document; "" when nothing. See ``Fallible``."""
        told = (step.unfinished(doc_id) for step in self.steps if isinstance(step, Fallible))
        return "; ".join(reason for reason in told if reason)

    def stream(self, documents: Iterable[Document], /, *, workers: int = 1) -> Iterator[Chunk]:
        """The chunks of many documents, one document at a time, or by so many processes; see ``Engine.stream``."""
        checked_documents(documents)
        if checked_workers(workers) > 1:
            return stream_by_workers(self, documents, workers)
        return (chunk for document in documents for chunk in self(document))


def pipe(chunker: Engine, step: Step) -> Pipeline:
    """``chunker | step``."""
    return Pipeline(chunker, (_checked(step),))


def _checked(step: Step) -> Step:
    if isinstance(step, type):
        raise InvalidInputError(f"{step.__name__} is a class; a chunker is piped into a step: chunker | {step.__name__}().")
    if not isinstance(step, Step):
        raise InvalidInputError(f"{step!r} is no step; a chunker is piped into Situate(...) or Late(...).")
    return step
