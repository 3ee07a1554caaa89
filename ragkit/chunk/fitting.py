"""Words that fit into a number of tokens, by the tokenizer's own count."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from ragkit.seams import Tokenizer

Keep = Literal["start", "end"]
SEPARATOR = "\n"
#: Words of more characters a token than this situate nothing; what lies farther off than that is not looked at.
_WIDEST = 32


def fit(text: str, room: int, tokenizer: Tokenizer, *, keep: Keep = "start") -> str:
    """The longest run of whole words of ``text``, from its start or to its end, of at most ``room`` tokens.

    At most 32 characters a token are looked at, so that a text of one endless line costs no more than any other.
    """
    reach = _WIDEST * max(room, 0)
    if len(text) > reach:
        text = _from(text, len(text) - reach) if keep == "end" else _until(text, reach)
    text = text.strip()
    while text:
        count = tokenizer.count_batch([text])[0]
        if count <= room:
            return text
        starts = tokenizer.starts_batch([text])[0]
        spare = max(1, count - room)
        if room < 1 or spare >= len(starts):
            return ""
        shorter = _from(text, int(starts[spare])) if keep == "end" else _until(text, int(starts[len(starts) - spare]))
        # A tokenizer may place all its tokens at one character: then a word goes at a time.
        text = shorter if len(shorter) < len(text) else _drop_word(text, keep)
    return text


def fit_beside(parts: Sequence[tuple[str, Keep]], text: str, n_tokens: int, room: int, tokenizer: Tokenizer) -> str:
    """The parts, a line each, in order as far as they fit: read before ``text``, they add at most ``room`` tokens to it.

    ``n_tokens`` is the count of ``text`` alone. A part that does not fit whole is shortened at a word, and what would
    follow it is left out.
    """
    lines: list[str] = []
    left = room
    for part, keep in parts:
        line = part.strip()
        if not line:
            continue
        cost = tokenizer.count_batch([line + SEPARATOR])[0] if len(line) <= _WIDEST * left else left + 1
        if cost > left:
            line = fit(line, left - tokenizer.count_batch([SEPARATOR])[0], tokenizer, keep=keep)
            if line:
                lines.append(line)
            break
        lines.append(line)
        left -= cost
    context = SEPARATOR.join(lines)
    while context:
        excess = tokenizer.count_batch([context + SEPARATOR + text])[0] - n_tokens - room
        if excess <= 0:
            return context
        context = fit(context, tokenizer.count_batch([context])[0] - excess, tokenizer)
    return context


def _until(text: str, end: int) -> str:
    while end > 0 and not text[end - 1].isspace() and not text[end].isspace():
        end -= 1
    return text[:end].rstrip()


def _from(text: str, start: int) -> str:
    while start < len(text) and start > 0 and not text[start].isspace() and not text[start - 1].isspace():
        start += 1
    return text[start:].lstrip()


def _drop_word(text: str, keep: Keep) -> str:
    words = text.split()
    return " ".join(words[1:] if keep == "end" else words[:-1])
