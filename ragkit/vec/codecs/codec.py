"""A fitted codec: vectors to rows of bytes, and dot products of float queries with those rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from ragkit.errors import InvalidInputError, StoreCorruptError, StoreMismatchError
from ragkit.vec.codecs.arrays import Bytes, Doubles, Places, Vectors, checked_vectors, checked_whole, row_dots
from ragkit.vec.codecs.codes import Codes, Found, checked_keep
from ragkit.vec.codecs.fitted import Fitted
from ragkit.vec.codecs.quantizers import Quantizer
from ragkit.vec.rank import top_k

_BLOCK = 1024  # rows unpacked at once: they stay in the processor's cache until they are multiplied
_SCORES = 1 << 24  # scores held at once
_SPARE = 16  # rows beyond k that are scored once more, exactly


@dataclass(frozen=True, slots=True)
class FitRecord:
    """How many rows a codec was fitted on and their mean relative squared error.

    ``held_out`` says whether those errors are of rows that it had not learned from; with few rows they cannot be.
    """

    rows: int
    error: float
    held_out: bool


@dataclass(frozen=True, slots=True)
class Drift:
    """What new vectors lose in a codec, against what was lost when it was fitted: mean squared error over squared length."""

    rows: int
    error: float
    noise: float
    fit: FitRecord
    verdict: Literal["steady", "refit", "unknown"]
    reason: str


@dataclass(frozen=True, eq=False)
class Codec:
    """Made by ``Pipeline.fit`` or ``Codec.from_bytes``. Immutable; encoding gives the same bytes on every machine.

    ``fingerprint`` covers everything that decides a code, and nothing else: codecs that learn nothing have one fingerprint
    whatever they were fitted on. Scores estimate the dot product with the vector as it was given, which is the cosine where
    vectors are unit vectors.
    """

    steps: tuple[Fitted, ...]
    quantizer: Quantizer
    dim: int
    name: str
    fit: FitRecord = field(repr=False)

    @cached_property
    def size_bytes(self) -> int:
        """Bytes of one vector."""
        return self.quantizer.row_bytes(self._inner)

    @cached_property
    def _inner(self) -> int:
        return self.steps[-1].out if self.steps else self.dim

    @cached_property
    def fingerprint(self) -> str:
        """32 hexadecimal digits, a digest of the settings and of all that was learned."""
        from ragkit.vec.codecs.stored import fingerprint_of

        return fingerprint_of(self)

    def to_bytes(self) -> bytes:
        """The whole codec, versioned and with a checksum; the same bytes for the same codec."""
        from ragkit.vec.codecs.stored import dump

        return dump(self)

    @staticmethod
    def from_bytes(data: bytes) -> Codec:
        """The codec that ``to_bytes`` wrote, in any process.

        Raises StoreFormatError for a newer version's bytes, StoreCorruptError for damaged ones.
        """
        from ragkit.vec.codecs.stored import load

        return load(data)

    def encode(self, vectors: ArrayLike) -> Codes:
        """Codes of ``(n, dim)`` vectors. Raises InvalidInputError for NaN, infinities, another dim, and what the quantizer cannot hold."""
        array = checked_vectors(vectors, dim=self.dim)
        return Codes(self.quantizer.encode(_forward(array, self.steps)), self.fingerprint)

    def decode(self, codes: Codes) -> Vectors:
        """``(n, dim)`` float32: what the codes stand for."""
        return _decode(self._rows(codes), self._inner, self.steps, self.quantizer)

    def score(self, queries: ArrayLike, codes: Codes, *, rows: ArrayLike | None = None) -> Vectors:
        """Dot products of float queries ``(q, dim)`` with codes, float32 ``(q, n)``, a block of codes unpacked at a time.

        ``rows``, a mask or row numbers, scores only those, in ascending order. The last digit may depend on how many queries
        are asked at once; ``search`` does not.
        """
        array = self._rows(codes)
        return self._score(self._ask(queries), array, checked_keep(rows, len(array)))

    def search(self, queries: ArrayLike, codes: Codes, *, k: int, keep: ArrayLike | None = None) -> Found:
        """The ``k`` best rows of each query, of those that ``keep`` (a mask or row numbers) lets through; fewer when fewer are.

        Scores are dot products with the codes, summed in float64 for the best ones; equal scores go by row number.
        """
        checked_whole(k, "k")
        array = self._rows(codes)
        kept, asked = checked_keep(keep, len(array)), self._ask(queries)
        candidates = self.candidates(asked, array, kept, k + _SPARE)
        return best(candidates, k, lambda query, places: self.exact(asked, query, array[places]))

    def drift(self, vectors: ArrayLike, *, tolerance: float = 0.1) -> Drift:
        """Whether vectors added later still suit the codec.

        "refit" when their mean error, less twice its standard error, is more than ``tolerance`` above that at fit time; "unknown"
        for fewer than 20 vectors, or when too few were fitted on to hold some out. Raises InvalidInputError like ``encode``.
        """
        if not tolerance >= 0:
            raise InvalidInputError(f"tolerance is {tolerance!r}; it must be 0 or more (0.1 allows a tenth more error).")
        array = checked_vectors(vectors, dim=self.dim)
        errors = errors_of(array, self.steps, self.quantizer)
        error = float(errors.mean()) if len(errors) else 0.0
        noise = float(errors.std() / np.sqrt(len(errors))) if len(errors) else 0.0
        verdict: Literal["steady", "refit", "unknown"] = "steady"
        reason = f"These vectors lose {error:.4%} of their squared length, those at fit time {self.fit.error:.4%}."
        if len(errors) < 20:
            verdict, reason = "unknown", f"{len(errors)} vectors are too few to tell; give at least 20."
        elif not self.fit.held_out:
            verdict, reason = (
                "unknown",
                f"{self.fit.rows} vectors were too few to hold some out when the codec was fitted. {reason}",
            )
        elif error - 2 * noise > self.fit.error * (1 + tolerance) + 1e-9:
            verdict, reason = "refit", f"{reason} Fit a new codec on all of them and encode again."
        return Drift(len(errors), error, noise, self.fit, verdict, reason)

    # For Rescored

    def _ask(self, queries: ArrayLike) -> tuple[Vectors, Doubles]:
        array = checked_vectors(queries, dim=self.dim, name="queries")
        added = np.zeros(len(array))
        for step in self.steps:
            array, more = step.ask(array)
            added += more
        return array, added

    def _rows(self, codes: Codes) -> Bytes:
        if not isinstance(codes, Codes):
            raise InvalidInputError(f"codes is a {type(codes).__name__}; wrap stored bytes as Codes(rows, fingerprint).")
        if codes.fingerprint != self.fingerprint:
            raise StoreMismatchError(
                f"These codes were written by the codec {codes.fingerprint}; this one ({self.name}) is {self.fingerprint}. "
                "Load the codec that wrote them, or encode the vectors again."
            )
        if codes.rows.shape[1] != self.size_bytes:
            raise StoreCorruptError(
                f"These codes have {codes.rows.shape[1]} bytes a vector; {self.name} writes {self.size_bytes}."
            )
        return codes.rows

    def _score(self, asked: tuple[Vectors, Doubles], array: Bytes, kept: Places | None) -> Vectors:
        queries, added = asked
        n = len(array) if kept is None else len(kept)
        out = np.empty((len(queries), n), np.float32)
        wide: Vectors | None = None
        for at in range(0, n, _BLOCK):
            part = slice(at, at + _BLOCK)
            rows = array[part] if kept is None else array[kept[part]]
            values = self.quantizer.values(rows, self._inner)
            if wide is None:
                wide = np.pad(queries, ((0, 0), (0, values.shape[1] - self._inner)))
            here = out[:, part]
            np.matmul(wide, values.T, out=here)
            factors = self.quantizer.factors(rows, self._inner)
            if factors is not None:
                here *= factors
        if added.any():
            out += added[:, None].astype(np.float32)
        return out

    def candidates(self, asked: tuple[Vectors, Doubles], array: Bytes, kept: Places | None, count: int) -> list[Places]:
        """The ``count`` rows with the best scores for each query, ascending; ``asked`` as ``_ask`` gives it."""
        queries, added = asked
        n = len(array) if kept is None else len(kept)
        found: list[Places] = []
        together = max(1, _SCORES // max(n, 1))
        for at in range(0, len(queries), together):
            part = slice(at, at + together)
            scores = self._score((queries[part], added[part]), array, kept)
            places = (np.sort(top_k(row, min(count, n))) for row in scores)
            found.extend(row if kept is None else kept[row] for row in places)
        return found

    def exact(self, asked: tuple[Vectors, Doubles], query: int, rows: Bytes) -> Doubles:
        """Scores of one query with some rows, summed in float64: they depend on nothing else."""
        queries, added = asked
        values = self.quantizer.values(rows, self._inner)[:, : self._inner]
        scores = row_dots(values, queries[query])
        factors = self.quantizer.factors(rows, self._inner)
        found: Doubles = (scores if factors is None else scores * factors) + added[query]
        return found


def best(candidates: list[Places], k: int, exact: Callable[[int, Places], Doubles]) -> Found:
    """The ``k`` best of each query's candidates by ``exact`` scores."""
    count = min(k, min(map(len, candidates), default=0))
    rows, scores = np.empty((len(candidates), count), np.int64), np.empty((len(candidates), count), np.float32)
    for query, places in enumerate(candidates):
        found = exact(query, places)
        chosen = top_k(found, count)
        rows[query], scores[query] = places[chosen], found[chosen]
    return Found(rows, scores)


def _forward(vectors: Vectors, steps: tuple[Fitted, ...]) -> Vectors:
    for step in steps:
        vectors = step.forward(vectors)
    return vectors


def _decode(rows: Bytes, inner: int, steps: tuple[Fitted, ...], quantizer: Quantizer) -> Vectors:
    values = quantizer.values(rows, inner)[:, :inner]
    factors = quantizer.factors(rows, inner)
    vectors: Vectors = np.ascontiguousarray(values if factors is None else values * factors[:, None])
    for step in reversed(steps):
        vectors = step.backward(vectors)
    return vectors


def errors_of(vectors: Vectors, steps: tuple[Fitted, ...], quantizer: Quantizer) -> Doubles:
    """Squared error of each vector after encoding and decoding, over its squared length; zeros are left out."""
    inner = _forward(vectors, steps)
    decoded = _decode(quantizer.encode(inner), inner.shape[1], steps, quantizer)
    lost = vectors.astype(np.float64) - decoded
    length = row_dots(vectors, vectors)
    return row_dots(lost, lost)[length > 0] / length[length > 0]
