"""Numbers, amounts with units, money, dates, times, and things that are spelt exactly: found and brought to one form."""

from __future__ import annotations

import re
from fractions import Fraction

import regex

from ragkit.cache.guards.reading import Reading, once, parts

_ONES = "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen"
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety"
_NUMBERS: dict[str, int] = {word: number for number, word in enumerate(_ONES.split())}
_NUMBERS |= {word: 10 * (place + 2) for place, word in enumerate(_TENS.split())}
_SCALES = {"hundred": 100, "thousand": 1000, "million": 10**6, "billion": 10**9, "k": 1000, "m": 10**6, "bn": 10**9}
_SCALES |= {"lakh": 10**5, "lakhs": 10**5, "crore": 10**7, "crores": 10**7, "millions": 10**6, "thousands": 1000}
_ORDINALS = "first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth"
_NUMBERS |= {word: number + 1 for number, word in enumerate(_ORDINALS.split())}
_NUMBERS |= {"dozen": 12, "once": 1, "twice": 2, "thrice": 3, "double": 2, "triple": 3, "single": 1, "couple": 2}
#: Number words that often mean no number; they count only before a unit.
_SHY = frozenset({"one", "first", "second", "once", "single", "double", "couple", "m", "k"})

#: Unit -> (what it measures, how many base units). Units of different kinds are never equal.
_UNITS: dict[str, tuple[str, Fraction]] = {}


def _units(kind: str, table: str) -> None:
    for entry in table.split(";"):
        names, factor = entry.split("=")
        for name in names.split():
            _UNITS[name] = (kind, Fraction(factor.strip()))


_units(
    "length", "mm millimetre millimetres millimeter millimeters=1/1000; cm centimetre centimetres centimeter centimeters=1/100"
)
_units("length", "metre metres meter meters=1; km kilometre kilometres kilometer kilometers=1000; inch inches=254/10000")
_units("length", "foot feet ft=3048/10000; yard yards=9144/10000; mile miles=1609344/1000")
_units(
    "mass",
    "mcg microgram micrograms=1/1000000; mg milligram milligrams=1/1000; g gram grams=1; kg kilo kilos kilogram kilograms=1000",
)
_units("mass", "lb lbs pound pounds=45359237/100000; oz ounce ounces=28349523125/1000000000; ton tons tonne tonnes=1000000")
_units(
    "volume",
    "ml millilitre milliliter millilitres milliliters=1/1000; cl=1/100; l litre litres liter liters=1; gallon gallons=3785/1000",
)
_units("time", "ms millisecond milliseconds=1/1000; sec secs seconds=1; min mins minute minutes=60; h hr hrs hour hours=3600")
_units("time", "day days=86400; week weeks=604800; fortnight=1209600")
_units("months", "month months=1; quarter quarters=3; year years yr yrs=12; decade decades=120; century centuries=1200")
_units("bytes", "byte bytes=1; kb=1000; mb mbyte=1000000; gb=1000000000; tb=1000000000000; kib=1024; mib=1048576; gib=1073741824")
_units("bits", "bit bits=1; kbit kbps=1000; mbit mbps=1000000; gbit gbps=1000000000")
_units("speed", "km/h kmh kph=1; mph=1609344/1000000")
_units("temperature", "degree degrees celsius=1")
_units("fahrenheit", "fahrenheit=1")
_units("percent", "percent % per-cent=1")
_units("power", "w watt watts=1; kw=1000; mw=1000000; kwh=1")

_MONEY = {
    "$": "usd", "usd": "usd", "dollar": "usd", "dollars": "usd", "bucks": "usd", "€": "eur", "eur": "eur", "euro": "eur",
    "euros": "eur", "£": "gbp", "gbp": "gbp", "sterling": "gbp", "¥": "jpy", "yen": "jpy", "jpy": "jpy", "yuan": "cny",
    "cny": "cny", "renminbi": "cny", "rmb": "cny", "rupee": "inr", "rupees": "inr", "₹": "inr", "inr": "inr", "rs": "inr",
    "franc": "chf", "francs": "chf", "chf": "chf", "rubles": "rub", "ruble": "rub", "bitcoin": "btc", "bitcoins": "btc",
    "btc": "btc", "peso": "peso", "pesos": "peso", "krona": "krona",
}  # fmt: skip

_MONTHS = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
]
_DAYS = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]
_DATES: dict[str, str] = {month: f"month {place}" for place, month in enumerate(_MONTHS, 1)}
_DATES |= {month[:3]: f"month {place}" for place, month in enumerate(_MONTHS, 1)} | {"sept": "month 9"}
_DATES |= {day + ending: f"weekday {place}" for place, day in enumerate(_DAYS, 1) for ending in ("", "s")}
for _word in [
    "spring",
    "summer",
    "autumn",
    "winter",
    "easter",
    "christmas",
    "ramadan",
    "diwali",
    "thanksgiving",
    "halloween",
    "hanukkah",
    "pentecost",
    "noon",
    "midnight",
    "midday",
    "dawn",
    "dusk",
    "weekend",
    "weekdays",
    "weekends",
    "tonight",
    "today",
    "tomorrow",
    "yesterday",
]:
    _DATES[_word] = _word
