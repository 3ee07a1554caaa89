"""Few bytes a vector in memory to find candidates, more on disk to put them in order."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from hashlib import blake2b

import numpy as np
from numpy.typing import ArrayLike

from ragkit.errors import InvalidInputError, StoreCorruptError
from ragkit.vec.codecs.arrays import Bytes, Places, Vectors, checked_whole
from ragkit.vec.codecs.codec import Codec, Drift, best
from ragkit.vec.codecs.codes import Codes, Found, checked_keep
from ragkit.vec.codecs.pipeline import Pipeline
from ragkit.vec.codecs.stored import seal, unseal

#: Gives the fine codes, uint8 ``(m, fine.size_bytes)``, of rows int64 ``(m,)``, in the order asked for.
Fetch = Callable[[Places], Bytes]


@dataclass(frozen=True, slots=True)
class Rescored:
    """Settings: ``coarse`` finds ``oversample`` times k candidates, ``fine`` scores them. ``fit`` makes a RescoredCodec."""

    coarse: Pipeline
    fine: Pipeline
    oversample: float = 10.0

    def __post_init__(self) -> None:
        _checked(self.oversample)

    @property
    def name(self) -> str:
        """The two codecs in words."""
        return f"{self.coarse.name} -> {self.fine.name} of {self.oversample:g}k"

    def fit(self, vectors: ArrayLike) -> RescoredCodec:
        """Both codecs, fitted on the same vectors; raises like ``Pipeline.fit``."""
        return RescoredCodec(self.coarse.fit(vectors), self.fine.fit(vectors), self.oversample)


@dataclass(frozen=True, slots=True, eq=False)
class RescoredCodec:
    """Two fitted codecs of the same vectors; ``hot_bytes`` of a vector stay in memory, ``cold_bytes`` may lie anywhere."""

    coarse: Codec
    fine: Codec
    oversample: float = 10.0

    def __post_init__(self) -> None:
        _checked(self.oversample)
        if self.coarse.dim != self.fine.dim:
            raise InvalidInputError(
                f"coarse is fitted to {self.coarse.dim} dimensions and fine to {self.fine.dim}; fit both on the same vectors."
            )

    @property
    def dim(self) -> int:
        """Dimensions of the vectors."""
        return self.coarse.dim

    @property
    def name(self) -> str:
        """The two codecs in words."""
        return f"{self.coarse.name} -> {self.fine.name} of {self.oversample:g}k"

    @property
    def hot_bytes(self) -> int:
        """Bytes of a vector's coarse code."""
        return self.coarse.size_bytes

    @property
    def cold_bytes(self) -> int:
        """Bytes of a vector's fine code."""
        return self.fine.size_bytes

    @property
    def size_bytes(self) -> int:
        """Bytes of a vector, both codes."""
        return self.hot_bytes + self.cold_bytes

    @property
    def fingerprint(self) -> str:
        """32 hexadecimal digits, of both codecs; ``oversample`` decides no code and is not part of it."""
        return blake2b(f"{self.coarse.fingerprint} {self.fine.fingerprint}".encode(), digest_size=16).hexdigest()

    def encode(self, vectors: ArrayLike) -> tuple[Codes, Codes]:
        """Coarse and fine codes."""
        return self.coarse.encode(vectors), self.fine.encode(vectors)

    def decode(self, fine: Codes) -> Vectors:
        """``(n, dim)`` float32 from the fine codes."""
        return self.fine.decode(fine)

    def score(self, queries: ArrayLike, fine: Codes, *, rows: ArrayLike | None = None) -> Vectors:
        """The scores that ``search`` puts candidates in order by: ``fine.score``."""
        return self.fine.score(queries, fine, rows=rows)

    def drift(self, vectors: ArrayLike, *, tolerance: float = 0.1) -> tuple[Drift, Drift]:
        """``Codec.drift`` of the coarse and of the fine codec."""
        return self.coarse.drift(vectors, tolerance=tolerance), self.fine.drift(vectors, tolerance=tolerance)

    def with_oversample(self, oversample: float) -> RescoredCodec:
        """The same codecs with another number of candidates."""
        return replace(self, oversample=oversample)

    def search(self, queries: ArrayLike, coarse: Codes, fine: Codes | Fetch, *, k: int, keep: ArrayLike | None = None) -> Found:
        """The ``k`` best rows of each query: ``oversample`` times k candidates by coarse codes, put in order by fine ones.

        ``fine`` holds all fine codes (``Codes`` over an ``np.memmap`` reads only the candidates), or is a function of row numbers.
        ``keep``, a mask or row numbers, counts before candidates are chosen, so that a rare filter costs no quality; fewer
        than k come back only when it lets fewer through. Scores are those of the fine codes, equal ones by row number.

        Raises InvalidInputError for what cannot be used, StoreMismatchError for codes of another codec.
        """
        checked_whole(k, "k")
        hot = self.coarse._rows(coarse)
        fetch = self._fetching(fine, len(hot))
        kept = checked_keep(keep, len(hot))
        near = self.coarse.candidates(self.coarse._ask(queries), hot, kept, math.ceil(k * self.oversample))
        asked = self.fine._ask(queries)
        return best(near, k, lambda query, places: self.fine.exact(asked, query, fetch(places)))

    def _fetching(self, fine: Codes | Fetch, n: int) -> Fetch:
        if isinstance(fine, Codes):
            array = self.fine._rows(fine)
            if len(array) != n:
                raise InvalidInputError(f"There are {n} coarse and {len(array)} fine codes; both must be of the same vectors.")
            return lambda places: array[places]
        if not callable(fine):
            raise InvalidInputError(f"fine is a {type(fine).__name__}; give Codes, or a function from row numbers to fine codes.")

        def fetch(places: Places) -> Bytes:
            rows = np.asarray(fine(places))
            if rows.dtype != np.uint8 or rows.shape != (len(places), self.cold_bytes):
                raise StoreCorruptError(
                    f"The function for fine codes gave {rows.dtype} {rows.shape} for {len(places)} rows; "
                    f"uint8 {(len(places), self.cold_bytes)} was due."
                )
            return rows

        return fetch

    def to_bytes(self) -> bytes:
        """Both codecs and ``oversample``, versioned and with checksums."""
        coarse, fine = self.coarse.to_bytes(), self.fine.to_bytes()
        return seal({"rescored": {"oversample": self.oversample, "coarse": len(coarse)}}, coarse + fine)

    @staticmethod
    def from_bytes(data: bytes) -> RescoredCodec:
        """What ``to_bytes`` wrote. Raises StoreFormatError for a newer version's bytes, StoreCorruptError for others."""
        header, rest = unseal(data)
        if "rescored" not in header:
            raise StoreCorruptError("These bytes hold one codec: read them with Codec.from_bytes.")
        told = header["rescored"]
        return RescoredCodec(
            Codec.from_bytes(rest[: told["coarse"]]), Codec.from_bytes(rest[told["coarse"] :]), told["oversample"]
        )


def _checked(oversample: float) -> None:
    if not (isinstance(oversample, (int, float)) and 1 <= oversample < math.inf):
        raise InvalidInputError(
            f"oversample is {oversample!r}; it must be a number of at least 1 (10 fetches ten times k candidates)."
        )
