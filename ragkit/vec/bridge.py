"""A bridge: one model's question vectors carried into another model's space by a linear map, and how much of a search survives it.

Orthogonal Procrustes: Schönemann (1966), for spaces of any two sizes. Affine: ridge regression, of lower rank where asked (Izenman, 1975).
A bridge keeps an old index usable while it is embedded anew; vectors of two models are never compared without one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, get_args

import numpy as np

from ragkit.errors import CapabilityError, InvalidInputError, StoreCorruptError
from ragkit.seams import Embedder, Vectors
from ragkit.types import ModelCard, digest
from ragkit.vec.codecs.stored import seal, unseal

Method = Literal["procrustes", "affine"]
_FEWEST = 40
_MOST_QUESTIONS = 500
_RIDGE = 0.1  # of the mean squared length in a dimension


@dataclass(frozen=True, slots=True, kw_only=True)
class BridgeReport:
    """What a bridge keeps, measured on questions that it was not fitted on, as shares of the best ``k``.

    ``overlap`` is what bridged questions find in the old vectors of what the new model finds in its own; ``models`` the same
    for the old model's own questions, which no bridge is expected to surpass by much. ``kept`` is what bridged questions find of what
    the old model's own find. ``cosine`` is the mean cosine of bridged questions and the old model's.
    """

    method: Method
    rank: int | None
    texts: int
    questions: int
    k: int
    overlap: float
    models: float
    kept: float
    cosine: float


@dataclass(frozen=True, slots=True, eq=False)
class Bridge:
    """Made by ``fit_bridge`` or ``from_bytes``: ``unit(v @ matrix + offset)`` of the ``new`` model's vectors is in the ``old`` model's space."""

    old: ModelCard
    new: ModelCard
    matrix: Vectors = field(repr=False)
    offset: Vectors = field(repr=False)
    report: BridgeReport

    @property
    def fingerprint(self) -> str:
        """32 hexadecimal digits, of both cards and of the map."""
        values = (self.matrix.astype("<f4").tobytes() + self.offset.astype("<f4").tobytes()).hex()
        return digest(self.old.fingerprint, self.new.fingerprint, values)

    def __call__(self, vectors: Vectors) -> Vectors:
        """``(n, old.dim)`` unit rows for ``(n, new.dim)``; no row depends on the others.

        Raises InvalidInputError for another shape, or a vector that the map makes zero.
        """
        rows = np.asarray(vectors, np.float32)
        if rows.ndim != 2 or rows.shape[1] != self.new.dim:
            raise InvalidInputError(
                f"vectors have shape {rows.shape}; this bridge takes (n, {self.new.dim}), of {self.new.name!r}."
            )
        carried = np.einsum("nd,de->ne", rows, self.matrix) + self.offset
        lengths = np.linalg.norm(carried, axis=1, keepdims=True)
        if not (np.isfinite(lengths) & (lengths > 0)).all():
            raise InvalidInputError("A vector is zero or not finite after the bridge. Check the vectors that went in.")
        found: Vectors = (carried / lengths).astype(np.float32)
        return found

    def to_bytes(self) -> bytes:
        """The bridge, its cards and its report, versioned and with a checksum."""
        header = {"old": self.old.to_dict(), "new": self.new.to_dict(), "report": asdict(self.report)}
        return seal({"bridge": header}, np.vstack([self.matrix, self.offset]).astype("<f4").tobytes())

    @staticmethod
    def from_bytes(data: bytes) -> Bridge:
        """What ``to_bytes`` wrote. Raises StoreFormatError for a newer version's bytes, StoreCorruptError for others."""
        header, rest = unseal(data, what="bridge")
        if "bridge" not in header:
            raise StoreCorruptError("These bytes hold a codec and no bridge: read them with Codec.from_bytes.")
        told = header["bridge"]
        old, new = ModelCard.from_dict(told["old"]), ModelCard.from_dict(told["new"])
        values = np.frombuffer(rest, "<f4").reshape(new.dim + 1, old.dim).astype(np.float32)
        return Bridge(old, new, values[:-1], values[-1], BridgeReport(**told["report"]))