for _part in ["morning", "afternoon", "evening", "night"]:
    _DATES[_part] = _DATES[_part + "s"] = _part
_DATES["fall"] = ""
_NEARBY = frozenset(["last", "next", "this", "past", "previous", "coming", "first", "second", "third", "fourth"])
_PERIODS = regex.compile(
    rf"\b({'|'.join(sorted(_NEARBY))})\s+(second|minute|hour|day|week|month|quarter|term|semester|year|decade|century)\b"
)

_NUMBER = regex.compile(
    r"(?<![\p{L}\p{N}_.])(?P<sign>-)?(?P<digits>\p{Nd}{1,3}(?:,\p{Nd}{3})+(?:\.\p{Nd}+)?|\p{Nd}+(?:\.\p{Nd}+)*)(?P<suffix>st|nd|rd|th|s|k|m|bn)?(?![\p{L}\p{N}_])",
)
_CLOCK = regex.compile(r"\b(\d{1,2})(?::(\d{2}))?\s*(am|pm|a\.m\.|p\.m\.|o'clock)(?!\p{L})|\b(\d{1,2}):(\d{2})\b")
#: One of these is in every time of day.
_CLOCK_MARKS = (":", "am", "pm", ".m.", "o'clock")
_GLUED = regex.compile(
    r"(?<![\p{L}\p{N}_.])(\p{Nd}+(?:\.\p{Nd}+)?)(mm|cm|km|mg|kg|g|ml|l|kb|mb|gb|tb|ms|h|min|mph|kw|w|lbs?|oz|ft)(?![\p{L}\p{N}_])"
)

_TOKEN = regex.compile(r"\p{L}[\p{L}'/-]*|%|[^\s\p{L}]+")
_ASCII_TOKEN = re.compile(r"[A-Za-z][A-Za-z'/-]*|%|[^ \t\n\r\f\vA-Za-z]+")
#: Characters without a blank that are compared as they are written, whatever number they may be.
_ENDLESS = 1000
_SIGNS = frozenset("$€£¥₹")

