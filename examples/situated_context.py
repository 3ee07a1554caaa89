"""Context that a language model writes about each chunk: priced before, kept, checked, and told.

    python examples/situated_context.py

Runs offline: the model here is a stand-in that repeats fixed answers, one of them a refusal. For a real one, replace
``stand_in()`` by, say, ``ChatOpenAI(model="gpt-4o-mini", timeout=60, max_retries=3)`` from langchain-openai; nothing else changes.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from langchain_core.language_models import BaseChatModel, FakeListChatModel

from ragkit import Document, Index
from ragkit.chunk import Prices, SentenceChunker, Situate
from ragkit.embed import TransformerEmbedder
from ragkit.langchain import ChatSituator

REPORT = Document(
    "Sales grew by three per cent over the quarter before. They fell in the north. The board will meet again in May.",
    id="report",
    metadata={"title": "ACME annual report"},
)


def stand_in() -> BaseChatModel:
    return FakeListChatModel(
        responses=[
            "From the financial summary of ACME, a maker of tools: how revenue changed.",
            "From the regional part of the summary: where ACME earned less.",
            "I'm sorry, but I cannot help with that.",
        ]
    )


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        situator = ChatSituator(stand_in(), name="stand-in", cache=Path(folder) / "context.db", concurrency=1)
        chunker = SentenceChunker(packing="one") | Situate(before=0, write=situator, max_tokens=80, use="both")
        index = Index(Path(folder) / "kb.lance", chunker=chunker, embedder=TransformerEmbedder())

        plan = situator.estimate([REPORT], index.chunker, prices=Prices(input=0.15, cached=0.075, output=0.60))
        print(f"{plan.calls} calls, about {plan.tokens_uncached} tokens in and {plan.tokens_out} out: {plan.price:.6f} dollars")
        situator.prepare([REPORT], index.chunker)
        index.add(REPORT)

        for hit in index.search("Where did ACME earn less?", k=3):
            print(f"\n{hit.rank}. {hit.chunk.text.strip()}\n   read with: {' | '.join(hit.chunk.context.splitlines())}")
        for one in situator.report().fallbacks:
            print(f"\nNo words for characters {one.span.start} to {one.span.end} of {one.doc_id}: {one.reason}")


if __name__ == "__main__":
    main()
