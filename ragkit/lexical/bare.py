"""A question without the words around it: what BM25 would count, and nobody asked for."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

from ragkit.lexical.courtesies import COURTESIES
from ragkit.lexical.stop_words import ENGLISH_STOP_WORDS

# A clause ends at punctuation before a blank, or at a line's end; full-width marks need no blank.
_CLAUSE = re.compile(r"[^\n.,;:!?…。，；：！？]*(?:[.,;:!?…](?!\s|$)[^\n.,;:!?…。，；：！？]*)*(?:[.,;:!?…。，；：！？\n]+|$)")
_WORD = re.compile(r"\w")
_FIRST_WORD = re.compile(r"\W*(\w+)")
_LAST_WORD = re.compile(r"(\w+)\W*$")
_APOSTROPHES = str.maketrans("’‘ʼ", "'''")
# After these a courtesy is what is asked about: "how do you say please", "the meaning of thank you".
_QUOTING = frozenset(
    re.findall(r"\w+", "say says said saying word words phrase mean means meaning called titled named write spell translate")
)
_JOINING = "and|but|so|und|aber|et|mais|y|pero|e|ma|mas|en|maar"
_LONGEST = 2_000


def bare_question(text: str) -> str:
    """``text`` without greetings, requests and thanks: "Hi, could you tell me who built it? Thanks!" asks "who built it?".

    Works by the phrases of ``COURTESIES`` (English, German, French, Spanish, Italian, Portuguese, Dutch), at the edges of
    clauses; words inside a clause stay. A text of nothing else is returned whole, as is one of more than 2,000
    characters, which is no question but a document. Never raises on any str.
    """
    if len(text) > _LONGEST:
        return text
    clauses = _CLAUSE.findall(text.translate(_APOSTROPHES))
    bare = [_bare_clause(clause) for clause in clauses]
    if bare == clauses:
        return text
    kept = "".join(clause for clause in bare if _WORD.search(clause)).strip()
    return kept or text


def _bare_clause(clause: str) -> str:
    """What is left of a clause; its punctuation stays where nothing after it went."""
    phrases, rest = _phrases(), clause
    while True:
        found = next((match for one in phrases.openings if (match := one.match(rest))), None) or phrases.greeting.match(rest)
        if found is None or (found.re is phrases.greeting and not _ends_before(rest[found.end() :])):
            break
        rest = rest[found.end() :]
    while closed := phrases.closing.search(rest):
        before = _LAST_WORD.search(rest[: closed.start()])
        if before and (before[1].lower() in _QUOTING or before[1].lower() in ENGLISH_STOP_WORDS):
            break
        rest = rest[: closed.start()]
    return rest


def _ends_before(rest: str) -> bool:
    """Whether what follows a greeting is nothing, another courtesy, or the beginning of a question."""
    phrases, word = _phrases(), _FIRST_WORD.match(rest)
    if word is None or word[1].lower() in ENGLISH_STOP_WORDS:
        return True
    return any(one.match(rest) for one in (phrases.greeting, *phrases.openings, *phrases.fillings))


class _Phrases(NamedTuple):
    """Greetings and closings of all languages in one; an opening takes only its own language's fillings with it."""

    greeting: re.Pattern[str]
    openings: tuple[re.Pattern[str], ...]
    fillings: tuple[re.Pattern[str], ...]
    closing: re.Pattern[str]


@lru_cache(maxsize=1)
def _phrases() -> _Phrases:
    languages = COURTESIES.values()
    after, before = r"[\W_]*", r"(?!\w|['-]\w)"
    greetings = _any("|".join(one.greetings for one in languages))
    closings = _any("|".join(one.closings for one in languages))
    fillings = [rf"{after}(?:{_any(one.fillings)}){before}" for one in languages]
    openings = [
        rf"(?:{after}(?:{_JOINING}){before})?{after}(?:{_any(one.openings)}){before}(?:{filling})*"
        for one, filling in zip(languages, fillings, strict=True)
    ]
    return _Phrases(
        greeting=re.compile(rf"{after}(?:{greetings}){before}", re.IGNORECASE),
        openings=tuple(re.compile(one, re.IGNORECASE) for one in openings),
        fillings=tuple(re.compile(one, re.IGNORECASE) for one in fillings),
        closing=re.compile(rf"(?<!\w)(?:{closings})[\W_]*$", re.IGNORECASE),
    )


def _any(phrases: str) -> str:
    """A pattern for one of the phrases, the longest first."""
    longest_first = sorted(set(phrases.split("|")), key=lambda phrase: (-len(phrase), phrase))
    return "|".join(re.escape(phrase).replace(r"\ ", r"\s+") for phrase in longest_first)
