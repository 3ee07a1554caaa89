"""AutoChunker: the chunks of the chunker that suits the type, and a recipe that can be read back."""

from __future__ import annotations

import pytest

from ragkit.chunk import AutoChunker, MarkdownChunker, RecursiveChunker, from_recipe
from ragkit.text import resolve_tokenizer
from ragkit.types import Document

TEXT = "# Top\n\nsome words here\n\n## Inner\n\nmore words to read here, and more of them"


@pytest.mark.parametrize(
    ("media_type", "kind"),
    [
        ("text/markdown", MarkdownChunker),
        ("application/x-ipynb+json", MarkdownChunker),
        ("text/plain", RecursiveChunker),
        (None, RecursiveChunker),
    ],
)
def test_each_type_gets_its_chunker(media_type: str | None, kind: type[RecursiveChunker]) -> None:
    document = Document(TEXT, metadata={} if media_type is None else {"media_type": media_type})
    options = {"overlap": 1, "tokenizer": "words", "reserve": 1}
    assert AutoChunker(8, **options)(document) == kind(8, **options)(document)


def test_the_recipe_can_be_read_back() -> None:
    chunker = AutoChunker(9, overlap=2).bind(resolve_tokenizer("words"))
    document = Document(TEXT, metadata={"media_type": "text/markdown"})
    again = from_recipe(chunker.recipe).bind(resolve_tokenizer("words"))
    assert again.recipe == chunker.recipe
    assert again(document) == chunker(document)
