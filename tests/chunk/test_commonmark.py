"""The blocks of CommonMark, as another implementation sees them."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from ragkit.chunk.commonmark import blocks

REFERENCE = MarkdownIt("commonmark").enable("table")
KINDS = {
    "heading_open": "heading", "fence": "code", "code_block": "code", "html_block": "html", "table_open": "table", "hr": "rule",
    "bullet_list_open": "list", "ordered_list_open": "list", "list_item_open": "item", "blockquote_open": "quote",
}  # fmt: skip
LINES = [
    "", "", "Some words.", "More, \u00e9t\u00e9 \u4e1c\u4eac.", "# One", "## Two *with* `code` ##", "### \U0001f680", "- item", "  continued", "    indented",
    "1. first", "> quoted", "```python", "```", "~~~", "---", "***", "===", "<div>", "</div>", "<!-- note -->", "| a | b |", "|---|---|", "| 1 | 2 |",
]  # fmt: skip


def of_reference(text: str) -> list[tuple[str, int, str]]:
    lines = [0, *(match.end() for match in re.finditer(r"\r\n|\r|\n", text))]
    tokens = REFERENCE.parse(text)
    return [
        (KINDS[token.type], lines[token.map[0]], tokens[at + 1].content if token.type == "heading_open" else "")
        for at, token in enumerate(tokens)
        if token.map and token.type in KINDS
    ]


@given(st.lists(st.sampled_from(LINES), max_size=14), st.sampled_from(["\n", "\r\n", "\r"]))
def test_blocks_begin_where_markdown_it_sees_them(lines: list[str], end: str) -> None:
    text = end.join(lines)
    assert [(b.kind, b.start, b.title) for b in blocks(text) if b.kind in KINDS.values()] == of_reference(text)


@given(st.text(st.characters(exclude_categories=()), max_size=200), st.integers(0, 20))
def test_blocks_are_whole_lines_of_any_text(text: str, begin: int) -> None:
    begin = min(begin, len(text))
    for block in blocks(text, begin):
        assert begin <= block.start <= block.end <= len(text)
        assert block.start == begin or text[block.start - 1] in "\r\n"
        assert block.end == len(text) or text[block.end - 1] in "\r\n"


@pytest.mark.parametrize(
    "unit", ["> ", "- ", "1. ", "[", "![[](", "*a ", "<a ", "|a", "#", "- a\n", "a\n===\n", "|a|b|\n|-|-|\n", "```\n"]
)
def test_time_is_linear(unit: str) -> None:
    def seconds(size: int) -> float:
        best = 9.0
        for _ in range(3):
            start = time.process_time()
            blocks(unit * (size // len(unit)))
            best = min(best, time.process_time() - start)
        return best

    # Linear work takes 4 times as long, quadratic work 16 times.
    assert seconds(80_000) < 10 * max(seconds(20_000), 0.002)
