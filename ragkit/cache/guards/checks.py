"""The guards: each compares two readings and names the pieces that differ, or finds nothing."""

from __future__ import annotations

from collections.abc import Callable
from difflib import SequenceMatcher
from itertools import pairwise

import regex

from ragkit.cache.guards import words as lists
from ragkit.cache.guards.quantities import amounts, dates, exact_pieces, money
from ragkit.cache.guards.reading import Reading, content, meaning, once, parts, stem, stems

#: What differs on either side, or None.
Difference = tuple[str, str] | None
Guard = Callable[[Reading, Reading], Difference]

_FREE_OF = regex.compile(r"\bfree of\b|\bother than\b|\binstead of\b|\brather than\b|\w-free\b")
_CLASS = regex.compile(r"\b(first|second) class\b")
_LEVEL = regex.compile(r"\b(?:level|tier) (\w+)\b")
_FULL_TIME = regex.compile(r"\b(full|part)[- ]time\b")
_OURS = regex.compile(r"\b(?:my|our) (\p{L}+)'s\b")
_MARKS = regex.compile(r"[^\p{L}\p{N}]")


def _unequal(left: frozenset[str], right: frozenset[str]) -> Difference:
    if left == right:
        return None
    return ", ".join(sorted(left - right)), ", ".join(sorted(right - left))


def codes(left: Reading, right: Reading) -> Difference:
    """Ids, codes, versions, addresses, paths, identifiers and quoted words must be the same."""
    one, other = exact_pieces(left), exact_pieces(right)
    if one == other:
        return None
    # A quoted or joined word that the other side writes plainly is no difference.
    missing = frozenset(piece for piece in one - other if piece not in right.folded)
    extra = frozenset(piece for piece in other - one if piece not in left.folded)
    return _unequal(missing, extra)


def numbers(left: Reading, right: Reading) -> Difference:
    """Numbers and amounts must be the same, after units are converted."""
    return _unequal(amounts(left), amounts(right))


def currencies(left: Reading, right: Reading) -> Difference:
    """Currencies must be the same."""
    return _unequal(money(left), money(right))


def times(left: Reading, right: Reading) -> Difference:
    """Dates, weekdays, seasons, times of day and periods must be the same."""
    return _unequal(dates(left), dates(right))


def freshness(left: Reading, right: Reading) -> Difference:
    """Neither side may ask for something that depends on when it is asked."""
    one, other = fresh_words(left), fresh_words(right)
    return (one, other) if one or other else None


@once
def fresh_words(reading: Reading) -> str:
    """The words that make the answer depend on when it is asked, joined by commas; empty without any."""
    found = [phrase for phrase in lists.FRESH_PHRASES if phrase in reading.folded]
    found += sorted(_telling(reading) & lists.FRESH)
    return ", ".join(found)


def negation(left: Reading, right: Reading) -> Difference:
    """Both sides deny equally often, and no word on one side is the other side's word with a denying prefix."""
    one, other = _denials(left), _denials(right)
    if len(one) % 2 != len(other) % 2:
        return " ".join(one), " ".join(other)
    ours, theirs = left.folded_words - right.folded_words, right.folded_words - left.folded_words
    denying = {word for word in (*ours, *theirs) if word.startswith(_BEGINNINGS) or word.endswith("less")}
    if not denying:
        return None
    for word in sorted(ours):
        for against in sorted(theirs):
            if (word in denying and _denies(word, against)) or (against in denying and _denies(against, word)):
                return word, against
    return None


_DENYING = lists.NEGATORS | lists.LACKING
_DENYING_ANYWHERE = _DENYING | lists.FOREIGN_NEGATORS


@once
def _denials(reading: Reading) -> list[str]:
    denying = _DENYING if reading.english else _DENYING_ANYWHERE
    found = [] if denying.isdisjoint(reading.folded_words) else [word for word in reading.words if word in denying]
    text = reading.folded
    if ("free" in text or "than" in text or "instead" in text) and _FREE_OF.search(text):
        found.append("free of")
    if not reading.spaced:
        found += [sign for sign in lists.HAN_NEGATORS if sign in reading.folded]
    return found


_PREFIXES = tuple(lists.NEGATIVE_PREFIXES)
#: encrypt / decrypt, increase / decrease, import / export
_TURNS = (("en", "de"), ("in", "de"), ("in", "ex"), ("im", "ex"), ("over", "under"), ("pre", "post"))
_TURNED = tuple({end for _, end in _TURNS})
_BEGINNINGS = (*_PREFIXES, *{begin for begin, _ in _TURNS})


