"""Sentences as landmarks: found one by one, returned as the run of sentences that answers.

    python examples/landmarks.py

The same index asked in three ways: through ``Index``, as a text for a language model, and as a LangChain retriever. On the command line:
``ragkit index docs --db kb --chunker landmarks``, then ``ragkit search --db kb --runs 128 "a question"``.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from ragkit import Document, Index
from ragkit.chunk import SentenceChunker
from ragkit.embed import TransformerEmbedder
from ragkit.langchain import RagkitRetriever
from ragkit.retrieve import assemble

MANUAL = Document(
    "The pump stands in the shed. Its handle is red. Paint it when it rusts.\n\n"
    "The seal of the pump wears out. A worn seal drips. Change the seal in spring, before the first frost-free night. "
    "The part costs two euros.\n\n"
    "The hose lies under the bench. Roll it up when you leave. Keep the dog away from it.",
    id="manual.md",
    metadata={"source": "manual.md"},
)


def main() -> None:
    question = "What does it cost to change the seal in spring?"
    with tempfile.TemporaryDirectory() as folder:
        landmarks = SentenceChunker(128, packing="one")
        with Index(Path(folder) / "kb.lance", chunker=landmarks, embedder=TransformerEmbedder()) as index:
            index.add(MANUAL)

            hit = index.search_runs(question, k=1, max_tokens=60)[0]
            assert hit.chunk.text == MANUAL.text[hit.chunk.start : hit.chunk.end]
            print(f"{hit.citation}, characters {hit.chunk.start} to {hit.chunk.end}:\n{hit.chunk.text.strip()}\n")

            print(assemble([hit], max_tokens=100, tokenizer=index.embedder.tokenizer).text, end="\n\n")

            found = RagkitRetriever(index=index, k=1, runs=60).invoke(question)[0]
            print(f"LangChain: {found.page_content.strip()}")


if __name__ == "__main__":
    main()
