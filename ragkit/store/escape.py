"""Any Python string in an Arrow column and in SQL: lossless, order-preserving, and readable as it was for ordinary text.

Arrow strings are UTF-8, which has no lone surrogates. U+E000 (a private character) introduces an escape: a lone
surrogate becomes U+E000 and a character of U+A000..U+A7FF, and U+E000 itself becomes U+E000 U+F000. Both forms
sort by code point exactly where the original character sorts.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

_MARK = "\ue000"
_ODD = re.compile("[\ud800-\udfff\ue000]")
_ESCAPED = re.compile(f"{_MARK}(.)", re.DOTALL)
_CONTROL = re.compile("[\x00-\x1f]")
_SHIFT = 0xD800 - 0xA000
#: Values that one SQL filter lists.
_LOOKUP = 4096


def _hide(match: re.Match[str]) -> str:
    character = match.group()
    return _MARK + ("\uf000" if character == _MARK else chr(ord(character) - _SHIFT))


def _show(match: re.Match[str]) -> str:
    code = match.group(1)
    return _MARK if code == "\uf000" else chr(ord(code) + _SHIFT)


def escape(text: str) -> str:
    """``text`` as valid UTF-8 text; unchanged unless it holds a lone surrogate or U+E000."""
    return text if text.isascii() else _ODD.sub(_hide, text)


def unescape(text: str) -> str:
    """The inverse of ``escape``."""
    return text if text.isascii() or _MARK not in text else _ESCAPED.sub(_show, text)


def escape_controls(text: str) -> str:
    """``escape`` that also frees the characters U+0000 to U+001F, but U+0001, for use as separators; order is kept."""
    return _CONTROL.sub(lambda match: "\x01" + chr(ord(match.group()) + 0x20), escape(text))


def quote(text: str) -> str:
    """``text`` as a SQL string literal. Every character but the quote stands for itself there."""
    return "'" + text.replace("'", "''") + "'"


def listed(values: Iterable[str]) -> str:
    """Escaped values as SQL literals, separated by commas."""
    return ", ".join(quote(escape(value)) for value in values)


def id_filters(column: str, values: Sequence[str]) -> list[str]:
    """SQL filters that cover all values, each of a length that parses fast."""
    unique = list(dict.fromkeys(values))
    return [f"{column} IN ({listed(unique[at : at + _LOOKUP])})" for at in range(0, len(unique), _LOOKUP)]
