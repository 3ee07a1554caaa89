"""The tokenizers that contenders count with, as people hold them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ragkit.weights import find_model

TOKENIZERS = {
    "cl100k": "the encoding cl100k_base of tiktoken",
    "MiniLM": "the WordPiece tokenizer of all-MiniLM-L6-v2, truncation and padding switched off",
    "MiniLM as shipped": "the same file as its authors ship it: truncation and padding on, at 128 tokens",
}


def vocabulary(tokenizer: str) -> Any:
    """The object that people hold: a ``tiktoken.Encoding`` or a ``tokenizers.Tokenizer``."""
    if tokenizer == "cl100k":
        import tiktoken

        return tiktoken.get_encoding("cl100k_base")
    from tokenizers import Tokenizer

    backend = Tokenizer.from_file(str(find_model("all-MiniLM-L6-v2") / "tokenizer.json"))
    if tokenizer == "MiniLM":
        backend.no_truncation()
        backend.no_padding()
    return backend


def encoder(tokenizer: str) -> Callable[[str], list[int]]:
    """Text to token ids without special tokens; strings that look like special tokens are text."""
    held = vocabulary(tokenizer)
    if tokenizer == "cl100k":
        return held.encode_ordinary
    return lambda text: held.encode(text, add_special_tokens=False).ids
