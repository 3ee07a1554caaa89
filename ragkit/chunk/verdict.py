"""What is wrong with words that a language model wrote about a passage, if anything."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import regex

from ragkit.chunk.prompts import Prompt


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What a language model answered. ``stopped`` is "", "length" (cut off by its own limit) or "refusal".

    Tokens are the provider's own count, 0 where it does not tell; ``tokens_cached`` is the part of ``tokens_in`` that its
    prompt cache knew.
    """

    text: str
    stopped: str = ""
    tokens_in: int = 0
    tokens_cached: int = 0
    tokens_out: int = 0


_APART = r"\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}"
_WORD = regex.compile(rf"[{_APART}]|[^\W{_APART}]+", regex.V1)
_REFUSAL = regex.compile(
    r"""^\W*(?:i(?:\s*['’]?m|\s+am)?\s+(?:so\s+)?sorry\b|sorry\b|i\s+(?:can\s*not|cannot|can['’]?t|could\s+not|won['’]?t|am\s+(?:not\s+able|unable))\b
    |i['’]m\s+(?:not\s+able|unable)\b|i\s+(?:do\s+not|don['’]?t)\s+have\b|unfortunately,?\s+i\b|as\s+an?\s+(?:ai|language\s+model)\b
    |this\s+(?:request|content)\s+(?:violates|goes\s+against)\b
    |(?:es\s+tut\s+mir\s+leid|entschuldigung\b|tut\s+mir\s+leid|leider\s+kann\s+ich|(?:das|dies)\s+kann\s+ich\s+nicht|ich\s+kann\s+(?:nicht|das|diese|dir|ihnen|leider))
    |je\s+(?:suis\s+d[ée]sol[ée]|ne\s+peux\s+pas|ne\s+suis\s+pas\s+en\s+mesure)|d[ée]sol[ée]e?\b|lo\s+siento|no\s+puedo\b|lamento\b
    |desculp[ea]\b|n[ãa]o\s+posso\b|mi\s+dispiace\b|non\s+posso\b|извините|простите|я\s+не\s+могу|к\s+сожалению,?\s+я
    |对不起|抱歉|我(?:无法|不能)|申し訳|すみません|죄송|عذر[اً]|آسف)""",
    regex.IGNORECASE | regex.VERBOSE,
)
_LINK = regex.compile(
    r"(?:https?://|www\.)[^\s<>\"')\]]+|(?:[a-z0-9-]+\.)+[a-z]{2,}/[^\s<>\"')\]]+|[\w.+-]+@[\w-]+\.[\w.]+", regex.IGNORECASE
)
_MARKUP = regex.compile(r"</?[A-Za-z!][^>]*>|!?\[[^\]]*\]\([^)]*\)|```|<\|", regex.IGNORECASE)
_MARKER = regex.compile(r"(?:document|passage)-[0-9a-f]{12}")
_ORDER = regex.compile(
    r"\b(?:ignore|disregard|forget|override)\b.{0,60}\b(?:instructions?|prompts?|rules|guidelines|above)\b"
    r"|\b(?:ignorier\w*|missacht\w*|vergiss|vergessen\s+sie)\b.{0,60}\b(?:anweisung\w*|vorgaben|regeln|prompts?)\b"
    r"|\b(?:ignor|oubli|olvid)\w+\b.{0,60}\b(?:instructions?|consignes|r[èe]gles|instrucciones|indicaciones|reglas)\b"
    r"|\bnew\s+instructions?\s*:|\bfrom\s+now\s+on,?\s+you\b|\[/?INST\]"
    r"|\b(?:assistant|chatbot|language\s+model)s?\s+(?:must|should|shall)\b"
    r"|(?:^|[.!?:]\s+)\W*(?:(?:always|only|please)\s+(?:respond|reply|answer|say)|(?:respond|reply|answer|say)\s+(?:only|always|that|with))\b"
    r"|\b(?:system|developer)\s+(?:prompt|message)\b|^\W*(?:system|assistant|user|human)\s*:|\byou\s+(?:are|must)\s+now\b"
    r"|\b(?:do\s+not|don['’]t)\s+(?:tell|mention|reveal)\b"
    r"|(?:^|[.!?:]\s+)\W*(?:please\s+)?(?:tell|inform|ask|advise|instruct|urge)\s+(?:the\s+|your\s+|any\s+)?(?:users?|readers?|customers?)\b",
    regex.IGNORECASE,
)
_LABEL = regex.compile(
    r"^\s*\**(?:here(?:\s+is|['’]s)\s+(?:the|a)\s+(?:\w+\s+)?)?(?:context|answer|description)(?:\s+(?:of|for)\s+(?:the|this)\s+passage)?\**\s*:\**\s*",
    regex.IGNORECASE,
)
_CONTROL = regex.compile(r"[\p{Cc}\p{Co}\p{Cs}--[\t\n\r]]", regex.V1)
_FIGURE = regex.compile(r"\d[\d.,]*\d")
#: No text of that many words is longer; patterns that look ahead are asked about shorter ones only.
_CHARACTERS_PER_WORD = 40
#: The share of an answer's runs of three words that may stand in the text it was shown.
_OWN = 0.8