def _denies(word: str, plain: str) -> bool:
    if len(plain) < 3:
        return False
    if word.startswith(_PREFIXES):
        for prefix in lists.NEGATIVE_PREFIXES:
            rest = word.removeprefix(prefix)
            if rest != word and len(rest) >= 3 and (rest == plain or (len(prefix) > 1 and stem(rest) == stem(plain))):
                return True
    if len(word) > 5 and plain.startswith(_TURNED):
        for a, b in _TURNS:
            if word.startswith(a) and plain.startswith(b) and stem(word[len(a) :]) == stem(plain[len(b) :]):
                return True
    # useful / useless
    return (
        word.endswith("less") and plain.startswith(word[:-4]) and plain.endswith(("ful", "ed", "y"))
    ) or word == plain + "less"


def opposites(left: Reading, right: Reading) -> Difference:
    """No word on one side excludes a word on the other."""
    ours = (_telling(left) & _OPPOSED.keys()) - right.folded_words
    theirs = (_telling(right) & _OPPOSED.keys()) - left.folded_words
    if ours and theirs:
        for place in sorted({place for word in ours for place in _OPPOSED[word]}):
            group = lists.OPPOSITES[place]
            one, other = ours & group, theirs & group
            if one and other and not {meaning(word) for word in one} & {meaning(word) for word in other}:
                return ", ".join(sorted(one)), ", ".join(sorted(other))
    return _in_or_out(left, right)


def _in_or_out(left: Reading, right: Reading) -> Difference:
    """ "log in" and "log out": both words also stand where they oppose nothing, so they count behind the same word only."""
    out_left, out_right = "out" in left.folded_words, "out" in right.folded_words
    if out_left == out_right or "in" not in (right if out_left else left).folded_words:
        return None
    one, other = ("out", "in") if out_left else ("in", "out")
    shared = _before(one, left) & _before(other, right)
    word = min(shared, default=None)
    return None if word is None else (f"{word} {one}", f"{word} {other}")


def _before(wanted: str, reading: Reading) -> set[str]:
    return {before for before, word in pairwise(reading.words) if word == wanted}


_OPPOSED: dict[str, list[int]] = {}
for _place, _group in enumerate(lists.OPPOSITES):
    for _word in _group:
        _OPPOSED.setdefault(_word, []).append(_place)
#: All the words that some guard has a list of; few prompts hold more than two.
_TELLING = lists.FRESH.union(
    lists.TIERS, lists.SHY_TIERS, lists.TARGETS, lists.PRINCIPALS.keys(), lists.ACTIONS.keys(), _OPPOSED.keys()
)


@once
def _telling(reading: Reading) -> frozenset[str]:
    return reading.folded_words & _TELLING


def tiers(left: Reading, right: Reading) -> Difference:
    """Plans, classes and editions must be the same."""
    found = _unequal(_tiers(left), _tiers(right))
    if found:
        return found
    one, other = _telling(left) & lists.SHY_TIERS, _telling(right) & lists.SHY_TIERS
    return _unequal(one, other) if one - other and other - one else None


@once
def _tiers(reading: Reading) -> frozenset[str]:
    found = {stem(word) for word in _telling(reading) & lists.TIERS}
    if _telling(reading) & lists.SHY_TIERS:
        order = reading.words
        for place, word in enumerate(order):
            beside = {*order[max(0, place - 1) : place], *order[place + 1 : place + 2]}
            if word in lists.SHY_TIERS and beside & lists.TIER_NOUNS:
                found.add(stem(word))
    if "class" in reading.folded:
        found |= {f"{match} class" for match in _CLASS.findall(reading.folded)}
    if "level" in reading.folded or "tier" in reading.folded:
        found |= {f"level {match}" for match in _LEVEL.findall(reading.folded) if match in ("one", "two", "three")}
    if "time" in reading.folded:
        found |= {f"{match}-time" for match in _FULL_TIME.findall(reading.folded)}
    return frozenset(found)


def principals(left: Reading, right: Reading) -> Difference:
    """The people and roles spoken of must be the same."""
    return _unequal(_principals(left), _principals(right))


@once
def _principals(reading: Reading) -> frozenset[str]:
    if "'s" not in reading.folded:
        return frozenset(lists.PRINCIPALS[word] for word in _telling(reading) if word in lists.PRINCIPALS)
    plain = (word.removesuffix("'s") for word in reading.folded_words)
    found = {lists.PRINCIPALS[word] for word in plain if word in lists.PRINCIPALS}
    # "my team's tasks" are not my tasks.
    found |= {f"{match}'s" for match in _OURS.findall(reading.folded)}
    return frozenset(found)


