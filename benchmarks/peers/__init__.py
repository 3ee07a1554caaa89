"""The chunkers that benchmarks/conformance.py compares, one module per library."""

from __future__ import annotations

from peers import chonkie, haystack, langchain, llama_index, ours, semantic_text_splitter, semchunk

_MODULES = (ours, chonkie, semchunk, semantic_text_splitter, langchain, llama_index, haystack)
CONTENDERS = {contender.name: contender for module in _MODULES for contender in module.CONTENDERS}
