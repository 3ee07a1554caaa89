"""LlamaIndex's sentence splitter."""

from __future__ import annotations

from peers.contender import LIMIT, Contender
from peers.vocabularies import encoder
from ragkit.testing.conformance import Piece, TextChunker


def make(_: str, tokenizer: str, overlap: int) -> TextChunker:
    from llama_index.core import Document
    from llama_index.core.node_parser import SentenceSplitter

    splitter = SentenceSplitter(chunk_size=LIMIT, chunk_overlap=overlap, tokenizer=encoder(tokenizer), include_metadata=False)
    return lambda text: [
        Piece(node.text, node.start_char_idx, node.end_char_idx)
        for node in splitter.get_nodes_from_documents([Document(text=text)])
    ]


CONTENDERS = [
    Contender("llama_index.core", "llama-index-core", "sentence", make, "include_metadata=False, a function as tokenizer"),
]
