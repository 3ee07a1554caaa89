"""Texts that break chunkers: one generator of each kind of trouble, made by rule from a seed."""

from __future__ import annotations

import random
from collections.abc import Callable

_WORDS = [
    "river",
    "stone",
    "letter",
    "market",
    "window",
    "summer",
    "engine",
    "paper",
    "garden",
    "number",
    "winter",
    "signal",
    "forest",
    "bridge",
    "history",
    "language",
    "water",
    "question",
    "answer",
    "small",
    "large",
    "early",
    "quick",
    "silent",
    "careful",
    "northern",
    "modern",
    "public",
    "several",
    "between",
    "without",
    "under",
]
_ZH = "研究表明城市的发展与河流有着密切关系人们在岸边建造房屋市场和桥梁水路把货物运到远方"
_TH = "แม่น้ำสายนี้ไหลผ่านเมืองเก่าและตลาดริมน้ำที่ผู้คนมาพบกันทุกเช้า"
_VI = "Nghiên cứu cho thấy dòng sông đã nuôi sống thành phố suốt nhiều thế kỷ. "


def _sentences(rng: random.Random, size: int) -> str:
    out: list[str] = []
    length = 0
    while length < size:
        words = [rng.choice(_WORDS) for _ in range(rng.randint(4, 22))]
        line = " ".join(words).capitalize() + rng.choice([". ", ". ", "? ", "! ", ".\n\n"])
        out.append(line)
        length += len(line)
    return "".join(out)


def _code(size: int) -> str:
    body = (
        "def step_{0}(value: int) -> int:\n    # keep the sum\n    return value + {0}\n\n\nclass Part{0}:\n    name = 'p{0}'\n\n"
    )
    return "".join(body.format(at) for at in range(size // 90))


def _table(rng: random.Random, size: int) -> str:
    row = "| " + " | ".join(["{}"] * 5) + " |\n"
    head = "# Results\n\n" + row.format(*_WORDS[:5]) + "|---|---|---|---|---|\n"
    return head + "".join(row.format(*(rng.choice(_WORDS) for _ in range(5))) for _ in range(size // 45))


def _marks(rng: random.Random, size: int) -> str:
    letters = (
        chr(97 + rng.randrange(26)) + "".join(chr(0x300 + rng.randrange(0x70)) for _ in range(6)) for _ in range(size // 7)
    )
    return "".join(letters)


def _with(rng: random.Random, size: int, extras: list[str]) -> str:
    return "".join(rng.choice(_WORDS) + " " + rng.choice(extras) + " " for _ in range(size // 9))


def pathological(size: int = 6_000, seed: int = 7) -> dict[str, str]:
    """The 23 inputs by name, most of about ``size`` characters; equal arguments give equal texts."""
    import unicodedata

    def rng() -> random.Random:
        return random.Random(seed)

    prose = _sentences(rng(), size)
    make: dict[str, Callable[[], str]] = {
        "empty": lambda: "",
        "only white space": lambda: " \n\t\u3000" * (size // 4),
        "prose with blank ends": lambda: "  \n\n" + prose + " \t\n ",
        "prose on one line": lambda: prose.replace("\n\n", ""),
        "letters without blanks": lambda: "".join(chr(97 + rng_.randrange(26)) for rng_ in [rng()] for _ in range(size)),
        "one letter": lambda: "a" * size,
        "dots": lambda: "." * size,
        "emoji": lambda: "".join(r.choice(["👨‍👩‍👧‍👦", "🇩🇪", "👍🏽", "👩🏾‍🚀", "❤️"]) for r in [rng()] for _ in range(size // 5)),
        "chinese": lambda: "".join(r.choice(_ZH) + ("。" if not i % 25 else "") for r in [rng()] for i in range(1, size)),
        "thai": lambda: (_TH * (size // len(_TH) + 1))[:size],
        "combining marks": lambda: _marks(rng(), size),
        "vietnamese decomposed": lambda: unicodedata.normalize("NFD", _VI * (size // len(_VI))),
        "controls": lambda: _with(rng(), size, ["\x00", "\x07", "\x85", "\u2028", " "]),
        "carriage returns": lambda: prose.replace("\n", "\r\n"),
        "lone surrogates": lambda: _with(rng(), size, ["\ud800", "\udfff", "x\ud83d\ude00y"]),
        "one sentence repeated": lambda: "The cat sat. " * (size // 13),
        "one paragraph repeated": lambda: (prose[:400].strip() + "\n\n") * (size // 400),
        "special tokens": lambda: _with(rng(), size, ["<|endoftext|>", "[SEP]", "[CLS]", "</s>", "[MASK]x"]),
        "accents and ligatures": lambda: _with(rng(), size, ["Straße", "İstanbul", "ﬁnance", "Ǆ", "①②", "½", "ＦＵＬＬ"]),
        "private use": lambda: _with(rng(), size, ["\ue000", "\ufffd", "\ufeff", "\u200b", "\U0010ffff", "\u00ad"]),
        "long addresses": lambda: "".join(
            "See https://example.org/" + "".join(r.choice("abcdef0123456789/-_%") for _ in range(3_000)) + " now.\n"
            for r in [rng()]
            for _ in range(max(2, size // 3_000))
        ),
        "markdown table": lambda: _table(rng(), size),
        "python source": lambda: _code(size),
    }
    return {name: build() for name, build in make.items()}