def actions(left: Reading, right: Reading) -> Difference:
    """What is to be done must be the same: where both sides name an action, they share one."""
    one, other = _actions(left), _actions(right)
    return (", ".join(sorted(one)), ", ".join(sorted(other))) if one and other and not one & other else None


def _actions(reading: Reading) -> frozenset[str]:
    return frozenset(lists.ACTIONS[word] for word in _telling(reading) if word in lists.ACTIONS)


def targets(left: Reading, right: Reading) -> Difference:
    """Languages, programming languages and programs named must be the same."""
    return _unequal(_telling(left) & lists.TARGETS, _telling(right) & lists.TARGETS)


def entities(left: Reading, right: Reading) -> Difference:
    """Names on one side must be words of the other."""
    one, other = _missing(left, right), _missing(right, left)
    return (", ".join(one), ", ".join(other)) if one or other else None


def _missing(reading: Reading, other: Reading) -> list[str]:
    named = [word for word in reading.named if stem(word) not in stems(other)]
    if not named:
        return []
    run_on = _MARKS.sub("", other.folded)
    return sorted(word for word in named if not _nearly(word, run_on))


def _nearly(name: str, run_on: str) -> bool:
    return len(name) > 3 and name in run_on


def roles(left: Reading, right: Reading) -> Difference:
    """Who does what to whom, and from where to where, must not be turned round."""
    one, other = _order(left), _order(right)
    where = {word: place for place, word in enumerate(other)}
    shared = [word for word in one if word in where]
    places = [where[word] for word in shared]
    if places == sorted(places):
        return None
    for middle in range(1, len(shared) - 1):
        if shared[middle] in _JOINING:
            continue
        pivot = where[shared[middle]]
        turned_left = next((word for word in shared[:middle] if where[word] > pivot and word not in _LINKS), None)
        turned_right = next((word for word in shared[middle + 1 :] if where[word] < pivot and word not in _LINKS), None)
        if turned_left and turned_right:
            return f"{turned_left} ... {turned_right}", f"{turned_right} ... {turned_left}"
    return None


_JOINING = frozenset({"and", "or", "vs", "versus", "between", "in", "of", "on", "at", "with", "for"})
_LINKS = frozenset({"to", "from", "into", "than", "before", "after", "by", "since", "until"})
_SELF = {"me": "i", "us": "we", "him": "he", "them": "they"}
_PLACED = _LINKS | _SELF.keys() | frozenset(_SELF.values())
_UNPLACED = lists.FUNCTION - _PLACED


@once
def _order(reading: Reading) -> list[str]:
    """Content words and links in their order, each once."""
    found = [_SELF.get(word, word) if word in _PLACED else stem(word) for word in reading.words if word not in _UNPLACED]
    return list(dict.fromkeys(found))


def question(left: Reading, right: Reading) -> Difference:
    """Where both sides ask for a reason, a time, a person, an amount, a place or a way, it must be the same one."""
    one, other = _asks(left), _asks(right)
    if one == other or not one or not other or frozenset((one.split()[0], other.split()[0])) in _COMPATIBLE:
        return None
    if frozenset((one, other)) <= {"cost", "amount much", "amount high", "amount many"}:
        return None
    return one, other


