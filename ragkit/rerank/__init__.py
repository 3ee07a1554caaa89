"""Reranking with compressed passages: each is compressed once, and questions are scored against the codes, not the text."""

from ragkit.rerank.attentive import TransformerScorer
from ragkit.rerank.blend import Blend
from ragkit.rerank.compressor import TokenCompressor
from ragkit.rerank.cross_encoder import CrossEncoderReranker
from ragkit.rerank.explain import Explanation, explain
from ragkit.rerank.late import LateInteractionReranker
from ragkit.rerank.reranker import CompressedReranker
from ragkit.rerank.texts import TextReranker, reranker_from
from ragkit.rerank.types import Code, Compressor, CompressorCard, QueryCode

__all__ = [
    "Blend",
    "Code",
    "CompressedReranker",
    "Compressor",
    "CompressorCard",
    "CrossEncoderReranker",
    "Explanation",
    "LateInteractionReranker",
    "QueryCode",
    "TextReranker",
    "TokenCompressor",
    "TransformerScorer",
    "explain",
    "reranker_from",
]
