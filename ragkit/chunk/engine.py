"""What all chunkers share: settings, limits, ids, and the way from a document to its chunks."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import KW_ONLY, dataclass, fields, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Self

from ragkit.chunk.layout import Layout
from ragkit.chunk.packer import pack
from ragkit.errors import InvalidInputError
from ragkit.seams import Tokenizer
from ragkit.text import resolve_tokenizer
from ragkit.types import Chunk, Document, Metadata, Span, canonical_json, digest

if TYPE_CHECKING:
    from ragkit.chunk.pipeline import Pipeline, Step


@dataclass(frozen=True)
class Engine:
    """A chunker: it lays a text out; the engine packs, counts, and holds the limit.

    ``max_tokens`` bounds a chunk's tokens together with ``reserve``, the tokens kept free for what an embedder
    adds (special tokens, a prompt); it defaults to the tokenizer's own ``n_special``. Neighbouring chunks share at
    most ``overlap`` tokens. ``tokenizer`` is anything ``ragkit.text.resolve_tokenizer`` takes; None means the
    embedder's inside an Index, and the default model's elsewhere.

    Laws: a chunk's text is a slice of the document; its tokens, counted alone by the real tokenizer, fit; without
    overlap the chunks rebuild the document; ids depend only on document id, recipe, span and text. A document that
    is empty or only white space has no chunks.

    Raises InvalidInputError for limits that leave no room, and ChunkLimitError when one character exceeds them.
    """

    max_tokens: int = 256
    _: KW_ONLY
    overlap: int = 0
    tokenizer: Any = None
    reserve: int | None = None

    kind: ClassVar[str]

    def __post_init__(self) -> None:
        for name, least in (("max_tokens", 1), ("overlap", 0)):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < least:
                raise InvalidInputError(f"{name} is {value!r}; it must be a whole number of tokens, at least {least}.")
        if self.reserve is not None and (not isinstance(self.reserve, int) or self.reserve < 0):
            raise InvalidInputError(f"reserve is {self.reserve!r}; it must be a whole number of tokens, at least 0, or None.")
        if self.tokenizer is not None:
            object.__setattr__(self, "tokenizer", resolve_tokenizer(self.tokenizer))

    @cached_property
    def _counter(self) -> Tokenizer:
        return resolve_tokenizer(self.tokenizer)

    @cached_property
    def _limit(self) -> int:
        """Tokens left for a chunk's text."""
        reserve = self._counter.n_special if self.reserve is None else self.reserve
        limit = self.max_tokens - reserve
        if limit < 1:
            raise InvalidInputError(
                f"max_tokens is {self.max_tokens} and {reserve} of them are reserved for special tokens and prompts: no room "
                f"for text. Use max_tokens > {reserve}."
            )
        if self.overlap >= limit:
            raise InvalidInputError(
                f"overlap is {self.overlap} and a chunk holds at most {limit} tokens of text; overlap must be smaller. "
                "Lower overlap or raise max_tokens."
            )
        return limit

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
        if window is not None and self.max_tokens > window:
            raise InvalidInputError(
                f"max_tokens is {self.max_tokens}, and the embedding model reads at most {window} tokens. "
                f"Use max_tokens <= {window}."
            )
        return replace(self, tokenizer=tokenizer)

    @property
    def counter(self) -> Tokenizer:
        """The tokenizer that judges this chunker's limit."""
        return self._counter

    def keeping_free(self, tokens: int) -> Self:
        """This chunker with room for so many more ``tokens`` beside each chunk's text."""
        reserve = self._counter.n_special if self.reserve is None else self.reserve
        return replace(self, reserve=reserve + tokens) if tokens else self

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

    def stream(self, documents: Iterable[Document], /) -> Iterator[Chunk]:
        """The chunks of many documents, lazily: neither the documents nor the chunks are gathered."""
        for document in documents:
            if not isinstance(document, Document):
                raise InvalidInputError(
                    f"A chunker takes a Document, not {type(document).__name__}. Wrap the text: Document(text)."
                )
            yield from self._chunks(document)

    def _chunks(self, document: Document) -> Iterator[Chunk]:
        text, doc_id, recipe, limit = document.text, document.id, self.recipe, self._limit
        if not text or text.isspace():
            return
        layout = self.layout(document)
        sections = [start for start, _ in layout.sections]
        for index, piece in enumerate(pack(text, layout, self._counter, limit=limit, overlap=self.overlap)):
            start, end = piece.start, piece.end
            body = text[start:end]
            metadata: Metadata = document.metadata
            if sections:
                visible = start + len(body) - len(body.lstrip())
                at = bisect_right(sections, visible) - 1
                metadata = {**document.metadata, **layout.sections[at][1]} if at >= 0 else document.metadata
            yield Chunk(
                id=digest(doc_id, recipe, f"{start}:{end}", body),
                doc_id=doc_id,
                start=start,
                end=end,
                text=body,
                window=Span(start, end),
                index=index,
                n_tokens=piece.n_tokens,
                metadata=dict(metadata),
            )