#: Pairs that people use for one question: "where do I find" and "how do I find", "is there a limit" and "how much".
_COMPATIBLE = frozenset(
    frozenset(pair.split("/"))
    for pair in [
        "how/where",
        "how/yes-no",
        "where/yes-no",
        "how/what",
        "amount/yes-no",
        "time/yes-no",
        "amount/what",
        "time/what",
        "where/what",
        "what/yes-no",
        "cost/yes-no",
        "cost/what",
        "cost/amount",
        "person/what",
    ]
)
#: What is asked for, words of which a plain text that asks for it holds one, and how it is asked.
_KINDS = (
    ("reason", "why come what reason reasons", r"\bwhy\b|\bhow come\b|\bwhat (is|are|was|were|could be|might be)? ?(the |some )?(main )?(reason|cause)s?\b|\bwhat (makes?|made|causes?)\b|\breasons? (why|for|behind)\b"),
    ("time", "when time year years date dates day days month months soon late early", r"\bwhen\b|\bwhat (time|year|date|day|month)\b|\b(which|what) (day|year|month|date)s?\b|\bhow (soon|late|early)\b"),
    ("person", "who whom whose", r"\bwho\b|\bwhom\b|\bwhose\b"),
    ("cost", "much expensive price prices cost costs fee fees", r"\bhow (much|expensive)\b.*\b(costs?|pay|price|fees?|charge)\b|\bhow expensive\b|\bwhat (is|are) the (price|cost|fee)s?\b"),
    ("amount", "much many long far old tall big high often fast heavy large", r"\bhow (much|many|long|far|old|tall|big|high|often|fast|heavy|large)\b"),
    ("where", "where city country place town", r"\bwhere\b|\b(which|what) (city|country|place|town)\b"),
    ("way", "how steps way ways procedure", r"\bhow (do|does|can|could|should|to|would|is|are|did|will)\b|\b(steps|way|ways|procedure) (to|of|for)\b"),
)  # fmt: skip
_PATTERNS = tuple((name, frozenset(held.split()), regex.compile(pattern)) for name, held, pattern in _KINDS)
_YES_NO = regex.compile(
    r"^\W*(?!(?:can|could|would|will) you\b)(is|are|was|were|do|does|did|can|could|should|will|would|has|have|had|may|must)\b"
)
_WHAT_IS = regex.compile(r"^\W*what (is|are|was|were) (an? |the )?[\p{L}\p{N}' -]+\W*$")


@once
def _asks(reading: Reading) -> str:
    # "What happens if I ...", "when I ... how": a subordinate "when" or "who" asks nothing.
    text = reading.folded
    for name, held, pattern in _PATTERNS:
        if reading.plain and held.isdisjoint(parts(reading)):
            continue
        match = pattern.search(text)
        if match and (name in ("reason", "cost", "amount", "way") or match.start() <= max(12, len(text) // 6)):
            return f"amount {match[1]}" if name == "amount" else {"way": "how"}.get(name, name)
    if _YES_NO.match(text):
        return "yes-no"
    return "what" if _WHAT_IS.match(text) and len(content(reading)) <= 2 else ""


def substitution(left: Reading, right: Reading) -> Difference:
    """Two prompts that differ in exactly one content word, and not by a known synonym or a spelling, ask for different things."""
    if not left.english or not right.english or not left.spaced or not right.spaced:
        return _replaced(left, right)
    one_side, other_side = content(left), content(right)
    ours, theirs = one_side - other_side, other_side - one_side
    if len(ours) == 1 and len(theirs) == 1 and one_side & other_side:
        (one,), (other,) = ours, theirs
        if not _spelling(one, other):
            return one, other
    return None


def _spelling(one: str, other: str) -> bool:
    """Two spellings of one word: long, lower distance, same beginning."""
    if min(len(one), len(other)) < 4 or one[0] != other[0]:
        return False
    return one.startswith(other) or other.startswith(one) or SequenceMatcher(None, one, other).ratio() >= 0.86


def _replaced(left: Reading, right: Reading) -> Difference:
    """Outside English: one short stretch of words (or of characters, without blanks) replaced by another."""
    spaced = left.spaced and right.spaced
    one = left.words if spaced else tuple(sign for sign in left.folded if sign.isalnum())
    other = right.words if spaced else tuple(sign for sign in right.folded if sign.isalnum())
    short = 1 if spaced else 3
    if abs(len(one) - len(other)) >= short:
        return None
    # What stands between their common beginning and end: comparing all of two long texts takes seconds.
    most = min(len(one), len(other))
    begin = next((place for place in range(most) if one[place] != other[place]), most)
    end = next((place for place in range(most - begin) if one[-1 - place] != other[-1 - place]), most - begin)
    ours, theirs = one[begin : len(one) - end], other[begin : len(other) - end]
    if 0 < len(ours) <= short and 0 < len(theirs) <= short and len(ours) < len(one) and not set(ours) & set(theirs):
        glue = " " if spaced else ""
        return glue.join(ours), glue.join(theirs)
    return None


#: Every guard by name, in the order in which they are asked.
GUARDS: dict[str, Guard] = {
    "code": codes,
    "number": numbers,
    "currency": currencies,
    "time": times,
    "freshness": freshness,
    "negation": negation,
    "opposite": opposites,
    "tier": tiers,
    "principal": principals,
    "action": actions,
    "target": targets,
    "entity": entities,
    "role": roles,
    "question": question,
    "substitution": substitution,
}

#: Whatever guards look for in one prompt before they compare two.
FINDINGS: tuple[Callable[[Reading], object], ...] = (
    exact_pieces, amounts, money, dates, fresh_words, parts, content, _telling, _denials, _tiers, _principals, _order, _asks,
)  # fmt: skip
