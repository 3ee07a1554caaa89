"""Small to big: search small chunks, read the larger ones they lie in."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

from ragkit.chunk.sizes import Size, checked_size
from ragkit.errors import InvalidInputError
from ragkit.seams import Tokenizer
from ragkit.text.boundaries import prose_cuts
from ragkit.types import Chunk, Document, Metadata, Span, canonical_json, digest

_KEY = "parents"
Whole = Document | Iterable[Chunk]


@dataclass(frozen=True)
class Parents:
    """Puts every chunk into larger ones: ``chunker | Parents((1024, 256))``.

    ``sizes`` are tokens of text, or ranges ``(least, most)`` of them, in any order. A parent is a run of neighbouring
    chunks, or of smaller parents, that ends where headings or scopes change or at the strongest boundary of prose, in the second
    half of its size, so that children tile their parent exactly (without overlap; with it they cover it). The
    chunks themselves are those of the chunker alone. ``metadata["parents"]`` lists id, span, number and tokens of the parents, the
    largest first; ``parents`` gives them as chunks. Nothing else is stored.

    Raises InvalidInputError for sizes that cannot be, and for a chunk larger than a parent.
    """

    sizes: Sequence[Size] = (1024,)

    reserve = 0

    def __post_init__(self) -> None:
        given: Any = self.sizes
        if isinstance(given, int) or not isinstance(given, Iterable) or not list(given):
            raise InvalidInputError(f"sizes is {given!r}; it must be a list of sizes in tokens, such as (1024, 256).")
        sizes = tuple(sorted((checked_size(size, "a size") for size in given), key=_most, reverse=True))
        if len({_most(size) for size in sizes}) < len(sizes):
            raise InvalidInputError(f"sizes is {given!r}; two of them are equal. Leave one out.")
        object.__setattr__(self, "sizes", sizes)

    @property
    def recipe(self) -> Mapping[str, Any]:
        """The step and its sizes, as JSON-like values."""
        return {"step": _KEY, "sizes": [list(size) if isinstance(size, tuple) else size for size in self.sizes]}

    def __call__(self, document: Document, chunks: Sequence[Chunk], tokenizer: Tokenizer, /) -> list[Chunk]:
        """The chunks with their parents in ``metadata``."""
        if not chunks:
            return []
        prose = prose_cuts(document.text)
        strengths = [_strength(a, b, prose) for a, b in pairwise(chunks)]
        runs = [_Run(chunk.start, chunk.end, chunk.n_tokens, at, at + 1) for at, chunk in enumerate(chunks)]
        above: list[list[dict[str, Any]]] = [[] for _ in chunks]
        for size in reversed(self.sizes):
            runs = _joined(document.text, runs, size, strengths, tokenizer)
            recipe = canonical_json({"step": _KEY, "size": size})
            for index, run in enumerate(runs):
                identity = digest(document.id, recipe, f"{run.start}:{run.end}", document.text[run.start : run.end])
                entry = {"id": identity, "start": run.start, "end": run.end, "index": index, "n_tokens": run.n_tokens}
                for at in range(run.first, run.last):
                    above[at].insert(0, dict(entry))
        return [replace(chunk, metadata={**chunk.metadata, _KEY: entries}) for chunk, entries in zip(chunks, above, strict=True)]


def parents(chunks: Iterable[Chunk], whole: Document | Callable[[str], Whole], *, level: int = -1) -> list[Chunk]:
    """The parents of ``chunks``, each once, in the order in which a child of theirs comes first: hits in, passages out.

    ``whole`` is the document, or a function from a document id to the document or to all its chunks, such as
    ``index.chunks_of``. ``level`` counts from the largest parent, 0; -1 is the nearest. A parent's metadata are the
    document's, or those of its first child, and its own parents.

    Raises InvalidInputError for a chunk that has no such parent, or another text than the document.
    """
    found: dict[str, Chunk] = {}
    texts: dict[str, tuple[str, dict[int, Metadata]]] = {}
    for chunk in chunks:
        entries = chunk.metadata.get(_KEY) or []
        if not -len(entries) <= level < len(entries):
            raise InvalidInputError(
                f"Chunk {chunk.id!r} has {len(entries)} parents, and level {level} was asked for. Chunk with chunker | Parents(sizes)."
            )
        entry = entries[level]
        if entry["id"] in found:
            continue
        if chunk.doc_id not in texts:
            texts[chunk.doc_id] = _text(whole if isinstance(whole, Document) else whole(chunk.doc_id))
        text, metadata = texts[chunk.doc_id]
        start, end = entry["start"], entry["end"]
        if text[chunk.start : chunk.end] != chunk.text:
            raise InvalidInputError(
                f"Chunk {chunk.id!r} of document {chunk.doc_id!r} is no slice of the text given. Give its own document."
            )
        own = {key: value for key, value in metadata.get(start, metadata.get(-1, {})).items() if key != _KEY}
        outer = entries[: level % len(entries)]
        found[entry["id"]] = Chunk(
            id=entry["id"],
            doc_id=chunk.doc_id,
            start=start,
            end=end,
            text=text[start:end],
            window=Span(start, end),
            index=entry["index"],
            n_tokens=entry["n_tokens"],
            metadata={**own, _KEY: outer} if outer else own,
        )
    return list(found.values())


@dataclass(frozen=True, slots=True)
class _Run:
    """Chunks ``first`` to ``last``, exclusive, as one."""

    start: int
    end: int
    n_tokens: int
    first: int
    last: int


_Strength = tuple[int, int]


def _strength(a: Chunk, b: Chunk, prose: Mapping[int, int]) -> _Strength:
    """How gladly a parent ends between two chunks: where the outermost heading or scope changes, then as prose does."""
    left, right = _path(a), _path(b)
    shared = next((at for at, (x, y) in enumerate(zip(left, right, strict=False)) if x != y), min(len(left), len(right)))
    return (0 if left == right else 1_000 - shared), prose.get(a.end, 0)


def _path(chunk: Chunk) -> list[Any]:
    return [*chunk.metadata.get("headings", []), *chunk.metadata.get("scope", [])]


def _joined(text: str, runs: Sequence[_Run], size: Size, strengths: Sequence[_Strength], tokenizer: Tokenizer) -> list[_Run]:
    """The runs, joined while they fit into ``size``."""
    most = _most(size)
    least = size[0] if isinstance(size, tuple) else most // 2
    joined: list[_Run] = []
    at = 0
    while at < len(runs):
        stop, total = at, 0
        while stop < len(runs) and (total := total + runs[stop].n_tokens) <= most:
            stop += 1
        stop = max(stop, at + 1)
        while True:
            last = _best_end(runs, at, stop, least, strengths)
            start, end = runs[at].start, runs[last - 1].end
            count = runs[at].n_tokens if last == at + 1 else tokenizer.count_batch([text[start:end]])[0]
            if count <= most:
                break
            if last == at + 1:
                raise InvalidInputError(
                    f"A chunk has {count} tokens and a parent at most {most}. Raise sizes or lower max_tokens."
                )
            stop = last - 1
        joined.append(_Run(start, end, count, runs[at].first, runs[last - 1].last))
        at = last
    return joined


def _best_end(runs: Sequence[_Run], at: int, stop: int, least: int, strengths: Sequence[_Strength]) -> int:
    """Where in ``(at, stop]`` to end: at the strongest boundary once ``least`` tokens are in, the latest of equals."""
    if stop == len(runs):
        return stop
    best, total = stop, 0
    strongest: _Strength = strengths[runs[stop - 1].last - 1]
    for end in range(at + 1, stop):
        total += runs[end - 1].n_tokens
        strength = strengths[runs[end - 1].last - 1]
        if total >= least and (strength > strongest or (strength == strongest and end > best)):
            best, strongest = end, strength
    return best


def _text(whole: Whole) -> tuple[str, dict[int, Metadata]]:
    """A document's text, and the metadata of what begins at an offset; -1: of the document."""
    if isinstance(whole, Document):
        return whole.text, {-1: whole.metadata}
    text, metadata = "", dict[int, Metadata]()
    for chunk in whole:
        text += chunk.text[len(text) - chunk.start :]
        metadata[chunk.start] = chunk.metadata
    return text, metadata


def _most(size: Size) -> int:
    return size if isinstance(size, int) else size[1]
