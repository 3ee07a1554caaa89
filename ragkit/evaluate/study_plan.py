"""What a study compares: recipes, each a chunker with its context steps, on a grid of kinds, sizes and contexts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import partial

from ragkit.chunk import AutoChunker, Engine, FixedChunker, Late, MarkdownChunker, RecursiveChunker, SentenceChunker, Situate
from ragkit.errors import InvalidInputError
from ragkit.seams import Chunker

#: Sentences, returned as runs of at most a size: ``Index.search_runs``.
LANDMARKS = "landmarks"
CHUNKERS: Mapping[str, Callable[[int], Engine]] = {
    kind.kind: kind for kind in (RecursiveChunker, SentenceChunker, FixedChunker, MarkdownChunker, AutoChunker)
} | {LANDMARKS: partial(SentenceChunker, packing="one")}
#: Each context by its name: the step after cutting.
CONTEXTS: Mapping[str, Situate | Late | None] = {
    "plain": None,
    "title": Situate(before=0, blend=1.0),
    "title-words": Situate(before=0, use="both"),
    "neighbour": Situate(title=False, blend=1.0),
    "summary": Situate(title=False, before=0, summary=64, max_tokens=72, blend=1.0),
    "blend": Situate(),
    "document": Situate(title=False, before=0, max_tokens=0, document=0.5),
    "late": Late(),
    "late-blend": Late(blend=0.5),
}
SIZES = (64, 128, 256, 512)
PLAIN = "plain"


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """One way to cut and read documents: a ``chunker``, context steps included, under a ``name`` for people.

    ``kind``, ``size`` (tokens) and ``context`` place it on a grid; leave them as they are for a recipe of your own. ``baseline``
    names the recipe it is compared with, and ``code`` is what makes it. With ``runs`` the chunks found are put together into runs of at
    most so many tokens before they are judged, as ``Index.search_runs(max_tokens=...)`` does.
    """

    name: str
    chunker: Chunker = field(hash=False)
    kind: str = ""
    size: int = 0
    context: str = PLAIN
    baseline: str | None = None
    code: str = ""
    runs: int = 0


def recipe_grid(
    *,
    chunkers: Sequence[str] = ("recursive",),
    sizes: Sequence[int] = SIZES,
    contexts: Sequence[str] = (PLAIN,),
    window: int = 0,
) -> list[Recipe]:
    """Every chunker at every size with every context; plain ones first, each the baseline of its kind and size.

    A size is the most tokens of a chunk's text and special tokens. A context gets its own room on top, so that chunks of one kind
    and size have the same spans with every context; only where ``window`` (the model's, 0: not known) leaves no such room
    does it take it from the text.

    Raises InvalidInputError for unknown names and for sizes below 1 or beyond the window.
    """
    _known("chunker", chunkers, CHUNKERS)
    _known("context", contexts, CONTEXTS)
    for size in sizes:
        if not isinstance(size, int) or isinstance(size, bool) or size < 1:
            raise InvalidInputError(f"The size {size!r} is no number of tokens; it must be a whole number, at least 1.")
        if window and size > window:
            raise InvalidInputError(
                f"The size {size} is beyond the model's window of {window} tokens, so such chunks cannot be embedded. "
                f"Leave it out, or take a model with a larger window."
            )
    if not (chunkers and sizes and contexts):
        raise InvalidInputError("There is nothing to compare: name at least one chunker, one size and one context.")
    return [
        _recipe(kind, size, context, window, has_baseline=PLAIN in contexts)
        for context in sorted(dict.fromkeys(contexts), key=lambda name: name != PLAIN)
        for kind in dict.fromkeys(chunkers)
        for size in sorted(set(sizes))
    ]


def _known(what: str, names: Sequence[str], known: Mapping[str, object]) -> None:
    for name in names:
        if name not in known:
            raise InvalidInputError(f"There is no {what} {name!r} in a study; known are {', '.join(known)}.")


def _recipe(kind: str, size: int, context: str, window: int, *, has_baseline: bool) -> Recipe:
    maker, step = CHUNKERS[kind], CONTEXTS[context]
    limit = size + (step.reserve if step is not None else 0)
    limit = min(limit, window) if window else limit
    if step is not None and step.reserve >= limit:
        raise InvalidInputError(
            f"The context {context!r} may take {step.reserve} tokens, and the model's window of {window} leaves none for text. "
            "Leave it out, or take a model with a larger window."
        )
    made = maker(limit)
    settings, search = (', packing="one"', f"  # index.search_runs(..., max_tokens={size})") if kind == LANDMARKS else ("", "")
    return Recipe(
        name=f"{kind} {size}" if step is None else f"{kind} {size} {context}",
        chunker=made if step is None else made | step,
        kind=kind,
        size=size,
        context=context,
        baseline=None if step is None or not has_baseline else f"{kind} {size}",
        code=f"{type(made).__name__}({limit}{settings})" + (f" | {_code(step)}" if step is not None else "") + search,
        runs=size if kind == LANDMARKS else 0,
    )


def _code(step: Situate | Late) -> str:
    """The call that makes this step, with what differs from its defaults."""
    changed = [f"{one.name}={getattr(step, one.name)!r}" for one in fields(step) if getattr(step, one.name) != one.default]
    return f"{type(step).__name__}({', '.join(changed)})"
