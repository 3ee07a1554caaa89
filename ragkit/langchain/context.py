"""Retrieved documents as one numbered, cited text within a budget of tokens."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from langchain_core.documents import Document as LangChainDocument
from langchain_core.runnables import RunnableConfig, RunnableSerializable
from pydantic import ConfigDict

from ragkit.errors import InvalidInputError
from ragkit.retrieve import Context, Order, assemble
from ragkit.types import Chunk, Hit, Span


class RagkitContext(RunnableSerializable[Sequence[LangChainDocument], Context]):
    """What a language model reads: ``retriever | RagkitContext(max_tokens=1500)`` gives a ``ragkit.retrieve.Context``.

    Documents must come from a ``RagkitRetriever``; whatever reorders or filters them may stand between, and the order given
    counts. Those that touch or overlap become one passage; ``context.text`` numbers them, ``context.cited(answer)`` finds
    what an answer cites, to the exact span, and ``context.left_out`` names what did not fit. ``tokenizer``, anything
    ``ragkit.text.resolve_tokenizer`` takes, should be the reading model's; ``order`` is that of ``ragkit.retrieve.assemble``.

    Raises InvalidInputError for other documents, a budget below 1, or an unknown order.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True)

    max_tokens: int
    tokenizer: Any = None
    order: Order = "rank"

    def invoke(self, input: Sequence[LangChainDocument], config: RunnableConfig | None = None, **kwargs: Any) -> Context:
        """The documents as a context."""
        return self._call_with_config(self._assembled, input, config, **kwargs)

    def _assembled(self, documents: Sequence[LangChainDocument]) -> Context:
        hits = [_hit(document, rank) for rank, document in enumerate(documents, 1)]
        return assemble(hits, max_tokens=self.max_tokens, tokenizer=self.tokenizer, order=self.order)


def _hit(document: LangChainDocument, rank: int) -> Hit:
    why = document.metadata.get("ragkit")
    if not isinstance(why, dict) or not {"document", "span", "lines", "score"} <= set(why):
        raise InvalidInputError(
            f"Document {document.id!r} does not say where it stands; RagkitContext takes documents of RagkitRetriever, with their metadata."
        )
    start, end = why["span"]
    chunk = Chunk(
        id=document.id or f"{why['document']}:{start}-{end}",
        doc_id=why["document"],
        start=start,
        end=end,
        text=document.page_content,
        window=Span(start, end),
        index=0,
        n_tokens=0,
        metadata={name: document.metadata[name] for name in ("source", "title") if name in document.metadata},
    )
    first, last = why["lines"]
    return Hit(chunk=chunk, score=why["score"], rank=rank, lines=(first, last))
