"""Situated context: what puts a chunk in its place, kept apart from its text."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, replace
from itertools import pairwise
from typing import Any, Literal, Protocol, runtime_checkable

from ragkit.chunk.fitting import Keep, fit, fit_beside
from ragkit.errors import InvalidInputError
from ragkit.seams import Tokenizer
from ragkit.text.boundaries import Strength, prose_cuts
from ragkit.text.summary import central_sentences
from ragkit.types import Chunk, Document, Encoding

Use = Literal["dense", "bm25", "both"]


@runtime_checkable
class Situator(Protocol):
    """Writes a few words about each chunk's place in its document: a language model, or any function of yours.

    ``recipe`` names it and all its settings, JSON-like, for it decides what is stored. The call gets a document and all
    its chunks, in order, and returns one text per chunk; "" where it has nothing to say.
    """

    @property
    def recipe(self) -> Mapping[str, Any]: ...

    def __call__(self, document: Document, chunks: Sequence[Chunk], /) -> Sequence[str]: ...


@runtime_checkable
class Fallible(Protocol):
    """A situator or a step that may leave something undone: an index says so, and tries such a document again with the next add."""

    def unfinished(self, doc_id: str, /) -> str:
        """What is missing of the document that was handled last under this id, for people; "" when nothing."""
        ...


@dataclass(frozen=True)
class Situate:
    """Gives every chunk a context of at most ``max_tokens`` tokens, in this order while there is room:

    - ``title``: the document's title and the headings above the chunk, else the path it came from;
    - ``write``: what a Situator says, for example ``ragkit.langchain.ChatSituator``;
    - ``summary``: up to so many tokens of the document's most central sentences (by TF-IDF; 0 for none);
    - ``before``, ``after``: so many neighbouring sentences, the nearest kept where they do not all fit.

    ``use`` says who reads it: the embedding model ("dense"), BM25 ("bm25") or "both". ``blend`` in [0, 1] is the share
    of the vector made with the context, of which only the chunk's own tokens are pooled where the model gives token
    vectors; the rest is the chunk read alone (the sum of two encodings, as in SitEmb, 2508.01959). ``document`` adds so
    much of the mean of the document's vectors, which costs no pass.

    What the chunker itself gave (the header of a table) comes first in the context, and is read by both whatever ``use``
    says, the rest with it.

    The context's tokens count against the chunker's limit: ``max_tokens`` of it are kept free. The chunk's text never
    contains it.

    Raises InvalidInputError for settings out of range, and when a Situator does not return one text per chunk.
    """

    _: KW_ONLY
    title: bool = True
    before: int = 1
    after: int = 0
    summary: int = 0
    write: Situator | None = None
    max_tokens: int = 64
    use: Use = "dense"
    blend: float = 0.5
    document: float = 0.0

    def __post_init__(self) -> None:
        for name in ("before", "after", "summary", "max_tokens"):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < 0:
                raise InvalidInputError(f"{name} is {value!r}; it must be a whole number, at least 0.")
        if self.use not in ("dense", "bm25", "both"):
            raise InvalidInputError(f"use is {self.use!r}; it is 'dense', 'bm25' or 'both'.")
        if not isinstance(self.blend, (int, float)) or not 0.0 <= self.blend <= 1.0:
            raise InvalidInputError(f"blend is {self.blend!r}; it is the share of the vector made with context, between 0 and 1.")
        if self.write is not None and not isinstance(self.write, Situator):
            raise InvalidInputError(
                f"write is {self.write!r}; it needs a recipe and a call with (document, chunks). See Situator."
            )
        if not isinstance(self.document, (int, float)):
            raise InvalidInputError(f"document is {self.document!r}; it is the weight of the document's mean vector, at least 0.")
        Encoding(document=self.document)

    @property
    def reserve(self) -> int:
        """Tokens kept free beside each chunk's text."""
        return self.max_tokens

    @property
    def recipe(self) -> Mapping[str, Any]:
        """The step and its settings, as JSON-like values."""
        return {
            "step": "situate",
            "title": self.title,
            "before": self.before,
            "after": self.after,
            "summary": self.summary,
            "write": None if self.write is None else dict(self.write.recipe),
            "max_tokens": self.max_tokens,
            "use": self.use,
            "blend": float(self.blend),
            "document": float(self.document),
        }

    def __call__(self, document: Document, chunks: Sequence[Chunk], tokenizer: Tokenizer, /) -> list[Chunk]:
        """The chunks with their contexts."""
        written = self._written(document, chunks)
        neighbours = _Neighbours(document.text, 64 * self.max_tokens) if self.before or self.after else None
        summary = self._summary(document.text, tokenizer) if self.summary else ""
        situated: list[Chunk] = []
        for chunk, words in zip(chunks, written, strict=True):
            parts: list[tuple[str, Keep]] = [
                (chunk.context, "start"),
                (place(document, chunk) if self.title else "", "start"),
                (" ".join(words.split()), "start"),
                (summary, "start"),
            ]
            if neighbours is not None:
                parts += [(neighbours.after(chunk, self.after), "start"), (neighbours.before(chunk, self.before), "end")]
            # What the chunker itself put there was counted by it.
            room = self.max_tokens + (tokenizer.count_batch([chunk.context + "\n"])[0] if chunk.context else 0)
            context = fit_beside(parts, chunk.text, chunk.n_tokens, room, tokenizer)
            # One context: whoever reads the chunker's own part of it reads all.
            plain = 1.0 - self.blend if self.use != "bm25" else chunk.encoding.plain if chunk.context else 1.0
            encoding = replace(
                chunk.encoding,
                plain=plain if context else chunk.encoding.plain,
                document=self.document,
                lexical=self.use != "dense" or bool(chunk.context),
            )
            situated.append(replace(chunk, context=context, encoding=encoding))
        return situated

    def unfinished(self, doc_id: str, /) -> str:
        """What the situator left undone of a document; "" when nothing."""
        return self.write.unfinished(doc_id) if isinstance(self.write, Fallible) else ""

    def _written(self, document: Document, chunks: Sequence[Chunk]) -> list[str]:
        if self.write is None or not chunks:
            return [""] * len(chunks)
        words = list(self.write(document, chunks))
        if len(words) != len(chunks) or not all(isinstance(text, str) for text in words):
            raise InvalidInputError(
                f"The situator {type(self.write).__name__} returned {len(words)} texts for {len(chunks)} chunks of document "
                f'{document.id!r}; it must return one str per chunk ("" for none).'
            )
        return words

    def _summary(self, text: str, tokenizer: Tokenizer) -> str:
        sentences = [" ".join(sentence.split()) for sentence in _sentences(text)]
        chosen: list[int] = []
        room = self.summary
        counts = tokenizer.count_batch(sentences)
        for at in central_sentences(sentences):
            if 0 < counts[at] <= room:
                chosen.append(at)
                room -= counts[at]
        return fit(" ".join(sentences[at] for at in sorted(chosen)), self.summary, tokenizer)


