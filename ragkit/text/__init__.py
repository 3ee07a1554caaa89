"""Tools for text: tokenizers, Unicode facts, sentence and line boundaries."""

from ragkit.text.bpe import TiktokenTokenizer
from ragkit.text.counting import CharacterTokenizer, FunctionTokenizer, WordTokenizer
from ragkit.text.huggingface import HuggingFaceTokenizer
from ragkit.text.resolve import resolve_tokenizer
from ragkit.text.unicode import cluster_start, encodable

__all__ = [
    "CharacterTokenizer",
    "FunctionTokenizer",
    "HuggingFaceTokenizer",
    "TiktokenTokenizer",
    "WordTokenizer",
    "cluster_start",
    "encodable",
    "resolve_tokenizer",
]
