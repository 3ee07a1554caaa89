"""What codecs cost and keep on given vectors: bytes, the neighbours of float32, and nDCG where questions are judged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ragkit.errors import InvalidInputError
from ragkit.evaluate.metrics import Estimate, compare, estimate, rank_metrics
from ragkit.seams import Vectors
from ragkit.vec.codecs import Float32, Pipeline, Rescored, named

#: Compared unless others are named. "A -> B @ 10" finds 10 k candidates with A and puts them in order with B.
CODECS = (
    "float16", "float8-e4m3", "float8-e5m2", "int8", "int4", "rotated+int4", "rotated+int2", "centred+rotated+trellis2",
    "svdall+banded+graded", "rotated+residual3", "rotated+residual2", "rotated+binary-unbiased", "binary", "svdhalf+int8", "pcahalf+int8", "firsthalf+int8",
    "binary -> int8 @ 4", "binary -> int8 @ 10", "binary -> rotated+int4 @ 10",
)  # fmt: skip
_DEPTH = 100  # rows looked at for nDCG, as in ``evaluate``
Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class CodecOutcome:
    """One codec. ``hot`` bytes of a vector are read by every query, ``cold`` ones only for candidates (0 without rescoring).

    ``overlap`` is the share of float32's top k that it finds; ``ndcg`` and ``difference`` (to float32, question by question) are
    None without judged questions. ``left_out`` says why a codec could not be measured; its figures are then empty.
    """

    name: str
    hot: int = 0
    cold: int = 0
    times: float = 0.0
    overlap: Estimate | None = None
    ndcg: float | None = None
    difference: Estimate | None = None
    error: float | None = None
    pareto: bool = False
    left_out: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CodecReport:
    """What ``codec_report`` found, in the order asked for, float32 first."""

    source: str
    model: str
    rows: int
    dim: int
    queries: int
    k: int
    made_queries: bool
    outcomes: tuple[CodecOutcome, ...]

    @property
    def pareto(self) -> tuple[CodecOutcome, ...]:
        """Those no other codec beats: none is as small in memory and in all and keeps more. Fewest bytes in memory first."""
        return tuple(sorted((one for one in self.outcomes if one.pareto), key=lambda one: (one.hot, one.cold)))

    def sentences(self) -> list[str]:
        """The Pareto set in words, the smallest first."""
        return [_sentence(one, self.k) for one in self.pareto]

    def table(self) -> tuple[list[str], list[list[str]]]:
        """Header and rows for people."""
        judged = any(one.ndcg is not None for one in self.outcomes)
        header = ["codec", "bytes", "x", f"same top {self.k}", *([f"nDCG@{self.k}", "difference"] if judged else []), "error", ""]
        return header, [_row(one, judged=judged) for one in self.outcomes if not one.left_out]

    def to_dict(self) -> dict[str, Any]:
        """JSON values."""
        return asdict(self) | {"pareto": [one.name for one in self.pareto], "sentences": self.sentences()}


def _row(one: CodecOutcome, *, judged: bool) -> list[str]:
    overlap, difference = one.overlap, one.difference
    shown = [one.name, f"{one.hot}" + (f" + {one.cold}" if one.cold else ""), f"{one.times:.1f}"]
    shown.append("" if overlap is None else f"{overlap.mean:.1%}")
    if judged:
        shown.append("" if one.ndcg is None else f"{one.ndcg:.4f}")
        shown.append("" if difference is None else f"{difference.mean:+.4f} [{difference.low:+.4f}, {difference.high:+.4f}]")
    return [*shown, "" if one.error is None else f"{one.error:.2%}", "Pareto" if one.pareto else ""]


def _sentence(one: CodecOutcome, k: int) -> str:
    stored = f"{one.hot} bytes a vector in memory and {one.cold} anywhere" if one.cold else f"{one.hot} bytes a vector"
    told = f"{one.name}: {stored}, {one.times:.1f} times smaller in memory than float32"
    if one.overlap is not None:
        told += f"; {one.overlap.mean:.1%} of the same top {k}"
    if one.difference is not None and one.ndcg is not None:
        low, high = one.difference.low, one.difference.high
        # A difference is called one only where resampling the questions bears it out.
        real = "no difference can be seen" if low <= 0 <= high else ("worse" if high < 0 else "better")
        told += f"; nDCG@{k} {one.difference.mean:+.4f} [{low:+.4f}, {high:+.4f}], {real}"
    return told + "."


def codec_report(
    vectors: Vectors,
    queries: Vectors | None = None,
    *,
    codecs: Sequence[str] = CODECS,
    judgements: Sequence[Mapping[str, int]] | None = None,
    units: Sequence[str] | None = None,
    k: int = 10,
    made: int = 500,
    seed: int = 0,
    source: str = "",
    model: str = "",
) -> CodecReport:
    """Encode ``vectors`` ``(n, dim)`` with each codec, search with ``queries`` ``(q, dim)``, and compare with float32.

    Codecs that learn are fitted on the vectors themselves, as a store would. Without ``queries``, ``made`` vectors by chance ask for
    their own neighbours: an easier question than people's. ``judgements``, one ``{unit: grade}`` per query, with ``units``, the unit of each
    row, add nDCG. In names, "all", "half" and "quarter" stand for that share of the dimensions: "svdhalf+int8".

    Raises InvalidInputError for fewer than k + 1 vectors and for names that are not known. A codec that these vectors do not
    suit is in the report with the reason.
    """
    if not isinstance(k, int) or k < 1 or len(vectors) <= k:
        raise InvalidInputError(f"{len(vectors)} vectors and k {k!r}; there must be more vectors than k, and k at least 1.")
    if (judgements is None) != (units is None):
        raise InvalidInputError("judgements and units belong together: give both, or neither.")
    own: Ints | None = None
    if queries is None:
        own = np.sort(np.random.default_rng(seed).choice(len(vectors), size=min(made, len(vectors)), replace=False))
        queries = vectors[own]
    bench = _Bench(vectors, queries, own, judgements, units, k)
    exact = bench.rows(Pipeline((), Float32()), named_as="float32")
    base = bench.measured(exact, None)
    outcomes = [base.outcome]
    for name in codecs:
        setting = parse_codec(name, vectors.shape[1])
        try:
            found = bench.rows(setting, named_as=name)
        except InvalidInputError as error:
            outcomes.append(CodecOutcome(name=name, left_out=str(error)))
            continue
        outcomes.append(bench.measured(found, base).outcome)
    return CodecReport(
        source=source,
        model=model,
        rows=len(vectors),
        dim=vectors.shape[1],
        queries=len(queries),
        k=k,
        made_queries=own is not None,
        outcomes=tuple(_with_pareto(outcomes)),
    )


def parse_codec(name: str, dim: int) -> Pipeline | Rescored:
    """The codec of a name such as "rotated+int4", "svdhalf+int8" or "binary -> int8 @ 10", for vectors of ``dim``."""
    for word, share in (("all", dim), ("half", dim // 2), ("quarter", dim // 4)):
        for step in ("svd", "pca", "first"):
            name = name.replace(f"{step}{word}", f"{step}{max(share, 1)}")
    if "->" not in name:
        return named(name)
    coarse, _, rest = name.partition("->")
    fine, _, times = rest.partition("@")
    try:
        return Rescored(named(coarse), named(fine), float(times or 10))
    except ValueError as error:
        if isinstance(error, InvalidInputError):
            raise
        raise InvalidInputError(
            f"{times.strip()!r} in the codec {name!r} is no number; write for example 'binary -> int8 @ 10'."
        ) from error


@dataclass(frozen=True, slots=True)
class _Found:
    name: str
    hot: int
    cold: int
    rows: Ints
    error: float


@dataclass(frozen=True, slots=True)
class _Measured:
    outcome: CodecOutcome
    rows: Ints
    ndcg: Mapping[str, float] | None


@dataclass(frozen=True, slots=True)
class _Bench:
    vectors: Vectors
    queries: Vectors
    own: Ints | None
    judgements: Sequence[Mapping[str, int]] | None
    units: Sequence[str] | None
    k: int

    def rows(self, setting: Pipeline | Rescored, *, named_as: str) -> _Found:
        """The rows each query gets, itself left out where it is one of them."""
        wanted = (max(self.k, _DEPTH) if self.judgements is not None else self.k) + (self.own is not None)
        if isinstance(setting, Rescored):
            pair = setting.fit(self.vectors)
            coarse, fine = pair.encode(self.vectors)
            # All candidates of a search for k, in order: asking for more would find more candidates too.
            count = int(np.ceil(self.k * setting.oversample)) + (self.own is not None)
            found = pair.with_oversample(1).search(self.queries, coarse, fine, k=count).rows[:, :wanted]
            return _Found(named_as, pair.hot_bytes, pair.cold_bytes, self._others(found), pair.fine.fit.error)
        codec = setting.fit(self.vectors)
        found = codec.search(self.queries, codec.encode(self.vectors), k=wanted).rows
        return _Found(named_as, codec.size_bytes, 0, self._others(found), codec.fit.error)

    def _others(self, rows: Ints) -> Ints:
        if self.own is None:
            return rows
        itself = rows == self.own[:, None]
        itself[~itself.any(axis=1), -1] = True  # found too late: the last is one too many all the same
        others: Ints = rows[~itself].reshape(len(rows), -1)
        return others

    def measured(self, found: _Found, base: _Measured | None) -> _Measured:
        top = found.rows[:, : self.k]
        exact = top if base is None else base.rows
        shared = [len(set(one) & set(other)) / self.k for one, other in zip(top.tolist(), exact.tolist(), strict=True)]
        ndcg = self._ndcg(found.rows)
        difference = compare(ndcg, base.ndcg)[0] if ndcg is not None and base is not None and base.ndcg is not None else None
        outcome = CodecOutcome(
            name=found.name,
            hot=found.hot,
            cold=found.cold,
            times=4 * self.vectors.shape[1] / found.hot,
            overlap=estimate(shared),
            ndcg=None if ndcg is None else float(np.mean(list(ndcg.values()))),
            difference=difference,
            error=found.error,
        )
        return _Measured(outcome, top, ndcg)

    def _ndcg(self, rows: Ints) -> Mapping[str, float] | None:
        if self.judgements is None or self.units is None:
            return None
        units = np.asarray(self.units, dtype=object)
        run = {str(at): list(dict.fromkeys(units[found].tolist())) for at, found in enumerate(rows)}
        judged = {str(at): one for at, one in enumerate(self.judgements)}
        return rank_metrics(judged, run, k=self.k)[f"nDCG@{self.k}"]


def _with_pareto(outcomes: Sequence[CodecOutcome]) -> list[CodecOutcome]:
    from dataclasses import replace

    made = []
    for one in outcomes:
        beaten = one.overlap is None or any(_beats(other, one) for other in outcomes)
        made.append(replace(one, pareto=not beaten))
    return made


def _beats(one: CodecOutcome, other: CodecOutcome) -> bool:
    if one.overlap is None or other.overlap is None:
        return False
    left = (one.hot, one.hot + one.cold, -one.overlap.mean)
    right = (other.hot, other.hot + other.cold, -other.overlap.mean)
    return left != right and all(mine <= theirs for mine, theirs in zip(left, right, strict=True))
