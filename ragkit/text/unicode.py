"""Small facts about Unicode text: lone surrogates, grapheme clusters, blank text."""

from __future__ import annotations

import re
from functools import cache
from typing import Any

_SURROGATE = re.compile("[\ud800-\udfff]")


def encodable(text: str) -> str:
    """``text`` with every lone surrogate replaced by U+FFFD, one for one, so that offsets stay.

    Rust tokenizers and UTF-8 cannot hold surrogates; Python strings read from broken input can.
    """
    if text.isascii():
        return text
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return _SURROGATE.sub("\ufffd", text)
    return text


@cache
def _clusters() -> Any:
    import regex

    return regex.compile(r"\X")


def cluster_start(text: str, position: int, floor: int = 0) -> int:
    """The start of the extended grapheme cluster (UAX 29) that ``position`` cuts, or ``position`` itself.

    ``floor`` is a known cluster boundary at or before ``position``; nothing before it is looked at.
    """
    if position <= floor or position >= len(text):
        return position
    # Below U+0300 nothing extends a cluster and nothing joins to the left, save for CR LF.
    if ord(text[position]) < 0x300 and text[position] != "\n" and ord(text[position - 1]) < 0x300:
        return position
    begin = position - 1
    # Two in a row below U+0300 are parted; one alone may follow a prefix, such as U+0600 before a digit.
    while begin > floor and (ord(text[begin]) >= 0x300 or ord(text[begin - 1]) >= 0x300):
        begin -= 1
    if begin > floor and text[begin] == "\n" and text[begin - 1] == "\r":
        begin -= 1
    # What stands before and one character tell: reading on would cost a long cluster once for every call.
    for match in _clusters().finditer(text, begin, position + 1):
        start, end = match.span()
        if end > position:
            return position if start == position else int(start)
    return position
