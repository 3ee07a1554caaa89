"""What a client may say about caching, and what it is told: request directives, Cache-Status and Age."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from ragkit.cache import Verdict

#: Headers for the cache alone: they are never sent on.
CONTROL_HEADERS = frozenset({"cache-control", "x-ragkit-cache", "x-ragkit-scope"})
_MOST_SECONDS = 2**31
#: RFC 9211's words for why a request went on, by kind of verdict.
_FORWARDED = {"bypass": "bypass", "miss": "uri-miss"}


@dataclass(frozen=True, slots=True)
class Instead:
    """An entry past its time that is served for want of better: whether the upstream was asked, and the status it answered with, if any."""

    asked: bool
    status: int | None = None


class BadControlError(ValueError):
    """A directive that cannot be read; the message is for the client."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Controls:
    """The client's wishes, from ``Cache-Control`` (RFC 9111, section 5.2.1), ``X-Ragkit-Cache`` and ``X-Ragkit-Scope``.

    ``lookup`` False: nothing stored is served ("no-cache", "no-store", "bypass"). ``store`` False: nothing is stored
    ("no-store", "bypass"). ``only_cached``: 504 instead of asking the upstream. ``max_age``, in seconds: nothing older is served.
    ``dry_run``: the upstream answers, and the headers say what the cache would have done. ``scope``: must match exactly, too.
    """

    lookup: bool = True
    store: bool = True
    only_cached: bool = False
    max_age: float | None = None
    dry_run: bool = False
    scope: str = ""


def read_controls(headers: Mapping[str, str]) -> Controls:
    """The directives of a request's headers (names in lower case). Unknown Cache-Control directives are ignored, as RFC 9111 asks.

    Raises BadControlError for a max-age that is no number of seconds, or an X-Ragkit-Cache that is not "bypass" or "dry-run".
    """
    directives: dict[str, str] = {}
    for part in headers.get("cache-control", "").split(","):
        name, _, value = part.strip().partition("=")
        if name:
            directives.setdefault(name.strip().lower(), value.strip().strip('"'))
    mode = headers.get("x-ragkit-cache", "").strip().lower()
    if mode not in ("", "bypass", "dry-run"):
        raise BadControlError(f"X-Ragkit-Cache is {mode!r}; allowed are 'bypass' and 'dry-run'.")
    max_age: float | None = None
    if "max-age" in directives:
        if not directives["max-age"].isascii() or not directives["max-age"].isdigit():
            raise BadControlError(f"Cache-Control max-age is {directives['max-age']!r}; it is a whole number of seconds.")
        max_age = float(min(int(directives["max-age"]), _MOST_SECONDS))
    away = mode == "bypass" or "no-store" in directives
    return Controls(
        lookup=not (away or "no-cache" in directives),
        store=not away,
        only_cached="only-if-cached" in directives,
        max_age=max_age,
        dry_run=mode == "dry-run",
        scope=headers.get("x-ragkit-scope", ""),
    )


def status_headers(
    verdict: Verdict | None,
    *,
    reason: str = "",
    age: float | None = None,
    ttl: float | None = None,
    collapsed: bool = False,
    dry_run: bool = False,
    instead: Instead | None = None,
) -> dict[str, str]:
    """``Cache-Status`` (RFC 9211), ``Age`` for a hit, and ``X-Ragkit-Cache`` in words; ``reason`` where no verdict was asked for."""
    kind = "bypass" if verdict is None else verdict.kind
    hit = kind == "hit" and not (dry_run or collapsed)
    parts = ["ragkit"]
    if hit:
        # Of "hit" and "fwd" only one may appear, and "hit" says that nothing went forward.
        if instead is None or not instead.asked:
            parts.append("hit")
        else:
            parts.append("fwd=stale")
            if instead.status is not None:
                parts.append(f"fwd-status={instead.status}")
        if ttl is not None:
            # Less than none for what is past its time.
            parts.append(f"ttl={math.floor(ttl)}")
    else:
        parts.append(f"fwd={_FORWARDED.get(kind, 'miss')}")
        if collapsed:
            parts.append("collapsed")
    detail = reason if verdict is None else verdict.reason
    told = [("DRY-RUN " if dry_run else "STALE " if instead is not None else "") + ("COLLAPSED" if collapsed else kind.upper())]
    if verdict is not None:
        if verdict.tier:
            told.append(f"tier={verdict.tier}")
        if verdict.similarity is not None:
            told.append(f"similarity={verdict.similarity:.4f}")
        if verdict.entry:
            told.append(f"entry={verdict.entry}")
    if detail:
        parts.append(f"detail={_quoted(detail)}")
        told.append(f"reason={_quoted(detail)}")
    headers = {"cache-status": "; ".join(parts), "x-ragkit-cache": "; ".join(told)}
    if hit and age is not None:
        headers["age"] = str(max(0, int(age)))
    return headers


def _quoted(text: str) -> str:
    """A structured-field string (RFC 9651): printable ASCII, quotes and backslashes escaped, at most 200 characters."""
    plain = "".join(char if " " <= char <= "~" else "?" for char in text)[:200]
    return '"' + plain.replace("\\", "\\\\").replace('"', '\\"') + '"'
