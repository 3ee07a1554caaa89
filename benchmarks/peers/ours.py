"""ragkit, with its defaults; the contenders of the structured kinds read every text as if it had their structure."""

from __future__ import annotations

from peers.contender import LIMIT, Contender
from peers.vocabularies import vocabulary
from ragkit.testing.conformance import TextChunker

_OPTIONS = {"sentence best": {"packing": "best"}, "code": {"language": "python"}}


def make(kind: str, tokenizer: str, overlap: int) -> TextChunker:
    from ragkit import Document
    from ragkit import chunk as chunkers

    made = getattr(chunkers, f"{kind.split()[0].capitalize()}Chunker")
    chunker = made(LIMIT, overlap=overlap, tokenizer=vocabulary(tokenizer), reserve=0, **_OPTIONS.get(kind, {}))
    return lambda text: chunker(Document(text, id="d"))


CONTENDERS = [
    Contender("ragkit", "ragkit", kind, make, ", ".join(f"{k}={v!r}" for k, v in _OPTIONS.get(kind, {}).items()) or "defaults")
    for kind in ("fixed", "sentence", "sentence best", "recursive", "markdown", "html", "table", "code", "json")
]