def tidy(text: str) -> str:
    """The answer on one line, without a label and without quotation marks around it."""
    text = _LABEL.sub("", text)
    return " ".join(text.split()).strip('"“”„«» ')


def is_refusal(text: str) -> bool:
    """True for an answer that begins as models decline to answer."""
    return bool(_REFUSAL.search(text))


def verdict(reply: Reply, prompt: Prompt, *, most_words: int) -> str:
    """Why the answer cannot be used, in a word or two; "" when it can.

    - "refusal", "empty", "cut off" (by the model's own limit), "too long" (more than ``most_words``, or 40 characters for each);
    - "echo": four fifths of its runs of three words are copied from what it was shown;
    - "link", "markup", "figure": an address, markup, or a number of two digits and more that it was not shown;
    - "instructions": it gives orders, or speaks of its instructions; "control characters".
    """
    text = reply.text.strip()
    shown = (prompt.shown, prompt.passage)
    found: tuple[tuple[str, Callable[[], bool]], ...] = (
        ("too long", lambda: len(text) > _CHARACTERS_PER_WORD * most_words),
        ("refusal", lambda: reply.stopped == "refusal" or is_refusal(text)),
        ("empty", lambda: not _WORD.search(text)),
        ("cut off", lambda: reply.stopped == "length"),
        ("too long", lambda: _length(text) > most_words),
        ("control characters", lambda: bool(_CONTROL.search(text))),
        ("link", lambda: _unseen(_LINK.findall(text), shown)),
        ("markup", lambda: bool(_MARKER.search(text)) or _unseen(_MARKUP.findall(text), shown)),
        ("instructions", lambda: bool(_ORDER.search(text))),
        ("figure", lambda: not _figures(text) <= _figures(prompt.shown) | _figures(prompt.passage)),
        ("echo", lambda: _copied(text, shown) >= _OWN),
    )
    return next((reason for reason, holds in found if holds()), "")


def _length(text: str) -> float:
    """Words; in scripts that do not part them, two characters count as one."""
    words = _WORD.findall(text)
    apart = sum(1 for word in words if regex.match(f"[{_APART}]", word))
    return len(words) - apart / 2


def _unseen(parts: list[str], shown: tuple[str, ...]) -> bool:
    return any(not any(part.rstrip(".,;:!?") in text for text in shown) for part in parts)


@lru_cache(maxsize=8)
def _figures(text: str) -> frozenset[str]:
    return frozenset(regex.sub(r"[.,]", "", figure) for figure in _FIGURE.findall(text))


@lru_cache(maxsize=8)
def _flat(text: str) -> str:
    return f" {' '.join(_WORD.findall(text.casefold()))} "


def _copied(text: str, shown: tuple[str, ...]) -> float:
    """The share of the answer's runs of three words that were shown."""
    words = _WORD.findall(text.casefold())
    runs = [f" {' '.join(words[at : at + 3])} " for at in range(max(1, len(words) - 2))]
    return sum(any(run in _flat(part) for part in shown) for run in runs) / len(runs)
