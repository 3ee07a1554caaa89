"""A semantic cache over an index, offline: repetitions, guards, single flight, and nothing stale when a document changes.

python examples/semantic_cache.py
"""

from __future__ import annotations

import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from ragkit import Document, Index, SemanticCache
from ragkit.cache import Made, Scope, Static
from ragkit.testing.embedders import HashEmbedder

# A deterministic stand-in, so that this runs anywhere; leave it out for a real model.
embedder = HashEmbedder(dim=64)
folder = Path(tempfile.mkdtemp())
index = Index(folder / "kb.lance", embedder=embedder)
index.add([Document("A refund takes 14 days.", id="refunds"), Document("The office opens at nine.", id="office")])

scope = Scope(tenant="acme", model="some-model", system="Answer from the documents.")
calls = 0


def answer(question: str) -> Made:
    """What a language model would do: search, then write."""
    global calls
    calls += 1
    hits = index.search(question, k=1, mode="bm25")
    return Made(f"According to {hits[0].citation}: {hits[0].chunk.text}", sources=tuple(hits))


# Static(0.8) promises nothing about wrong answers; the default, "certified", serves by meaning only what it has seen judged.
with SemanticCache(folder / "cache.lance", embedder=embedder, policy=Static(0.8), index=index) as cache:
    question = "How long does a refund take?"
    with ThreadPoolExecutor(20) as pool:
        said = set(pool.map(lambda _: cache.get_or(question, lambda: answer(question), scope=scope), range(20)))
    print(f"20 requests, {calls} call: {said.pop()}")

    for other in (
        "how long does a refund take",
        "How long does the refund take?",
        "How long does a refund of 500 dollars take?",
        "Why?",
    ):
        verdict = cache.lookup(other, scope=scope)
        print(f"{verdict.kind:>6} {verdict.tier or '-':<8} {other!r}: {verdict.reason}")
    print(f"{cache.lookup(question, scope=Scope(tenant='umbrella', model='some-model')).kind:>6} in another tenant's scope")

    index.add([Document("A refund takes 30 days.", id="refunds")])
    print(f"{cache.lookup(question, scope=scope).kind:>6} after the document was replaced")
    print(cache.get_or(question, lambda: answer(question), scope=scope))
