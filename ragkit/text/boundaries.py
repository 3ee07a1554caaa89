"""Boundaries of running text: paragraphs, lines, sentences; by rule, in any script, in linear time.

Sentence ends follow the idea of UAX 29 (terminator, closing quotes, white space), with the exceptions that
matter in practice: abbreviations, initials, numbered items, and a lower-case continuation.
"""

from __future__ import annotations

import re
from enum import IntEnum

_NEWLINES = r"\n\r\x0b\x0c\x85\u2028\u2029"
# Each pattern begins with one set and is possessive: fast to scan for, and linear on long runs of blanks or dots.
_LINE_ENDS = re.compile(rf"[{_NEWLINES}](?:[ \t\u00a0\u3000]*+[{_NEWLINES}])*+")
_LINE_END = re.compile(rf"\r\n|[{_NEWLINES}]")
_LATIN_STOPS = ".!?\u2026"
_OTHER_STOPS = "\u3002\uff01\uff1f\uff61\u061f\u06d4\u0964\u0965\u1362\u104b"
_CLOSING = "\"'\u2019\u201d\u00bb\u203a)\\]}\u300d\u300f\u3011\uff09\u300b*_"
_STOPS = re.compile(rf"[{_LATIN_STOPS}{_OTHER_STOPS}]++[{_CLOSING}]*+")
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
    wrap, line = Strength.WRAP, Strength.LINE
    for match in _LINE_ENDS.finditer(text, start, stop):
        first, at = match.span()
        if at - first == 1 and text[first] == "\n":
            # Most line ends by far: one look at what follows decides.
            following = text[at : at + 1] if at < stop else ""
            lower = following.islower() or following in (" ", "\t")
            cuts[at] = wrap if lower and _continues(text, first, at, stop) else line
            continue
        run = match.group()
        count = 1 if run == "\r\n" else len(_LINE_END.findall(run))
        if count > 2 or "\x0c" in run:
            cuts[at] = Strength.PAGE
        elif count == 2:
            cuts[at] = Strength.PARAGRAPH
        else:
            cuts[at] = wrap if _continues(text, first, at, stop) else line
    return cuts


def _continues(text: str, before: int, after: int, stop: int) -> bool:
    """Whether a single line end only wraps a sentence: no terminator before it and a lower-case letter after it."""
    while after < stop and text[after] in " \t":
        after += 1
    return after < stop and text[after].islower() and before > 0 and text[before - 1] not in ".!?:;\u2026\u3002"


def sentence_cuts(text: str, start: int = 0, end: int | None = None) -> dict[int, int]:
    """``{offset: Strength.SENTENCE}`` after each sentence of ``text[start:end]``, before the blank that follows it."""
    stop = len(text) if end is None else end
    cuts: dict[int, int] = {}
    sentence = Strength.SENTENCE
    for match in _STOPS.finditer(text, start, stop):
        after = match.end()
        # A full stop of the Latin kind needs white space after it; the others end a sentence by themselves.
        if after < stop and text[after].isspace():
            first = match.start()
            if text[first] not in _LATIN_STOPS or _ends_sentence(text, first, after, stop):
                cuts[after] = sentence
        elif text[match.start()] not in _LATIN_STOPS:
            cuts[after] = sentence
    return cuts


def _ends_sentence(text: str, dot: int, after: int, stop: int) -> bool:
    if text[dot] == "." and dot + 1 == after:
        found = _LAST_WORD.search(text, max(0, dot - 24), dot)
        word = found.group() if found else ""
        if word.lower() in _ABBREVIATIONS or (len(word) == 1 and word.isupper()):
            return False
        if word.isdigit() and len(word) <= 3 and _begins_line(text, dot - len(word)):
            return False
    following = after
    while following < stop and text[following].isspace():
        following += 1
    return not (following < stop and text[following].islower())


def _begins_line(text: str, at: int) -> bool:
    while at > 0 and text[at - 1] in " \t":
        at -= 1
    return at == 0 or text[at - 1] in "\r\n"


def prose_cuts(text: str, start: int = 0, end: int | None = None) -> dict[int, int]:
    """Line and sentence cuts together; the stronger wins where they meet."""
    return sentence_cuts(text, start, end) | line_cuts(text, start, end)