#: What must be spelt alike: addresses, paths, codes that mix letters with digits, quoted words, code.
_EXACT: tuple[tuple[str, regex.Pattern[str]], ...] = (
    ("/.", regex.compile(r"https?://[^\s\"'<>]+|www\.[^\s\"'<>]+")),
    ("@", regex.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+")),
    ("/\\", regex.compile(r"(?<![\w/])(?:~|\.{0,2})/[\w.+-]+(?:/[\w.+-]+)*|[A-Za-z]:\\[^\s\"']+")),
    ("#", regex.compile(r"#\d+")),
    ("/.-", regex.compile(r"\b(?:\d{1,4}[/.]){2}\d{1,4}\b|\b\d{1,4}(?:-\d{1,4}){1,3}\b")),
    (
        "",
        regex.compile(
            r"\b\p{L}+(?:_\p{L}+)+\b|\b\p{Ll}+(?:\p{Lu}\p{Ll}+)+\b|\b\p{L}\w*(?:\.\p{L}\w*)+(?:\(\)|/[^\s\"'<>]*)?|\B--?\p{L}[\w-]+"
        ),
    ),
    ("\"'", regex.compile(r"\"[^\"\n]{1,80}\"|(?<![\w])'[^'\n]{2,80}'(?!\w)")),
)
#: Nothing of the above is in a text without one of these; and each only where one of its own signs is, if it has some.
_ODD = regex.compile(r"[@/\\#_\"'-]|\.\S|\p{Ll}\p{Lu}")
_ASCII_ODD = re.compile(r"[@/\\#_\"'-]|\.[^ \t\n\r\f\v]|[a-z][A-Z]")
#: The same, of words that hold a letter and a number.
_MIXED = (
    regex.compile(r"\b(?=[\p{L}\p{N}_]*\p{N})(?=[\p{L}\p{N}_]*\p{L})[\p{L}\p{N}_]+(?:[-_./:][\p{L}\p{N}]+)*\b"),
    regex.compile(r"\b\p{L}+[-_]\p{N}[\p{L}\p{N}]*(?:[-_.]\p{N}+)*\b|\b\p{L}{1,6}(?:-\p{N}+)+\b|\b\p{N}+\(\p{L}\)"),
)
_VERSION = regex.compile(r"^\p{N}+(?:st|nd|rd|th|s|k|m|bn|am|pm|mm|cm|km|mg|kg|g|ml|l|kb|mb|gb|tb|ms|h|min|mph|kw|w|lbs?|oz|ft)$")


@once
def exact_pieces(reading: Reading) -> frozenset[str]:
    """Addresses, paths, codes, identifiers and quoted words, casefolded, without the marks around them."""
    found, text = set(), reading.text
    patterns: list[regex.Pattern[str]] = []
    if (_ASCII_ODD if reading.plain else _ODD).search(text):
        patterns += [pattern for signs, pattern in _EXACT if not signs or any(sign in text for sign in signs)]
    if _mixes(reading):
        patterns += _MIXED
    if not patterns:
        return frozenset()
    for pattern in patterns:
        for match in pattern.finditer(text):
            piece = match.group().strip(".,;:?!\"'").casefold()
            if piece and not _VERSION.match(piece) and piece not in ("e.g", "i.e", "a.m", "p.m", "u.s", "vs"):
                found.add(piece)
    return frozenset(piece for piece in found if not any(piece != other and piece in other for other in found))


_DIGIT = re.compile("[0-9]")


def _numeric(reading: Reading) -> bool:
    """False only for what holds no number written in digits."""
    return not reading.plain or _DIGIT.search(reading.text) is not None


@once
def _mixes(reading: Reading) -> bool:
    """Whether a word between blanks holds a letter and a number."""
    return _numeric(reading) and any(_mixed(word) for word in reading.text.split() if not word.isalpha())


def _mixed(word: str) -> bool:
    """Whether a word holds a letter and a number."""
    return any(map(str.isnumeric, word)) and any(map(str.isalpha, word))


@once
def amounts(reading: Reading) -> frozenset[str]:
    """Numbers in base units, as text: ``5`` or ``5 length``; number words and ordinals are numbers too."""
    if not _numeric(reading) and _COUNTING.isdisjoint(parts(reading)):
        return frozenset()
    text = _GLUED.sub(r"\1 \2", reading.folded) if _mixes(reading) else reading.folded
    # The longest first: of two that overlap nothing must be left, in whatever order a set of texts comes.
    for piece in sorted(exact_pieces(reading), key=lambda piece: (-len(piece), piece)):
        text = text.replace(piece, " ")
    found = set()
    words = (_ASCII_TOKEN if reading.plain else _TOKEN).findall(text)
    read_to = 0
    for place, word in enumerate(words):
        if place < read_to or (word.isalpha() and word not in _NUMBERS):
            continue
        if len(word) > _ENDLESS:
            found.add(word)
            continue
        value, length = _number_at(words, place)
        if value is None:
            continue
        read_to = place + length
        after = words[read_to] if read_to < len(words) else ""
        unit = _UNITS.get(after.strip(".,;?!"))
        if unit:
            found.add(f"{value * unit[1]} {unit[0]}")
        elif length > 1 or word not in _SHY:
            found.add(str(value))
    return frozenset(found)


_COUNTING = frozenset(_NUMBERS)


def _number_at(words: list[str], place: int) -> tuple[Fraction | int | None, int]:
    """The number that starts at that word, and how many words it takes."""
    word = words[place].strip("()[]:;?!$€£¥₹\"'").rstrip(".,")
    total: Fraction | int | None = None
    length = 1
    if word.isdecimal():
        total = int(word)
    elif match := _NUMBER.fullmatch(word):
        digits = match["digits"].replace(",", "")
        points = digits.count(".")
        if points > 1:
            return None, 1
        total = Fraction(digits) if points else int(digits)
        if match["suffix"] in _SCALES:
            total *= _SCALES[match["suffix"]]
    elif word in _NUMBERS:
        total = _NUMBERS[word]
        following = words[place + 1] if place + 1 < len(words) else ""
        if total >= 20 and total % 10 == 0 and 0 < _NUMBERS.get(following, 0) < 10 and following not in _SHY:
            total, length = total + _NUMBERS[following], 2
    elif "-" in word and all(part in _NUMBERS for part in word.split("-")):
        return sum(_NUMBERS[part] for part in word.split("-")), 1
    if total is None:
        return None, 1
    while place + length < len(words) and words[place + length] in _SCALES and len(words[place + length]) > 1:
        total, length = total * _SCALES[words[place + length]], length + 1
    return total, length


@once
def money(reading: Reading) -> frozenset[str]:
    """Currencies named."""
    signs = {sign for sign in _SIGNS if sign in reading.text}
    return frozenset(_MONEY[word] for word in (reading.folded_words & _COINS) | signs)


_COINS = frozenset(_MONEY)


@once
def dates(reading: Reading) -> frozenset[str]:
    """Months, weekdays, seasons, holidays, times of day, relative periods and clock times."""
    found = {_DATES[word] for word in reading.folded_words & _DATED if _is_date(word in reading.named, word)}
    if not reading.plain or not _NEARBY.isdisjoint(parts(reading)):
        found |= {" ".join(match.groups()) for match in _PERIODS.finditer(reading.folded)}
    for match in _CLOCK.finditer(reading.folded) if any(mark in reading.folded for mark in _CLOCK_MARKS) else ():
        hour = int(match[1] or match[4])
        minute = int(match[2] or match[5] or 0)
        if match[3] and match[3].startswith("p") and hour < 12:
            hour += 12
        found.add(f"{hour:02}:{minute:02}")
    return frozenset(found)


_DATED = frozenset(word for word, date in _DATES.items() if date)


def _is_date(named: bool, folded: str) -> bool:
    # "may", "march" and "august" are other words too, and so are most three-letter forms; in a date they have a capital.
    return named or not (folded in ("march", "august") or len(folded) == 3)
