"""Questions by one model, documents by another: a pair that was made for it, or one joined by a bridge."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from threading import RLock
from typing import Protocol, runtime_checkable

import numpy as np

from ragkit.errors import CapabilityError, InvalidInputError, StoreMismatchError
from ragkit.seams import Embedder, Tokenizer, Vectors
from ragkit.types import Chunk, Document, ModelCard, canonical_json
from ragkit.vec.bridge import Bridge

Items = Sequence[tuple[Document, Sequence[Chunk]]]

#: Texts of different matters, so that models of one space agree on each and tell them apart.
PROBES = (
    "The train to the coast leaves at half past seven.", "Add two eggs and stir until the dough is smooth.",
    "The court dismissed the appeal in March.", "A request gives up after thirty seconds without an answer.",
    "Whales breathe air and nurse their young.", "Interest rates rose for the third time this year.",
    "The bridge was closed because of heavy snow.", "She plays the cello in a small orchestra.",
    "Vaccines train the immune system to recognise a virus.", "The function returns the largest number in a list.",
    "Roman roads connected the provinces with the capital.", "The match ended without a goal.",
    "Solar panels turn sunlight into electricity.", "The novel tells of a family over three generations.",
    "Rinse the wound and cover it with a clean cloth.", "The telescope photographed a distant galaxy.",
)  # fmt: skip


@runtime_checkable
class Asks(Protocol):
    """An embedder whose questions may be put to vectors of ``asks``, though its own card is another."""

    @property
    def asks(self) -> ModelCard: ...


def card_for(embedder: Embedder, stored: ModelCard) -> ModelCard:
    """The card to hold against a database's: ``stored`` where the embedder may ask it, else its own."""
    asks = embedder.asks.fingerprint if isinstance(embedder, Asks) else ""
    return stored if asks == stored.fingerprint else embedder.card


@dataclass(frozen=True, slots=True, kw_only=True)
class PairReport:
    """How well two models understand each other on probe texts.

    ``cosine`` is the mean cosine of a text as a question by the one and as a document by the other, ``others`` that of different texts,
    ``found`` the share of questions whose own text is nearest.
    """

    cosine: float
    others: float
    found: float
    probes: int


class AsymmetricEmbedder:
    """Documents by one model, questions by another, usually smaller one that was trained to meet its vectors (LEAF, 2509.12539).

    Before the first question both read ``probes``: a mean cosine below ``least``, or a text in ten that does not find itself, raises
    InvalidInputError, as do different dimensions. A database made by the documents' model may be opened with a pair: what is stored is that
    model's all the same. A database made with a pair names both in its card.
    """

    def __init__(self, *, documents: Embedder, queries: Embedder, least: float = 0.6, probes: Sequence[str] = PROBES) -> None:
        if not 0.0 <= least <= 1.0:
            raise InvalidInputError(f"least is {least!r}; it is a cosine between 0 and 1.")
        if len(probes) < 2:
            raise InvalidInputError(f"probes holds {len(probes)} texts; at least two are needed to tell them apart.")
        self.documents, self.queries = documents, queries
        self._least, self._probes = least, tuple(probes)
        self._lock = RLock()
        self._report: PairReport | None = None

    def __repr__(self) -> str:
        return f"AsymmetricEmbedder(documents={self.documents!r}, queries={self.queries!r})"

    @cached_property
    def card(self) -> ModelCard:
        """The documents' card with that of the questions' model among its settings."""
        ours, theirs = self.documents.card, self.queries.card
        if ours.dim != theirs.dim:
            raise InvalidInputError(
                f"Documents by {ours.name!r} have {ours.dim} dimensions and questions by {theirs.name!r} {theirs.dim}: they cannot be "
                "compared. Use a model of the same space, or a BridgedEmbedder for the questions."
            )
        return replace(ours, settings={**ours.settings, "queries": canonical_json(theirs.to_dict())})

    @property
    def asks(self) -> ModelCard:
        """The documents' card."""
        return self.documents.card

    @property
    def asking(self) -> Embedder:
        """The model for questions, once the pair is known to fit."""
        self.check()
        return self.queries

    @property
    def tokenizer(self) -> Tokenizer | None:
        """The documents' tokenizer."""
        return self.documents.tokenizer

    def check(self) -> PairReport:
        """How well the pair fits; raises InvalidInputError where it does not. The texts are read once."""
        assert self.card
        with self._lock:
            if self._report is None:
                scores = self.queries.embed_queries(self._probes) @ self.documents.embed_texts(self._probes).T
                own = np.diagonal(scores)
                found = float((scores.argmax(axis=1) == np.arange(len(own))).mean())
                others = float((scores.sum() - own.sum()) / (scores.size - len(own)))
                self._report = PairReport(cosine=float(own.mean()), others=others, found=found, probes=len(own))
        report = self._report
        if report.cosine < self._least or report.found < 0.9:
            raise InvalidInputError(
                f"Questions by {self.queries.card.name!r} do not meet documents by {self.documents.card.name!r}: on {report.probes} probe texts their mean "
                f"cosine is {report.cosine:.2f} (at least {self._least:.2f} is wanted) and {report.found:.0%} of the texts find themselves (90%). Use "
                "a model that was trained for these documents, or fit_bridge and a BridgedEmbedder."
            )
        return report

    def embed_texts(self, texts: Sequence[str], /) -> Vectors:
        """``(n, dim)`` by the documents' model."""
        return self.documents.embed_texts(texts)

    def embed_queries(self, texts: Sequence[str], /) -> Vectors:
        """``(n, dim)`` by the questions' model."""
        return self.asking.embed_queries(texts)

    def embed_query(self, text: str, /) -> Vectors:
        """``(dim,)`` by the questions' model."""
        return self.asking.embed_query(text)

    def embed_chunks(self, document: Document, chunks: Sequence[Chunk], /) -> Vectors:
        """``(n, dim)`` by the documents' model."""
        return self.documents.embed_chunks(document, chunks)

    def embed_batch(self, items: Items, /) -> Vectors:
        """``(n, dim)`` by the documents' model."""
        return self.documents.embed_batch(items)


