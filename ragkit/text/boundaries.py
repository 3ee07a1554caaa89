"""Boundaries of running text: paragraphs, lines, sentences; by rule, in any script, in linear time.

Sentence ends follow the idea of UAX 29 (terminator, closing quotes, white space), with the exceptions that
matter in practice: abbreviations, initials, numbered items, and a lower-case continuation.
"""

from __future__ import annotations

import re
from enum import IntEnum

_NEWLINE = r"(?:\r\n|[\n\r\x0b\x0c\x85\u2028\u2029])"
# Possessive, and begun only where a run begins: otherwise long runs of blanks or dots take quadratic time.
_LINE_ENDS = re.compile(rf"{_NEWLINE}(?:[ \t\u00a0\u3000]*+{_NEWLINE})*+")
_LINE_END = re.compile(_NEWLINE)
_CLOSING = "\"'\u2019\u201d\u00bb\u203a)\\]}\u300d\u300f\u3011\uff09\u300b*_"
# A full stop of the Latin kind needs white space after it; the others end a sentence by themselves.
_SENTENCE_END = re.compile(
    rf"(?P<latin>(?<![.!?\u2026])[.!?\u2026]++[{_CLOSING}]*+)(?=\s)|[\u3002\uff01\uff1f\uff61\u061f\u06d4\u0964\u0965\u1362\u104b]++[{_CLOSING}]*+"
)
_LAST_WORD = re.compile(r"[^\s(\[\"'\u201c\u2018]*$")
_ABBREVIATIONS = frozenset(
    re.split(
        " ",
        "mr mrs ms dr prof sr jr st gen col capt lt sgt rev hon pres gov sen rep vs etc e.g i.e eg ie cf al ca approx "
        "no nos vol fig figs eq eqs sec ch pp p ed eds inc ltd co corp dept univ assn est jan feb mar apr jun jul aug "
        "sep sept oct nov dec mon tue wed thu fri sat sun a.m p.m u.s u.k u.n z.b bzw usw d.h u.a bspw nr str abs art "
        "bd hrsg p.ej sra ud uds m mme mlle",
    )
)


class Strength(IntEnum):
    """How gladly a chunk ends here; a Markdown heading is stronger still (see ragkit.chunk.markdown)."""

    WRAP = 1  # a line end inside a sentence
    SENTENCE = 2
    LINE = 3
    PARAGRAPH = 4
    PAGE = 5  # two or more blank lines, or a form feed


def line_cuts(text: str, start: int = 0, end: int | None = None) -> dict[int, int]:
    """``{offset: strength}`` after each run of line ends in ``text[start:end]``."""
    stop = len(text) if end is None else end
    cuts: dict[int, int] = {}
    for match in _LINE_ENDS.finditer(text, start, stop):
        at = match.end()
        run = match.group()
        count = 1 if len(run) == 1 else len(_LINE_END.findall(run))
        if count > 2 or "\x0c" in run:
            strength = Strength.PAGE
        elif count == 2:
            strength = Strength.PARAGRAPH
        else:
            strength = Strength.WRAP if _continues(text, match.start(), at, stop) else Strength.LINE
        cuts[at] = strength
    return cuts


def _continues(text: str, before: int, after: int, stop: int) -> bool:
    """Whether a single line end only wraps a sentence: no terminator before it and a lower-case letter after it."""
    while after < stop and text[after] in " \t":
        after += 1
    return after < stop and text[after].islower() and before > 0 and text[before - 1] not in ".!?:;\u2026\u3002"


def sentence_cuts(text: str, start: int = 0, end: int | None = None) -> dict[int, int]:
    """``{offset: Strength.SENTENCE}`` after each sentence of ``text[start:end]``, before the blank that follows it."""
    stop = len(text) if end is None else end
    return {
        match.end(): Strength.SENTENCE
        for match in _SENTENCE_END.finditer(text, start, stop)
        if match.group("latin") is None or _ends_sentence(text, match.start(), match.end(), stop)
    }


def _ends_sentence(text: str, dot: int, after: int, stop: int) -> bool:
    following = after
    while following < stop and text[following].isspace():
        following += 1
    if text[dot] == "." and dot + 1 == after:
        found = _LAST_WORD.search(text, max(0, dot - 24), dot)
        word = found.group() if found else ""
        if word.lower() in _ABBREVIATIONS or (len(word) == 1 and word.isupper()):
            return False
        if word.isdigit() and len(word) <= 3 and _begins_line(text, dot - len(word)):
            return False
    return not (following < stop and text[following].islower())


def _begins_line(text: str, at: int) -> bool:
    while at > 0 and text[at - 1] in " \t":
        at -= 1
    return at == 0 or text[at - 1] in "\r\n"


def prose_cuts(text: str, start: int = 0, end: int | None = None) -> dict[int, int]:
    """Line and sentence cuts together; the stronger wins where they meet."""
    return sentence_cuts(text, start, end) | line_cuts(text, start, end)