def fit_bridge(
    old: Embedder,
    new: Embedder,
    texts: Sequence[str],
    *,
    questions: Sequence[str] | None = None,
    method: Method = "affine",
    rank: int | None = None,
    least: float = 0.5,
    force: bool = False,
    seed: int = 0,
) -> Bridge:
    """The bridge for the ``new`` model's questions into a database of the ``old`` one, fitted on texts read by both.

    Give chunks of that database, some thousands: more than the vectors have dimensions, or little is kept. ``questions`` are for the
    report; without them a fifth of the texts, at most 500, is left out of the fit and asked instead. ``rank`` limits what "affine"
    learns; "procrustes" only turns, and wants fewer texts.

    Raises CapabilityError when less than ``least`` of the new model's best ten is found (``force=True`` returns the bridge all the same, with its
    report), InvalidInputError for fewer than 40 different texts and for settings out of range.
    """
    known = list(dict.fromkeys(text for text in texts if text.strip()))
    if len(known) < _FEWEST:
        raise InvalidInputError(
            f"{len(known)} different texts; a bridge wants at least {_FEWEST}, better some thousands of chunks."
        )
    _check(method, rank, least, min(old.card.dim, new.card.dim))
    shuffled = [known[place] for place in np.random.default_rng(seed).permutation(len(known))]
    left_out = 0 if questions is not None else min(_MOST_QUESTIONS, len(known) // 5)
    asked = list(questions) if questions is not None else shuffled[:left_out]
    if not asked:
        raise InvalidInputError("questions is empty; leave it out to ask with some of the texts.")
    before, after = old.embed_texts(shuffled), new.embed_texts(shuffled)
    matrix, offset = _fitted(after[left_out:], before[left_out:], method, rank)
    hidden = BridgeReport(method=method, rank=rank, texts=0, questions=0, k=0, overlap=0, models=0, kept=0, cosine=0)
    bridge = Bridge(old.card, new.card, matrix, offset, hidden)
    own, native = new.embed_queries(asked), old.embed_queries(asked)
    carried = bridge(own)
    # A text asked for must not find itself.
    itself = None if questions is not None else np.arange(left_out)
    k = min(10, len(shuffled) - 1)
    truth, found, usual = (_best(q, v, k, itself) for q, v in ((own, after), (carried, before), (native, before)))
    report = BridgeReport(
        method=method,
        rank=rank,
        texts=len(shuffled) - left_out,
        questions=len(asked),
        k=k,
        overlap=_shared(found, truth),
        models=_shared(usual, truth),
        kept=_shared(found, usual),
        cosine=float((carried * native).sum(axis=1).mean()),
    )
    if report.overlap < least and not force:
        raise CapabilityError(
            f"Bridged questions of {new.card.name!r} find {report.overlap:.0%} of what its own vectors find, and least is {least:.0%} "
            f"(the models agree on {report.models:.0%}; fitted on {report.texts} texts). Give more texts, move the database instead, or pass "
            "force=True to use the bridge all the same."
        )
    return Bridge(old.card, new.card, matrix, offset, report)


def _check(method: str, rank: int | None, least: float, most: int) -> None:
    if method not in get_args(Method):
        raise InvalidInputError(f"method is {method!r}; allowed are {', '.join(get_args(Method))}.")
    if rank is not None and (method != "affine" or not isinstance(rank, int) or not 1 <= rank <= most):
        raise InvalidInputError(f"rank is {rank!r} with method {method!r}; it is for 'affine', from 1 to {most}.")
    if not 0.0 <= least <= 1.0:
        raise InvalidInputError(f"least is {least!r}; it is a share between 0 and 1.")


def _fitted(new: Vectors, old: Vectors, method: Method, rank: int | None) -> tuple[Vectors, Vectors]:
    x, y = new.astype(np.float64), old.astype(np.float64)
    if method == "procrustes":
        left, _, right = np.linalg.svd(x.T @ y, full_matrices=False)
        return (left @ right).astype(np.float32), np.zeros(y.shape[1], np.float32)
    middle, target = x.mean(axis=0), y.mean(axis=0)
    x, y = x - middle, y - target
    gram: Any = x.T @ x
    matrix = np.linalg.solve(gram + _RIDGE * np.trace(gram) / len(gram) * np.eye(len(gram)), x.T @ y)
    if rank is not None:
        _, _, right = np.linalg.svd(x @ matrix, full_matrices=False)
        matrix = matrix @ right[:rank].T @ right[:rank]
    return matrix.astype(np.float32), (target - middle @ matrix).astype(np.float32)


def _best(queries: Vectors, vectors: Vectors, k: int, itself: Any) -> list[set[int]]:
    scores = queries @ vectors.T
    if itself is not None:
        scores[np.arange(len(queries)), itself] = -np.inf
    return [set(row) for row in np.argpartition(-scores, k - 1, axis=1)[:, :k].tolist()]


def _shared(found: list[set[int]], truth: list[set[int]]) -> float:
    return float(np.mean([len(one & other) / len(other) for one, other in zip(found, truth, strict=True)]))
