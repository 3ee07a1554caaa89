"""JSON as it comes from outside."""

from __future__ import annotations

import json
import math
from typing import Any


def read_json(data: bytes | str) -> Any:
    """The value, or None for what is no JSON.

    NaN and infinities are none (RFC 8259), and numbers too large for a double, which Python would read as infinite, count as none.
    """
    try:
        return json.loads(data, parse_constant=_refuse, parse_float=_finite)
    except (ValueError, RecursionError):
        return None


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is no JSON")


def _finite(digits: str) -> float:
    value = float(digits)
    return value if math.isfinite(value) else _refuse(digits)
