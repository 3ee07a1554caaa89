"""Last user texts that mean nothing without what came before: they are matched exactly or not at all."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from importlib import resources

import regex

_WORD = regex.compile(r"\p{L}[\p{L}\p{M}'’-]*|\p{N}+")
_ASCII_WORD = re.compile(r"[A-Za-z][A-Za-z'-]*|[0-9]+")
#: Characters up to which texts are looked at: regular expressions would take seconds for megabytes.
LONGEST = 4000
_BLANKS = regex.compile(r"\s+")
_LINES = regex.compile(r"[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]")
_FINAL = regex.compile(r"(?<=[\p{L}\p{M}])[ \t]*[.!?]+$|(?<=\p{N})[ \t]*[.?]+$")
_JOINTS = regex.compile("[-']")
_DENSE = regex.compile(r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Hangul}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}]")

#: Whole texts that only push a conversation on.
_GO_ON = frozenset(
    """continue|go on|please continue|continue please|keep going|carry on|proceed|more|tell me more|say more|next|and then|then what|
    what else|anything else|try again|do it again|again|retry|redo it|repeat that|same again|once more|one more time|yes please|no thanks|
    yes|no|yeah|yep|nope|ok|okay|sure|fine|thanks|thank you|thank you very much|great|got it|i see|sounds good|do it|go ahead|make it so|
    weiter|mach weiter|bitte weiter|weiter bitte|noch mehr|noch einmal|nochmal|mehr davon|ja bitte|nein danke|alles klar|danke schön|
    continuer|continue s'il te plaît|continuez|vas y|encore|la suite|encore une fois|oui merci|non merci|d'accord|
    sigue|continúa|continua|por favor continúa|adelante|más|otra vez|sí por favor|no gracias|de acuerdo|
    vai avanti|ancora|continua per favore|va bene|sì grazie|continue por favor|mais|de novo|está bem|sim por favor|
    ga door|ga verder|meer|nog een keer|продолжай|продолжить|дальше|ещё|еще раз|да|нет|спасибо|devam et|devam|tekrar|evet|hayır|
    kontynuuj|dalej|jeszcze raz|继续|请继续|接着说|再来一次|还有吗|好的|是的|谢谢|繼續|続けて|続けてください|もう一度|はい|いいえ|ありがとう|
    계속|계속해|계속해줘|다시|네|아니요|استمر|تابع|المزيد|نعم|لا|जारी रखें|और बताओ|हाँ""".replace("\n", "").split("|")
)
_GO_ON = frozenset(entry.strip() for entry in _GO_ON)
_GO_ON_WORDS = max(len(entry.split()) for entry in _GO_ON)

#: Words that point at something said before, and words too light to say what is asked.
_LIGHT = frozenset(resources.files("ragkit.cache").joinpath("data/light.txt").read_text(encoding="utf-8").split())


def exact_only(text: object) -> str | None:
    """Why a last user text is matched exactly only, in one line; None where meaning may be compared.

    Exact only are: what is no text, texts of more than 4000 characters (one vector of so much tells little, and guards get slow),
    texts without a letter or digit, a single word (in scripts without blanks: up to three characters), texts that only push the
    conversation on ("continue", in a dozen languages), and follow-ups made of pointing words alone ("why is that?").
    """
    if not isinstance(text, str):
        return f"not text but {type(text).__name__}"
    return f"{len(text)} characters are more than {LONGEST}" if len(text) > LONGEST else _exact_only(text)


@lru_cache(maxsize=256)
def _exact_only(text: str) -> str | None:
    # Asked twice of every prompt: before it is embedded, and by the decision.
    plain = unicodedata.normalize("NFKC", text).casefold().strip()
    if not plain:
        return "empty"
    words = (_ASCII_WORD if plain.isascii() else _WORD).findall(plain)
    if not words:
        return "no word in it"
    if len(words) <= _GO_ON_WORDS and " ".join(words).replace("’", "'") in _GO_ON:
        return "only pushes the conversation on"
    dense = 0 if plain.isascii() else len(_DENSE.findall(plain))
    if len(words) == 1 and not dense:
        return "a single word"
    if dense and dense + sum(not _DENSE.search(word) for word in words) <= 3:
        return "too short to mean anything alone"
    if not dense and all(part in _LIGHT for word in reversed(words) for part in _joined(word)):
        return "only points at what was said before"
    return None


def _joined(word: str) -> list[str]:
    """The word itself where it is light, else what hyphens and apostrophes join: "est-ce", "c'est"."""
    plain = word.replace("’", "'")
    return [plain] if plain in _LIGHT else _JOINTS.split(plain)


def normalised(text: str) -> str:
    """The form in which two prompts are exact repetitions: Unicode NFC, blanks as one, no . ! or ? after the last word.

    Case is kept: "us" and "US" are different words. So are lines and their indentation, which mean something in code, and what
    marks say behind anything but a word: "5!" is not 5, and "a.*?" not "a.*". Texts of more than 4000 characters stay as they are.
    """
    if len(text) > LONGEST:
        return text
    plain = unicodedata.normalize("NFC", text).strip()
    if not (plain.isascii() and plain.isprintable() and "  " not in plain) and not _LINES.search(plain):
        plain = _BLANKS.sub(" ", plain)
    # The marks follow upon the last character that is neither a blank nor one of them.
    last = max(0, len(plain.rstrip(" \t.!?")) - 1)
    return plain[:last] + _FINAL.sub("", plain[last:])
