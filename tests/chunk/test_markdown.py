"""Markdown: blocks stay whole, headings lead, paths are right."""

from __future__ import annotations

import pytest

from ragkit import Document
from ragkit.chunk import MarkdownChunker

TEXT = """---
title: Front matter
tags: [a, b]
---

Intro before any heading. It has two sentences.

# Guide

Some words about the guide, enough to fill a line or so of text here.

## Install

```python
def install(target):
    # nothing to see. Really.
    return target
```

| name | value |
|------|-------|
| one  | 1     |
| two  | 2     |

Setext title
------------

- first item
- second item

  with a paragraph
- third item

# Other

Last words.
"""


def chunk(limit: int, text: str = TEXT) -> list:
    return MarkdownChunker(limit, tokenizer="words")(Document(text))


@pytest.mark.parametrize("limit", [8, 12, 20, 30, 60, 200])
def test_no_chunk_ends_right_after_a_heading(limit: int) -> None:
    for piece in chunk(limit)[:-1]:
        *before, last = piece.text.strip().splitlines()
        if len(before) <= last.startswith("---"):
            continue  # a heading alone: the block below it fits only without it
        assert not last.startswith("#"), piece.text
        assert not last.startswith("-----"), piece.text


@pytest.mark.parametrize(
    ("limit", "block"),
    [
        (40, "```python\ndef install(target):\n    # nothing to see. Really.\n    return target\n```"),
        (40, "| name | value |\n|------|-------|\n| one  | 1     |\n| two  | 2     |"),
        (40, "- first item\n- second item\n\n  with a paragraph\n- third item"),
        (40, "---\ntitle: Front matter\ntags: [a, b]\n---"),
    ],
)
def test_blocks_that_fit_stay_whole(limit: int, block: str) -> None:
    assert sum(block in piece.text for piece in chunk(limit)) == 1


def test_heading_paths() -> None:
    paths = [tuple(piece.metadata.get("headings", ())) for piece in chunk(24)]
    assert paths[0] == ()
    assert ("Guide",) in paths
    assert ("Guide", "Install") in paths
    assert ("Guide", "Setext title") in paths
    assert ("Other",) in [tuple(piece.metadata.get("headings", ())) for piece in chunk(12)]


def test_a_heading_inside_code_or_front_matter_is_no_heading() -> None:
    text = "---\n# comment: x\n---\n# Real\n\n```\n# not a heading\n```\n\n" + "word " * 50
    assert {tuple(piece.metadata.get("headings", ())) for piece in chunk(20, text)} <= {(), ("Real",)}


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_line_ends_of_every_kind_give_the_same_cuts(end: str) -> None:
    unix = [piece.text for piece in chunk(24)]
    assert [piece.text.replace(end, "\n") for piece in chunk(24, TEXT.replace("\n", end))] == unix


def test_a_fence_beyond_the_limit_is_cut_at_line_ends() -> None:
    code = "```\n" + "".join(f"call_{at}(first, second)\n" for at in range(40)) + "```\n"
    assert all(piece.text.endswith("\n") for piece in chunk(20, code))
