"""The seams between parts: small Protocols that anyone may implement.

A seam says what the layer above needs and nothing more. Implementations live in the workshops
(``chunk``, ``embed``, ...) or in the user's own code; ``ragkit.testing`` holds suites that check them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from ragkit.types import Chunk, Document, ModelCard

Vectors = NDArray[np.float32]
Offsets = NDArray[np.int64]


@runtime_checkable
class Tokenizer(Protocol):
    """Counts tokens, and knows where they start.

    ``name`` identifies the vocabulary and enters recipes and ids. ``n_special`` is how many tokens a model
    adds around a text (special tokens, and its prompt when an embedder made this tokenizer).
    """

    @property
    def name(self) -> str: ...

    @property
    def n_special(self) -> int: ...

    def count_batch(self, texts: Sequence[str], /) -> list[int]:
        """Exact token counts of each text alone, without special tokens. The judge of every limit."""
        ...

    def starts_batch(self, texts: Sequence[str], /) -> list[Offsets]:
        """For each text, the offset of every token's first character: int64 ``(n_tokens,)``, ascending.

        May be an estimate where ``additive_at`` vouches for nothing: callers find cuts with it, and ask
        ``count_batch`` to judge them wherever ``additive_at`` does not vouch for the cut.
        """
        ...

    def additive_at(self, text: str, position: int, /) -> bool:
        """True when cutting ``text`` at ``position`` certainly leaves every token on both sides as it was.

        Holds for any cut of a cut: counts between two such positions may be added up from ``starts_batch``. A
        tokenizer that cannot promise that, even for the ends of the text, always says False.
        """
        ...


@runtime_checkable
class Chunker(Protocol):
    """Cuts a document into chunks; ``recipe`` is canonical JSON that names every choice."""

    @property
    def recipe(self) -> str: ...

    def __call__(self, document: Document, /) -> list[Chunk]: ...

    def stream(self, documents: Iterable[Document], /) -> Iterator[Chunk]: ...

    def bind(self, tokenizer: Tokenizer, /, *, window: int | None = None) -> Chunker:
        """The same chunker on this tokenizer, unless it was given one of its own.

        ``window`` is the longest input the embedder takes (tokens, special tokens and prompt included):
        a chunker whose limit is larger raises InvalidInputError instead of making chunks that cannot be embedded.
        """
        ...


@runtime_checkable
class Embedder(Protocol):
    """Turns texts and chunks into vectors: float32, unit rows, one per input, in the order given."""

    @property
    def card(self) -> ModelCard: ...

    @property
    def tokenizer(self) -> Tokenizer | None:
        """The model's own tokenizer, or None for a remote model that does not tell."""
        ...

    def embed_texts(self, texts: Sequence[str], /) -> Vectors:
        """``(n, dim)`` document-side vectors of plain texts."""
        ...

    def embed_query(self, text: str, /) -> Vectors:
        """``(dim,)`` query-side vector."""
        ...

    def embed_queries(self, texts: Sequence[str], /) -> Vectors:
        """``(n, dim)`` query-side vectors."""
        ...

    def embed_chunks(self, document: Document, chunks: Sequence[Chunk], /) -> Vectors:
        """``(n, dim)``: encode each chunk's window with its context, pool its span."""
        ...

    def embed_batch(self, items: Sequence[tuple[Document, Sequence[Chunk]]], /) -> Vectors:
        """``embed_chunks`` over many documents at once, rows in order; lets batches cross documents."""
        ...


class TokenStates(NamedTuple):
    """What a model made of the tokens of one text, or of one pass over a text longer than its window.

    Special tokens, prompt and context are left out; every token of the text is in exactly one pass. ``ids`` int32
    ``(n,)`` are the tokenizer's, ``starts`` and ``ends`` int64 ``(n,)`` their characters in the text (for a chunk: in the
    chunk's text), ``states`` float32 ``(n, layers x hidden)`` the asked layers' outputs side by side, in the order asked.
    """

    ids: NDArray[np.int32]
    starts: Offsets
    ends: Offsets
    states: NDArray[np.float32]


#: Called with a row, a pass over its text (counted from 0) and what was read, in no promised order.
Receive = Callable[[int, int, TokenStates], None]


@runtime_checkable
class TokenReader(Protocol):
    """An embedder that also gives the states of single tokens: layer 0 is the input, layer i the output of layer i."""

    @property
    def card(self) -> ModelCard: ...

    def embed_and_read(
        self, items: Sequence[tuple[Document, Sequence[Chunk]]], /, *, layers: Sequence[int], receive: Receive
    ) -> Vectors:
        """``embed_batch``, from the same passes through the model: ``receive`` gets every row's own tokens as well."""
        ...

    def embed_and_read_queries(self, texts: Sequence[str], /, *, layers: Sequence[int]) -> tuple[Vectors, list[TokenStates]]:
        """``embed_queries``, from the same passes: ``(n, dim)`` vectors, and for each query its tokens."""
        ...

    def read_texts(self, texts: Sequence[str], /, *, layers: Sequence[int]) -> list[list[TokenStates]]:
        """For each text its passes, in order; texts of any length, with the document prompt."""
        ...

    def read_queries(self, texts: Sequence[str], /, *, layers: Sequence[int]) -> list[TokenStates]:
        """For each query its tokens, with the query prompt; a query beyond the window is read in passes, put together."""
        ...
