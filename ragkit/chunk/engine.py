"""What all chunkers share: settings, limits, ids, and the way from a document to its chunks."""

from __future__ import annotations

import copy
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import KW_ONLY, dataclass, fields, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Self

from ragkit.chunk.feed import Feed
from ragkit.chunk.ids import chunk_ids
from ragkit.chunk.layout import Layout
from ragkit.chunk.packer import Piece, pack
from ragkit.chunk.sizes import checked_size
from ragkit.chunk.workers import checked_documents, checked_workers, stream_by_workers
from ragkit.errors import CapabilityError, InvalidInputError
from ragkit.seams import Tokenizer
from ragkit.text import resolve_tokenizer
from ragkit.types import Chunk, Document, Metadata, Span, canonical_json

if TYPE_CHECKING:
    from ragkit.chunk.pipeline import Pipeline, Step

#: A long text is cut in windows of at least this many characters; what ends in the last part of one is cut anew in the next.
_WINDOW, _AHEAD = 512_000, 8_000
#: Characters that a token may have before that part is made longer than _AHEAD.
_WIDE = 8


@dataclass(frozen=True)
class Engine:
    """A chunker: it lays a text out; the engine packs, counts, and holds the limit.

    ``max_tokens`` bounds a chunk's tokens together with ``reserve``, the tokens kept free for what an embedder
    adds (special tokens, a prompt); it defaults to the tokenizer's own ``n_special``. A range ``(least, most)`` says too how
    far a chunk is filled before a stronger boundary is preferred to a later one; a number alone stands for more than half
    of it. No boundary between the two, and the last one before them is taken: only ``most`` is a promise. Neighbouring chunks share at
    most ``overlap`` tokens. ``tokenizer`` is anything ``ragkit.text.resolve_tokenizer`` takes; None means the
    embedder's inside an Index, and the default model's elsewhere.

    Laws: a chunk's text is a slice of the document; its tokens, counted alone by the real tokenizer, fit; without
    overlap the chunks rebuild the document; ids depend only on document id, recipe, span and text. A document that
    is empty or only white space has no chunks.

    Raises InvalidInputError for limits that leave no room, and ChunkLimitError when one character exceeds them.
    """

    max_tokens: int | tuple[int, int] = 256
    _: KW_ONLY
    overlap: int = 0
    tokenizer: Any = None
    reserve: int | None = None

    kind: ClassVar[str]
    #: Whether the layout of a part of a text is that part of the layout of the text: then texts may be cut while they arrive.
    local: ClassVar[bool] = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "max_tokens", checked_size(self.max_tokens))
        if not isinstance(self.overlap, int) or isinstance(self.overlap, bool) or self.overlap < 0:
            raise InvalidInputError(f"overlap is {self.overlap!r}; it must be a whole number of tokens, at least 0.")
        if self.reserve is not None and (not isinstance(self.reserve, int) or isinstance(self.reserve, bool) or self.reserve < 0):
            raise InvalidInputError(f"reserve is {self.reserve!r}; it must be a whole number of tokens, at least 0, or None.")
        if self.tokenizer is not None:
            object.__setattr__(self, "tokenizer", resolve_tokenizer(self.tokenizer))

    @cached_property
    def _counter(self) -> Tokenizer:
        return resolve_tokenizer(self.tokenizer)

    @property
    def _most(self) -> int:
        return self.max_tokens if isinstance(self.max_tokens, int) else self.max_tokens[1]

    @property
    def _reserve(self) -> int:
        return self._counter.n_special if self.reserve is None else self.reserve

    @cached_property
    def _limit(self) -> int:
        """Tokens left for a chunk's text."""
        limit = self._most - self._reserve
        if limit < 1:
            raise InvalidInputError(
                f"max_tokens is {self._most} and {self._reserve} of them are reserved for special tokens and prompts: no room "
                f"for text. Use max_tokens > {self._reserve}."
            )
        if self.overlap >= limit:
            raise InvalidInputError(
                f"overlap is {self.overlap} and a chunk holds at most {limit} tokens of text; overlap must be smaller. "
                "Lower overlap or raise max_tokens."
            )
        return limit

    @cached_property
    def _ahead(self) -> int:
        """Characters at the end of a window that are cut anew in the next one."""
        return max(_AHEAD, self._limit * _WIDE)

    @cached_property
    def _least(self) -> int:
        """A stronger boundary counts for more than a later one behind more than so many tokens of text."""
        return self._limit // 2 if isinstance(self.max_tokens, int) else max(0, self.max_tokens[0] - self._reserve - 1)

    @cached_property
    def recipe(self) -> str:
        """Every choice that moves a boundary, as canonical JSON."""
        return canonical_json({"chunker": self.kind} | self._settings())

    def _settings(self) -> dict[str, Any]:
        own = {item.name: getattr(self, item.name) for item in fields(self) if item.name not in ("tokenizer", "embedder")}
        return own | {"tokenizer": self._counter.name}

    def bind(self, tokenizer: Tokenizer, /, *, window: int | None = None) -> Self:
        """This chunker on an embedder's tokenizer, unless it has one of its own.

        Raises InvalidInputError when ``max_tokens`` exceeds the embedder's ``window``.
        """
        if self.tokenizer is not None:
            return self
        if window is not None and self._most > window:
            raise InvalidInputError(
                f"max_tokens is {self._most}, and the embedding model reads at most {window} tokens. Use max_tokens <= {window}."
            )
        return replace(self, tokenizer=tokenizer)

    @property
    def counter(self) -> Tokenizer:
        """The tokenizer that judges this chunker's limit."""
        return self._counter

    def keeping_free(self, tokens: int) -> Self:
        """This chunker with room for so many more ``tokens`` beside each chunk's text; InvalidInputError where none is left."""
        if tokens and self._most <= self._reserve + tokens:
            raise InvalidInputError(
                f"max_tokens is {self._most}; {tokens} of them are kept free for context and {self._reserve} for special tokens and "
                f"prompts: no room for text. Use max_tokens > {self._reserve + tokens}, or less context: Situate(max_tokens=...)."
            )
        return replace(self, reserve=self._reserve + tokens) if tokens else self

    def __or__(self, step: Step) -> Pipeline:
        """This chunker, its chunks then going through ``step``: ``chunker | Situate() | Late()``."""
        from ragkit.chunk.pipeline import pipe

        return pipe(self, step)

    def layout(self, document: Document) -> Layout:
        """Where the document's text may be cut."""
        raise NotImplementedError

    def __call__(self, document: Document, /) -> list[Chunk]:
        """The chunks of one document, in order."""
        return list(self.stream([document]))

    def stream(self, documents: Iterable[Document], /, *, workers: int = 1) -> Iterator[Chunk]:
        """The chunks of many documents, lazily: neither the documents nor the chunks are gathered.

        With several ``workers``, so many new processes cut, and the same chunks come in the same order; documents are read
        a little ahead. See ``ragkit.chunk.workers``.
        """
        checked_documents(documents)
        if checked_workers(workers) > 1:
            return stream_by_workers(self, documents, workers)
        return self._stream(documents)

    def _stream(self, documents: Iterable[Document]) -> Iterator[Chunk]:
        for document in documents:
            if not isinstance(document, Document):
                raise InvalidInputError(
                    f"A chunker takes a Document, not {type(document).__name__}. Wrap the text: Document(text)."
                )
            yield from self._chunks(document)

    def stream_text(self, pieces: Iterable[str], /, *, id: str, metadata: Metadata | None = None) -> Iterator[Chunk]:
        """The chunks of one text while it arrives, in memory that does not grow with it.

        However the text is cut into ``pieces``, the chunks are those of ``Document("".join(pieces), id=id, metadata=...)``.
        ``id`` must be given, for the digest of a text is not known before its end.

        Raises CapabilityError where the whole text is needed to lay it out (Markdown, HTML, code, JSON, meaning),
        InvalidInputError for a piece that is no str; what ``pieces`` raises goes through, with a note on how far it came.
        """
        if not self.local:
            raise CapabilityError(
                f"{type(self).__name__} needs the whole text to see its structure. Put the pieces together: "
                "chunker(Document(''.join(pieces), id=...)), or stream with FixedChunker, SentenceChunker, RecursiveChunker or "
                "TableChunker."
            )
        if not isinstance(id, str) or not id:
            raise InvalidInputError(
                f"id is {id!r}; a text that arrives in pieces needs the document's id, a str that is not empty."
            )
        if isinstance(pieces, (str, bytes)) or not isinstance(pieces, Iterable):
            raise InvalidInputError(
                f"pieces is a {type(pieces).__name__}; give an iterable of str, or the text whole: Document(text)."
            )
        empty = Document("", id=id, metadata=metadata or {})
        return self._cut(Feed(pieces), empty)

    def _chunks(self, document: Document) -> Iterator[Chunk]:
        yield from self._cut(Feed.of(document.text), document)

    def _cut(self, feed: Feed, document: Document) -> Iterator[Chunk]:
        """The chunks of the text in ``feed``, of which ``document`` tells id and metadata."""
        limit, ahead = self._limit, self._ahead
        if feed.blank():
            return
        window = size = max(_WINDOW, 16 * ahead) if self.local else len(document.text)
        identify = chunk_ids(document.id, self.recipe)
        head: str | None = None
        index = done = 0
        while True:
            base = feed.base
            text, ended = feed.window(size)
            part = document if len(text) == len(document.text) else Document(text, id=document.id, metadata=document.metadata)
            layout = self._next_layout(part, head) if base and head is not None else self.layout(part)
            head = text[:ahead] if head is None else head
            settled = len(text) if ended else min(len(text) - ahead, layout.settled or len(text))
            sections = [start for start, _ in layout.sections]
            pieces = pack(text, layout, self._counter, limit=limit, overlap=self.overlap, least=self._least, done=done - base)
            for piece in pieces:
                if piece.end > settled:
                    break
                done = base + piece.end
                found = _found(layout, sections, text, piece) if sections else None
                start, body = base + piece.start, text[piece.start : piece.end]
                yield Chunk(
                    id=identify(start, done, body),
                    doc_id=document.id,
                    start=start,
                    end=done,
                    text=body,
                    window=Span(start, done),
                    index=index,
                    n_tokens=piece.n_tokens,
                    context=piece.context,
                    metadata=_own({**document.metadata, **found} if found else document.metadata),
                )
                index += 1
            else:
                return
            # Nothing of this window could be settled: a chunk or a blank run longer than expected.
            size = window if piece.start else 2 * size
            feed.drop(piece.start)

    def _next_layout(self, document: Document, head: str) -> Layout:
        """The layout of a later window, as a document of its own, of a text that begins with ``head``."""
        return self.layout(document)


def _own(metadata: Metadata) -> dict[str, Any]:
    """A copy that shares no list or dict with its source."""
    return {key: copy.deepcopy(value) if isinstance(value, (list, dict)) else value for key, value in metadata.items()}


def _found(layout: Layout, sections: Sequence[int], text: str, piece: Piece) -> Metadata | None:
    """What the layout knows of the place of a piece's first visible character."""
    body = text[piece.start : piece.end]
    at = bisect_right(sections, piece.start + len(body) - len(body.lstrip())) - 1
    return layout.sections[at][1] if at >= 0 else None
