"""Embedders: text in, float32 unit rows out. Heavy libraries load on first use."""

from ragkit.embed.inputs import embed_key
from ragkit.embed.transformer import TransformerEmbedder

__all__ = ["TransformerEmbedder", "embed_key"]
