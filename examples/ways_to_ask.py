"""More ways to ask one index: near copies folded, sections instead of chunks, several wordings, and one text to read.

    python examples/ways_to_ask.py

Runs offline: the chat model is a stand-in with fixed answers. For a real one, replace ``stand_in()`` by, say,
``ChatOpenAI(model="gpt-4o-mini", timeout=20)`` from langchain-openai; nothing else changes.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from langchain_core.language_models import BaseChatModel, FakeListChatModel

from ragkit import Document, Index
from ragkit.chunk import MarkdownChunker
from ragkit.langchain import StandaloneQuestion
from ragkit.retrieve import Phrasings, Shape

MANUAL = "# Pump\n\n" + "".join(
    f"## {season}\n\nRinse the pump with water before {season.lower()}.\n\nThen check its seal, and note the date.\n\n"
    for season in ("Spring", "Summer", "Winter")
)
DOCUMENTS = [
    Document(MANUAL, id="manual", metadata={"source": "manual.md", "title": "Pump manual"}),
    Document("Rinse the pump with clean water before the winter comes.", id="note", metadata={"source": "note.txt"}),
    Document("Rinse the pump with clean water, before the WINTER comes!", id="copy", metadata={"source": "copy.txt"}),
]


def stand_in() -> BaseChatModel:
    return FakeListChatModel(responses=["What must be checked on the pump before winter?"])


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, Index(Path(folder) / "kb.lance", chunker=MarkdownChunker(20)) as index:
        index.add(DOCUMENTS)
        question = "rinse the pump before winter"

        print("Near copies, told once:")
        for hit in index.search(question, k=2, shape=Shape(fold=0.8, per_document=1)):
            behind = f" (and {', '.join(one.source for one in hit.folded)})" if hit.folded else ""
            print(f"  {hit.rank}. {hit.citation}{behind}")

        print("\nThe section around the best chunk of the manual:")
        [section] = index.search(question, k=1, where={"doc_id": "manual"}, shape=Shape(expand="section"))
        print("  " + " ".join(section.chunk.text.split()))

        print("\nSeveral wordings, and the rank by each:")
        [best] = index.search(Phrasings(["what to do in autumn?", "prepare a pump for frost"]), k=1, where={"doc_id": "manual"})
        print(f"  {best.citation}: " + ", ".join(f"{name} #{part.rank}" for name, part in best.parts.items()))

        print("\nA question that needs its conversation:")
        asked = StandaloneQuestion(stand_in(), history=[("human", "How do I rinse the pump before winter?")])(
            "and what to check?"
        )
        context = index.context(asked, max_tokens=60, where={"doc_id": "manual"}, shape=Shape(expand="section"))
        print(f"  asked: {asked.texts[0]} ({asked.cost.calls} call)")
        print(context.text)
        for passage in context.cited("The seal [1]."):
            print(f"  cited: {passage.source}, characters {passage.start} to {passage.end}")


if __name__ == "__main__":
    main()