def place(document: Document, chunk: Chunk) -> str:
    """Title and headings above the chunk as "Title > Heading > Sub-heading", else the path it came from; then classes and functions."""
    path = [str(part) for part in chunk.metadata.get("headings") or ()]
    title = str(document.metadata.get("title") or "").strip()
    if title and title not in path[:1]:
        path.insert(0, title)
    if not path and document.metadata.get("source"):
        path = [str(document.metadata["source"])]
    path += [str(part) for part in chunk.metadata.get("scope") or ()]
    return " > ".join(" ".join(part.split()) for part in path if part)


class _Neighbours:
    """The sentences around a chunk, at most ``reach`` characters on either side."""

    def __init__(self, text: str, reach: int) -> None:
        self._text, self._reach = text, reach
        cuts = prose_cuts(text)
        self._cuts = [0]
        for at in [*sorted(at for at, strength in cuts.items() if strength >= Strength.SENTENCE), len(text)]:
            # Blanks between two sentences are no sentence: they belong to the one before.
            if len(self._cuts) > 1 and not text[self._cuts[-1] : at].strip():
                self._cuts[-1] = at
            else:
                self._cuts.append(at)

    def before(self, chunk: Chunk, count: int) -> str:
        at = bisect_left(self._cuts, chunk.start)
        first = max(self._cuts[max(0, at - count)], chunk.start - self._reach)
        return self._text[first : chunk.start].strip() if count else ""

    def after(self, chunk: Chunk, count: int) -> str:
        text, end = self._text, chunk.end
        while end < len(text) and text[end].isspace():
            end += 1
        at = bisect_right(self._cuts, end)
        last = min(self._cuts[min(len(self._cuts), at + count) - 1], chunk.end + self._reach)
        return self._text[chunk.end : last].strip() if count else ""


def _sentences(text: str) -> list[str]:
    cuts = [0, *sorted(at for at, strength in prose_cuts(text).items() if strength >= Strength.SENTENCE), len(text)]
    return [text[start:end] for start, end in pairwise(cuts) if not text[start:end].isspace()]
