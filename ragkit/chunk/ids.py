"""Ids of chunks."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import blake2b


def chunk_ids(doc_id: str, recipe: str) -> Callable[[int, int, str], str]:
    """A function of start, end and text that gives ``digest(doc_id, recipe, "start:end", text)``, the document hashed once."""
    state = blake2b(digest_size=16)
    for part in (doc_id, recipe):
        data = part.encode("utf-8", "surrogatepass")
        state.update(len(data).to_bytes(8, "little") + data)

    def identify(start: int, end: int, text: str) -> str:
        span = f"{start}:{end}".encode()
        data = text.encode("utf-8", "surrogatepass")
        own = state.copy()
        own.update(b"".join((len(span).to_bytes(8, "little"), span, len(data).to_bytes(8, "little"), data)))
        return own.hexdigest()

    return identify
