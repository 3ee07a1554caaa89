"""Eight-bit floating point by table: OCP's E4M3 and E5M2 (OFP8 specification, 2023; Micikevicius et al., 2209.05433)."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Literal, NamedTuple

import numpy as np

from ragkit.vec.codecs.arrays import Bytes, Vectors

Format = Literal["e4m3", "e5m2"]


class Layout(NamedTuple):
    """Bits of the fraction, exponent of the smallest normal number, and the largest finite value."""

    fraction: int
    least: int
    largest: float


LAYOUTS: dict[str, Layout] = {"e4m3": Layout(3, -6, 448.0), "e5m2": Layout(2, -14, 57344.0)}


@lru_cache(maxsize=2)
def table(form: Format) -> Vectors:
    """The value of each of the 256 codes, float32; E4M3 has two NaN and no infinity, E5M2 has both."""
    fraction, least, _ = LAYOUTS[form]
    codes = np.arange(256)
    size, sign = codes & 127, np.where(codes > 127, -1.0, 1.0)
    exponent, rest = size >> fraction, size & ((1 << fraction) - 1)
    normal = np.ldexp(1.0 + rest / (1 << fraction), exponent + least - 1)
    value = np.where(exponent > 0, normal, np.ldexp(rest / (1 << fraction), least))
    if form == "e4m3":
        value[size == 127] = np.nan
    else:
        value[size == 124] = np.inf
        value[size > 124] = np.nan
    out: Vectors = (value * sign).astype(np.float32)
    out.setflags(write=False)
    return out


def to_codes(values: Any, form: Format) -> Bytes:
    """The nearest code of each float32 value, ties to the even code, subnormal numbers included.

    The values must round to finite codes: ``overflows`` says which do not.
    """
    fraction, least, _ = LAYOUTS[form]
    size = np.abs(np.asarray(values, np.float32))
    exponent = np.where(size > 0, np.maximum(np.frexp(size)[1] - 1, least), least)
    # In units of the last place, so that rint rounds; a carry into the next exponent is a carry in the code as well.
    units = np.rint(np.ldexp(size, fraction - exponent)).astype(np.int32)
    codes = ((exponent - least) << fraction) + units
    found: Bytes = (codes + np.where(np.signbit(values), 128, 0)).astype(np.uint8)
    return found


def overflows(values: Any, form: Format) -> Any:
    """Which values have no finite code: those from half a step above the largest."""
    fraction, _, largest = LAYOUTS[form]
    step = np.ldexp(1.0, int(np.frexp(largest)[1]) - 1 - fraction)
    edge = largest + step / 2
    # The largest codes are even in E4M3 (448 = 1.75) and odd in E5M2: a tie goes down in the first only.
    return np.abs(values) > edge if form == "e4m3" else np.abs(values) >= edge
