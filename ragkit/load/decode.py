"""Bytes to text: which encoding a file is in, and what to say when it is in none."""

from __future__ import annotations

import codecs
import re

from ragkit.errors import LoadError, MissingDependencyError

# UTF-32's mark starts with UTF-16's, so the longer marks come first.
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
# Left to choose among all of Python's codecs, the detector prefers exotic ones (UTF-16 for "café" in Latin-1,
# Mac Cyrillic for cp1251); these are the encodings that files without a mark are really in.
_LIKELY = [
    "cp1252", "cp1250", "cp1251", "koi8_r", "cp1253", "cp1254", "cp1255", "cp1256", "cp1257", "cp1258", "cp874",
    "iso8859_2", "iso8859_5", "iso8859_7", "cp932", "euc_jp", "gb18030", "big5", "euc_kr",
]  # fmt: skip
_HTML_CHARSET = re.compile(rb"""<meta[^>]{0,200}?charset\s*=\s*["']?\s*([\w.:-]{1,40})""", re.IGNORECASE)


def looks_binary(data: bytes) -> bool:
    """True for bytes that are no text in any encoding that this module reads: a NUL without a byte-order mark."""
    return b"\0" in data and not data.startswith(tuple(mark for mark, _ in _MARKS))


def declared_charset(data: bytes) -> str | None:
    """The encoding an HTML page declares in its first 4 kB, when Python knows it (HTML Standard, prescan)."""
    found = _HTML_CHARSET.search(data[:4096])
    if found is None:
        return None
    try:
        return codecs.lookup(found.group(1).decode("ascii")).name
    except LookupError:
        return None


def _guess(data: bytes, name: str) -> str:
    """The likeliest legacy encoding; windows-1252, the commonest, wherever it explains the bytes equally well."""
    try:
        from charset_normalizer import from_bytes
    except ImportError as error:
        raise MissingDependencyError(
            f"{name} is not UTF-8, and guessing its encoding needs charset-normalizer. "
            "Install the extra ragkit-middleware[load], or pass encoding=."
        ) from error
    matches = from_bytes(data, cp_isolation=_LIKELY)
    best = matches.best()
    if best is None:
        raise LoadError(
            f"{name} is not text in any encoding that can be recognised. Pass encoding= if you know it, or leave the file out."
        )
    for match in matches:
        if match.chaos <= best.chaos and match.coherence >= best.coherence and "cp1252" in match.could_be_from_charset:
            return "cp1252"
    return str(best.encoding)


def decode(data: bytes, *, name: str, encoding: str | None = None, hint: str | None = None) -> tuple[str, str]:
    """The text of ``data`` and the encoding that gave it.

    In this order: ``encoding`` when the caller knows it, a byte-order mark, UTF-8, ``hint`` (what the file
    itself declares), and a guess among the common legacy encodings. Line ends stay as they are, so offsets
    agree with ``open(path, encoding=..., newline="")``; a byte-order mark is no part of the text.

    Raises LoadError for binary data and for bytes that the encoding cannot read; ``name`` is put in messages.
    """
    if encoding is not None:
        try:
            return data.decode(encoding), encoding
        except LookupError as error:
            raise LoadError(f"{encoding!r} is not an encoding Python knows. Give a name such as 'utf-8' or 'cp1252'.") from error
        except UnicodeError as error:
            raise LoadError(f"{name} is not {encoding}: {error}. Leave encoding= out to let it be recognised.") from error
    for mark, marked in _MARKS:
        if data.startswith(mark):
            try:
                return data.decode(marked), marked
            except UnicodeError as error:
                raise LoadError(
                    f"{name} starts with the mark of {marked} but does not decode: {error}. The file is damaged."
                ) from error
    if looks_binary(data):
        raise LoadError(
            f"{name} is binary (it holds NUL bytes), not text. Leave it out; "
            "if it is UTF-16 without a mark, pass encoding='utf-16-le'."
        )
    for candidate in ("utf-8", hint):
        if candidate is not None:
            try:
                return data.decode(candidate), candidate
            except UnicodeError:
                continue
    guessed = _guess(data, name)
    return data.decode(guessed), guessed
