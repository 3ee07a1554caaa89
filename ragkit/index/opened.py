"""An open index: what it was opened with, and what the database says it must be used with."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from copy import copy
from pathlib import Path
from threading import RLock
from types import TracebackType
from typing import Any, Literal, Self

from ragkit.chunk import RecursiveChunker, from_recipe
from ragkit.embed import TransformerEmbedder, card_differences, card_for, load_embedder
from ragkit.errors import InvalidInputError, StoreMismatchError
from ragkit.index.binding import bound, check_readable
from ragkit.index.codes import IndexCodes
from ragkit.index.history import History
from ragkit.lexical import Analyzer, Bm25
from ragkit.rerank.types import Compressor
from ragkit.retrieve import DEFAULT_BM25, DEFAULT_FUSION, Fusion
from ragkit.seams import Chunker, Embedder
from ragkit.store import ChunkStore, Column, Header, declare, declared
from ragkit.store.coded import use_codec
from ragkit.store.versions import number_of
from ragkit.types import ModelCard
from ragkit.vec.codecs import Codec


class Opened:
    """A database with its model, chunker and analyzer; ``ragkit.index.Index`` says what it takes."""

    def __init__(
        self,
        path: str | Path,
        *,
        chunker: Chunker | None = None,
        embedder: Embedder | None = None,
        analyzer: Analyzer | None = None,
        fusion: Fusion | None = None,
        bm25: Bm25 = DEFAULT_BM25,
        compressor: Compressor | Literal["auto"] | None = "auto",
        columns: Mapping[str, Any] | Iterable[Column] | None = None,
        codec: str | Codec | None = None,
        create: bool = True,
    ) -> None:
        if fusion is not None and not callable(getattr(fusion, "fit", None)):
            raise InvalidInputError(f"fusion is {fusion!r}; give one of ragkit.retrieve, such as Adaptive() or Rrf().")
        self.path = Path(path)
        self._given_chunker, self._embedder, self._compressor = chunker, embedder, compressor
        self._chunker: Chunker | None = None
        self._fusion = DEFAULT_FUSION if fusion is None else fusion
        self._bm25 = bm25
        self._lock = RLock()
        self.codes = IndexCodes(lambda: self._store, lambda: self.embedder, compressor)
        header, typed = None, declared(columns)
        if create and not ChunkStore.exists(self.path):
            header = self._new_header(analyzer or Analyzer()).declaring(typed)
        self._store = ChunkStore.open(self.path, create=header)
        stored = self._store.header
        if self._embedder is not None:
            _same_model(self.path, stored.card, card_for(self._embedder, stored.card))
        if chunker is not None:
            check_readable(chunker, stored.card)
        if analyzer is not None and analyzer.recipe != stored.analyzer:
            raise StoreMismatchError(
                f"{self.path} was written with the analyzer {stored.analyzer}, and {analyzer.recipe} was given. "
                "Leave analyzer out to use the stored one, or index the documents into another path."
            )
        self.analyzer = Analyzer.from_recipe(stored.analyzer)
        if typed:
            declare(self._store, typed)
        if codec is not None:
            use_codec(self._store, codec)

    def _new_header(self, analyzer: Analyzer) -> Header:
        from ragkit import __version__

        if self._embedder is None:
            self._embedder = TransformerEmbedder()
        self._chunker = bound(self._given_chunker or RecursiveChunker(max_tokens=256), self._embedder)
        return Header(card=self._embedder.card, analyzer=analyzer.recipe, chunker=self._chunker.recipe, ragkit=__version__)

    @property
    def card(self) -> ModelCard:
        """The card of the model whose vectors are stored."""
        return self._store.header.card

    @property
    def embedder(self) -> Embedder:
        """The embedding model, loaded from the stored card where none was given.

        Raises ModelNotFoundError when it is not on this machine, StoreMismatchError when it has changed.
        """
        with self._lock:
            if self._embedder is None:
                embedder = load_embedder(self.card)
                _same_model(self.path, self.card, embedder.card)
                self._embedder = embedder
            return self._embedder

    @property
    def chunker(self) -> Chunker:
        """The chunker of the next ``add``: the one given, else the one last used on this database.

        Raises InvalidInputError or StoreMismatchError when that one was not ragkit's, or had a tokenizer of its own.
        """
        with self._lock:
            if self._chunker is None:
                if self._given_chunker is not None:
                    self._chunker = bound(self._given_chunker, self.embedder)
                else:
                    recipe = self._store.last_recipe()
                    chunker = bound(from_recipe(recipe), self.embedder)
                    if chunker.recipe != recipe:
                        raise StoreMismatchError(
                            f"The chunker last used on {self.path} cannot be rebuilt: its recipe is {recipe}, and rebuilt on this model's "
                            f"tokenizer it is {chunker.recipe}. Pass the chunker: Index(path, chunker=...)."
                        )
                    self._chunker = chunker
            return self._chunker

    @property
    def columns(self) -> tuple[Column, ...]:
        """The declared metadata columns, whoever declared them."""
        return self._store.columns()

    @property
    def history(self) -> History:
        """The versions of this index: ``versions()``, ``tag(name)``, ``untag(name)``, ``restore(version)``."""
        return History(self._store)

    def at(self, version: int | str) -> Self:
        """This index as it was at a version or a tag, for reading only; close it as any other.

        Both arms, their statistics, chunks and counts are those of that version; a write raises StoreError. Raises StoreError for a
        version that is not there, or no longer, and StoreMismatchError for one with the vectors of another model.
        """
        old = copy(self)
        old._store = self._store.at(number_of(self._store, version))
        _same_model(self.path, old.card, self.card)
        old._chunker = None
        old.codes = IndexCodes(lambda: old._store, lambda: old.embedder, self._compressor)
        return old

    def close(self) -> None:
        """Let go of the database; later calls raise StoreError."""
        self._store.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Index({str(self.path)!r}, model={self.card.name!r})"


def _same_model(path: Path, stored: ModelCard, given: ModelCard) -> None:
    """Raise StoreMismatchError, naming both cards and where they differ."""
    if stored.fingerprint == given.fingerprint:
        return
    raise StoreMismatchError(
        f"{path} holds vectors of the model {stored.name!r} (dim {stored.dim}), and the embedder is {given.name!r} (dim {given.dim}); "
        f"vectors of different models cannot be compared. {'; '.join(card_differences(stored, given))}. Open it with the stored model (leave embedder out), "
        "or index the documents into another path."
    )