class BridgedEmbedder:
    """Questions by a new model, carried over a bridge to the vectors of an old one. Documents it refuses: nothing bridged is ever stored.

    Open the old model's database with it while that is moved, or as the ``queries`` of an AsymmetricEmbedder. Raises StoreMismatchError for an
    embedder that the bridge was not fitted for, when the card is first asked for.
    """

    def __init__(self, embedder: Embedder, bridge: Bridge) -> None:
        self.embedder, self.bridge = embedder, bridge

    def __repr__(self) -> str:
        return f"BridgedEmbedder({self.embedder!r}, bridge={self.bridge.fingerprint!r})"

    @cached_property
    def card(self) -> ModelCard:
        """The new model's card in the old one's dimensions, with the bridge's fingerprint among its settings."""
        card = self.embedder.card
        if card.fingerprint != self.bridge.new.fingerprint:
            raise StoreMismatchError(
                f"This bridge was fitted for questions of {self.bridge.new.name!r} ({self.bridge.new.fingerprint}), and the embedder is {card.name!r} "
                f"({card.fingerprint}). Fit one for it."
            )
        return replace(card, dim=self.bridge.old.dim, settings={**card.settings, "bridge": self.bridge.fingerprint})

    @property
    def asks(self) -> ModelCard:
        """The old model's card."""
        return self.bridge.old

    @property
    def tokenizer(self) -> Tokenizer | None:
        """The new model's tokenizer."""
        return self.embedder.tokenizer

    def embed_queries(self, texts: Sequence[str], /) -> Vectors:
        """``(n, dim)`` in the old model's space."""
        assert self.card
        return self.bridge(self.embedder.embed_queries(texts))

    def embed_query(self, text: str, /) -> Vectors:
        """``(dim,)`` in the old model's space."""
        vector: Vectors = self.embed_queries([text])[0]
        return vector

    def embed_texts(self, texts: Sequence[str], /) -> Vectors:
        """Raises CapabilityError."""
        raise self._refusal()

    def embed_chunks(self, document: Document, chunks: Sequence[Chunk], /) -> Vectors:
        """Raises CapabilityError."""
        raise self._refusal()

    def embed_batch(self, items: Items, /) -> Vectors:
        """Raises CapabilityError."""
        raise self._refusal()

    def _refusal(self) -> CapabilityError:
        return CapabilityError(
            f"A bridge carries questions only; documents of this database are embedded by {self.bridge.old.name!r}. Add them with that model, or "
            f"move the database to {self.bridge.new.name!r} first."
        )
