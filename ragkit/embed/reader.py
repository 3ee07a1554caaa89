"""Which embedders give the states of single tokens."""

from __future__ import annotations

from ragkit.embed.adapted import AdaptedEmbedder
from ragkit.embed.cached import CachedEmbedder
from ragkit.embed.coalesced import CoalescingEmbedder
from ragkit.seams import Embedder, TokenReader


def token_reader(embedder: Embedder) -> TokenReader | None:
    """The embedder where it gives the states of single tokens; None where it does not, or the one it wraps does not."""
    base = embedder
    while isinstance(base, (AdaptedEmbedder, CachedEmbedder, CoalescingEmbedder)):
        base = base.base if isinstance(base, AdaptedEmbedder) else base.embedder
    return embedder if isinstance(embedder, TokenReader) and isinstance(base, TokenReader) else None
