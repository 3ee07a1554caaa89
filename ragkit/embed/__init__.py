"""Embedders: text in, float32 unit rows out. Heavy libraries load on first use."""

from ragkit.embed.adapted import AdaptedEmbedder
from ragkit.embed.adapter import Adapter, Shares, load_adapter
from ragkit.embed.asymmetric import Asks, AsymmetricEmbedder, BridgedEmbedder, PairReport, card_for
from ragkit.embed.cached import CachedEmbedder, CacheStats
from ragkit.embed.coalesced import CoalescingEmbedder
from ragkit.embed.inputs import embed_keys
from ragkit.embed.pairs import PairScorer
from ragkit.embed.reach import Extend
from ragkit.embed.reader import token_reader
from ragkit.embed.rebuild import card_differences, load_embedder
from ragkit.embed.remote import OpenAIEmbedder
from ragkit.embed.transformer import TransformerEmbedder

__all__ = [
    "AdaptedEmbedder",
    "Adapter",
    "Asks",
    "AsymmetricEmbedder",
    "BridgedEmbedder",
    "CacheStats",
    "CachedEmbedder",
    "CoalescingEmbedder",
    "Extend",
    "OpenAIEmbedder",
    "PairScorer",
    "PairReport",
    "Shares",
    "TransformerEmbedder",
    "card_differences",
    "card_for",
    "embed_keys",
    "load_adapter",
    "load_embedder",
    "token_reader",
]
