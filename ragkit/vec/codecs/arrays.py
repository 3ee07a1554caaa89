"""Vectors checked, and sums that come out the same whatever the batch, the order or the machine.

A matrix product in floating point rounds differently with every shape and processor, and a code near a boundary would follow
that rounding. Here both factors are rounded to whole numbers first, small enough that float64 holds every partial sum
exactly: then the order of additions cannot matter.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ragkit.errors import InvalidInputError

Vectors = NDArray[np.float32]
Doubles = NDArray[np.float64]
Bytes = NDArray[np.uint8]
Places = NDArray[np.int64]

SMALLEST, LARGEST = 1e-18, 1e18
_BITS = 26  # of each factor: |x . p| <= |x||p| <= 2^52 for every partial sum, by Cauchy and Schwarz
_GRAM_BITS = 20  # of an entry: 8192 products of 40 bits stay below 2^53, and int64 adds 2^22 rows of them
_GRAM_ROWS = 8192
BLOCK = 1024


def checked_vectors(vectors: ArrayLike, *, dim: int | None = None, name: str = "vectors") -> Vectors:
    """``vectors`` as contiguous float32 ``(n, dim)``.

    Raises InvalidInputError for another shape, for NaN and infinities, and for rows whose largest entry is beyond 1e18 or,
    unless it is 0, below 1e-18: their squares leave the range of float32.
    """
    with np.errstate(over="ignore"):  # what leaves float32 becomes an infinity, and is named below
        array: Vectors = np.ascontiguousarray(vectors, dtype=np.float32)
    if array.ndim != 2 or array.shape[1] < 1:
        raise InvalidInputError(f"{name} has shape {array.shape}; it must be (n, dim), one row per vector, with dim >= 1.")
    if dim is not None and array.shape[1] != dim:
        raise InvalidInputError(f"{name} has {array.shape[1]} dimensions; this codec was fitted to {dim}. Use the same model.")
    if not np.isfinite(array).all():
        row, place = np.argwhere(~np.isfinite(array))[0]
        raise InvalidInputError(
            f"{name}[{row}] holds {array[row, place]} at dimension {place}; every entry must be a finite number. "
            "Find out why the embedder gave it; a codec cannot store it."
        )
    peak = np.abs(array).max(axis=1, initial=0)
    odd = (peak > LARGEST) | ((peak < SMALLEST) & (peak > 0))
    if odd.any():
        row = int(odd.argmax())
        raise InvalidInputError(
            f"{name}[{row}] has its largest entry at {peak[row]:.3g}; it must be 0 or lie between {SMALLEST:g} and {LARGEST:g}. "
            "Normalise the vectors first."
        )
    return array


def checked_whole(value: Any, name: str, *, least: int = 1) -> int:
    """``value``, a whole number of at least ``least``; raises InvalidInputError for anything else."""
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise InvalidInputError(f"{name} is {value!r}; it must be a whole number, at least {least}.")
    return value


def row_dots(left: Any, right: Any) -> Doubles:
    """The dot product of each row of ``left`` with the same row of ``right``, float64; no row depends on the others."""
    product = np.multiply(left, right, dtype=np.float64)
    total: Doubles = np.ascontiguousarray(product).sum(axis=1)
    return total


def _power_above(values: Any) -> Any:
    """The power of two just above each value; 1 for 0."""
    return np.ldexp(1.0, np.frexp(values)[1])


def fixed_point(basis: Doubles) -> NDArray[np.int32]:
    """Unit columns ``(dim, m)`` in units of 2^-26."""
    return np.rint(np.ldexp(basis, _BITS)).astype(np.int32)


def project(vectors: Any, whole: NDArray[np.int32]) -> Doubles:
    """``vectors @ basis`` for a basis in ``fixed_point``, ``(n, m)`` float64, exact after rounding each row to 26 bits."""
    rows: Doubles = np.asarray(vectors, np.float64)
    bound = _power_above(np.abs(rows).max(axis=1, initial=0) * np.sqrt(rows.shape[1]))[:, None]
    basis = whole.astype(np.float64)
    out = np.empty((len(rows), whole.shape[1]))
    for at in range(0, len(rows), BLOCK):
        part = slice(at, at + BLOCK)
        np.matmul(np.rint(np.ldexp(rows[part] / bound[part], _BITS)), basis, out=out[part])
    out *= np.ldexp(bound, -2 * _BITS)
    return out


def gram(vectors: Doubles) -> Doubles:
    """``vectors.T @ vectors``, the same for every order of the rows, each entry rounded to 20 bits of the largest.

    Raises InvalidInputError beyond 4,194,304 rows: fit on a sample.
    """
    if len(vectors) > 2**22:
        raise InvalidInputError(f"{len(vectors):,} rows to fit on; at most 4,194,304 are possible. Fit on a sample.")
    bound = float(_power_above(np.abs(vectors).max(initial=0)))
    total = np.zeros((vectors.shape[1],) * 2, np.int64)
    for at in range(0, len(vectors), _GRAM_ROWS):
        part = np.rint(np.ldexp(vectors[at : at + _GRAM_ROWS] / bound, _GRAM_BITS))
        total += np.matmul(part.T, part).astype(np.int64)
    found: Doubles = np.multiply(total, bound * bound * 2.0 ** (-2 * _GRAM_BITS), dtype=np.float64)
    return found


def mean(vectors: Vectors) -> Vectors:
    """The mean row, float32 ``(dim,)``, the same for every order of the rows."""
    bound = float(_power_above(np.float64(np.abs(vectors).max(initial=0))))
    whole = np.rint(np.ldexp(vectors.astype(np.float64) / bound, 38)).astype(np.int64).sum(axis=0)
    found: Vectors = np.asarray(np.ldexp(whole / len(vectors), -38) * bound, np.float32)
    return found


def halves(vectors: Vectors) -> NDArray[np.bool_]:
    """A split by content, ``(n,)``: equal rows fall on one side, and the order of the rows does not matter."""
    words = np.ascontiguousarray(vectors + np.float32(0)).view(np.uint32).astype(np.uint64)  # -0.0 becomes 0.0
    factors = np.arange(1, words.shape[1] + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15) | np.uint64(1)
    mixed = (words * factors).sum(axis=1, dtype=np.uint64)
    mixed ^= mixed >> np.uint64(29)
    mixed *= np.uint64(0xBF58476D1CE4E5B9)
    side: NDArray[np.bool_] = (mixed >> np.uint64(63)).astype(np.bool_)
    return side
