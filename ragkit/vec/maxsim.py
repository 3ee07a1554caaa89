"""MaxSim of float query tokens against sign-coded vectors: late interaction (ColBERT, 2004.12832) at one bit a number."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ragkit.errors import InvalidInputError
from ragkit.vec.product import PRODUCT

Floats = NDArray[np.float64]
Bytes = NDArray[np.uint8]
#: Numbers unpacked at once: half a megabyte stays in the cache of one core.
_BLOCK = 1 << 17


def pack_signs(vectors: NDArray[np.float32]) -> Bytes:
    """One bit a number, 1 where it is above 0: float ``(n, d)`` to uint8 ``(n, d / 8)``, first number in the highest bit."""
    return np.packbits(vectors > 0, axis=1)


def token_maxima(queries: NDArray[np.float32], codes: Bytes, counts: NDArray[np.int64]) -> NDArray[np.float32]:
    """For each passage and query token the best cosine-like match, float32 ``(n, q)``.

    ``queries`` are float32 ``(q, d)`` unit rows, ``codes`` uint8 ``(n, k, d / 8)`` packed signs, ``counts`` int ``(n,)`` how many
    of a passage's k vectors are real, the first ones; a passage without vectors gets -1. Codes of fewer bits than d
    are compared with the first numbers of each query row, brought to length one again: nested sizes need no query of their own. Values lie in [-1, 1].
    Raises InvalidInputError for shapes that do not belong together.
    """
    n, k, bits = _shapes(queries, codes, counts)
    asked = np.ascontiguousarray(queries[:, :bits], dtype=np.float32)
    if bits < queries.shape[1]:
        asked = asked / np.maximum(np.linalg.norm(asked, axis=1, keepdims=True), 1e-12)
    best = np.full((n, len(asked)), -1.0, np.float32)
    if not k or not len(asked) or not n:
        return best
    # A sign is 2 x bit - 1, so its dot product is that of the bit, doubled, less the sum of the query's row.
    offset = asked.sum(axis=1)
    scale = np.float32(1 / np.sqrt(bits))
    real = np.asarray(counts)[:, None] > np.arange(k)
    step, rows = max(1, _BLOCK // (k * bits)), max(1, PRODUCT // (k * bits))
    for first in range(0, n, step):
        block = slice(first, first + step)
        # A product a passage: its score is the same whatever stands beside it.
        unpacked = np.unpackbits(codes[block], axis=2).astype(np.float32).transpose(0, 2, 1)
        padding = ~real[block][:, None, :]
        for token in range(0, len(asked), rows):
            dots = asked[token : token + rows] @ unpacked
            if padding.any():
                np.copyto(dots, -np.inf, where=padding)
            best[block, token : token + rows] = dots.max(axis=2)
    likeness: NDArray[np.float32] = (2 * best - offset) * scale
    likeness[np.asarray(counts) == 0] = -1.0
    return likeness


def max_sim(
    queries: NDArray[np.float32],
    gates: NDArray[np.float32],
    codes: Bytes,
    counts: NDArray[np.int64],
    *,
    owners: NDArray[np.int64] | None = None,
) -> Floats:
    """The mean of each query token's best match, weighted by its gate: float64 ``(n,)``, in [-1, 1].

    ``gates`` are float32 ``(q,)``, at least 0. With ``owners``, int ``(n,)`` and ascending from 0 without a gap, rows with one owner are
    windows of one passage: a token meets the best vector of all of them, and the result has a score per owner. A query
    without weight scores 0 everywhere. Shapes and errors otherwise as ``token_maxima``.
    """
    best = token_maxima(queries, codes, counts)
    if np.asarray(gates).shape != (len(queries),):
        raise InvalidInputError(
            f"gates have shape {np.asarray(gates).shape}; there must be one for each of {len(queries)} query tokens."
        )
    if owners is not None and len(best):
        owner = np.asarray(owners)
        steps = np.diff(owner)
        if owner.shape != (len(best),) or owner[0] != 0 or ((steps != 0) & (steps != 1)).any():
            raise InvalidInputError(
                f"owners must be {len(best)} ascending whole numbers from 0 without a gap, one for each row of codes."
            )
        best = np.maximum.reduceat(best, np.flatnonzero(np.diff(owner, prepend=-1)), axis=0)
    weights = np.asarray(gates, dtype=np.float64)
    total = float(weights.sum())
    if not total > 0:
        return np.zeros(len(best))
    # einsum sums every row in the same order, whatever rows stand beside it.
    sums: Floats = np.einsum("nq,q->n", best.astype(np.float64), weights / total)
    return sums


def _shapes(queries: NDArray[np.float32], codes: Bytes, counts: NDArray[np.int64]) -> tuple[int, int, int]:
    if codes.ndim != 3 or codes.dtype != np.uint8:
        raise InvalidInputError(f"codes are {codes.dtype} {codes.shape}; they must be uint8 (passages, vectors, bytes).")
    n, k, width = codes.shape
    if np.asarray(counts).shape != (n,) or (n and not 0 <= np.min(counts) <= np.max(counts) <= k):
        raise InvalidInputError(f"counts must be {n} whole numbers from 0 to {k}, how many vectors of each passage are real.")
    if queries.ndim != 2 or queries.shape[1] < width * 8:
        raise InvalidInputError(
            f"queries have shape {queries.shape}; codes of {width} bytes need (tokens, at least {width * 8})."
        )
    return n, k, width * 8


def sketches(codes: Bytes, counts: NDArray[np.int64], *, owners: NDArray[np.int64] | None = None) -> NDArray[np.float32]:
    """One vector a passage, float32 ``(passages, d)``: its windows' sign vectors added up, the first ones weighing more.

    Only good for telling which passages are alike; arguments as ``max_sim``.
    """
    n, k, bits = codes.shape[0], codes.shape[1], codes.shape[2] * 8
    owner = np.arange(n) if owners is None else np.asarray(owners)
    weights = np.where(np.asarray(counts)[:, None] > np.arange(k), 1 / (1 + np.arange(k) / 8), 0.0).astype(np.float32)
    found = np.zeros((int(owner[-1]) + 1 if n else 0, bits), np.float32)
    step = max(1, _BLOCK // max(k * bits, 1))
    for first in range(0, n, step):
        signs = np.unpackbits(codes[first : first + step], axis=2).astype(np.float32)
        part = weights[first : first + step]
        sums = 2 * np.matmul(part[:, None, :], signs)[:, 0] - part.sum(axis=1, keepdims=True)
        np.add.at(found, owner[first : first + step], sums)
    unit: NDArray[np.float32] = found / np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-12)
    return unit
