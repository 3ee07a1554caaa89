"""Which model and which policy a cache is opened with."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

from ragkit.cache.policies import Policy, load_policy
from ragkit.embed import card_differences, load_embedder
from ragkit.errors import StoreMismatchError
from ragkit.seams import Embedder
from ragkit.store.entries import LogRow
from ragkit.types import ModelCard

OtherModel = Literal["error", "exact"]


def stored_card(header: ModelCard | None, rows: Sequence[LogRow]) -> ModelCard | None:
    """The card of the model that a store is of now: the one last written, else the header's."""
    newest = _newest(rows, "card")
    return header if newest is None else ModelCard.from_dict(newest.detail)


def card_for(path: Path, embedder: Embedder | None, stored: ModelCard | None, other_model: OtherModel) -> ModelCard | None:
    """The card to work with: the embedder's, without one the stored.

    Raises StoreMismatchError, naming both, where they differ and ``other_model`` is "error".
    """
    if embedder is None:
        return stored
    card = embedder.card
    if stored is None or stored.fingerprint == card.fingerprint or other_model == "exact":
        return card
    raise StoreMismatchError(
        f"The cache {path} holds prompts embedded by {stored.name!r} (dim {stored.dim}), and the embedder is {card.name!r} "
        f"(dim {card.dim}); their vectors cannot be compared. {'; '.join(card_differences(stored, card))}. Open it with the stored model "
        "(leave embedder out), or with other_model='exact' and then reembed()."
    )


def loader(card: ModelCard) -> Callable[[], Embedder]:
    """A function that loads the embedder of a card, and raises StoreMismatchError where it has changed since."""

    def load() -> Embedder:
        found = load_embedder(card)
        if found.card.fingerprint != card.fingerprint:
            raise StoreMismatchError(
                f"The model {card.name!r} on this machine is not the one that embedded the cache. "
                f"{'; '.join(card_differences(card, found.card))}. Pass the embedder, or open the cache with other_model='exact'."
            )
        return found

    return load


def adopted(rows: Sequence[LogRow], name: str, model: str) -> Policy | None:
    """The policy of that name that was last adopted for the model with the fingerprint ``model``."""
    mine = [
        row for row in rows if row.kind == "adopted" and row.detail["policy"]["policy"] == name and row.detail["model"] == model
    ]
    newest = _newest(mine, "adopted")
    return load_policy(newest.detail["policy"]) if newest is not None else None


def _newest(rows: Sequence[LogRow], kind: str) -> LogRow | None:
    return max((row for row in rows if row.kind == kind), key=lambda row: (row.at, row.row), default=None)
