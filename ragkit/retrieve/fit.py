"""A fusion fitted to labelled questions, kept only where it wins on questions that it was not chosen by."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ragkit.errors import InvalidInputError
from ragkit.retrieve.adaptive import Adaptive
from ragkit.retrieve.fusion import DEFAULT_FUSION, Convex, Fusion, Rrf, Scored
from ragkit.types import canonical_json, digest
from ragkit.vec import order

Floats = NDArray[np.float64]
Fittable = Convex | Adaptive | Rrf

_KINDS: dict[str, type[Convex] | type[Adaptive] | type[Rrf]] = {"Convex": Convex, "Adaptive": Adaptive, "Rrf": Rrf}
_FORMAT = 1
_RESAMPLES = 2000
_LEAST = 20  # an interval over fewer questions says nothing
_SHARES = tuple(tenth / 10 for tenth in range(11))

#: What ``fit_fusion`` chooses from: every share of the vote in tenths, three scales, with and without a document's share.
GRID: tuple[Fittable, ...] = (
    *(
        Convex(dense=dense, normalize=normalize, document=document)
        for normalize in ("softmax", "zscore", "minmax")
        for dense in _SHARES
        for document in (0.0, 0.25)
    ),
    *(Adaptive(dense=dense) for dense in _SHARES[3:9]),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """The candidates of a question and what they are worth.

    ``gains`` is float64 ``(n,)``, at least 0, in the order of ``scored``; ``ideal`` the gains of all that is relevant, found or
    not. ``group`` names what questions share (the document they ask about): groups are held out whole.
    """

    scored: Scored
    gains: Floats
    ideal: tuple[float, ...]
    group: str = ""

    def __post_init__(self) -> None:
        gains = np.asarray(self.gains, np.float64)
        if gains.shape != np.shape(self.scored.dense) or not np.isfinite(gains).all() or (gains < 0).any():
            raise InvalidInputError(
                f"gains have shape {gains.shape} for {len(self.scored.dense)} candidates; give each a finite number, at least 0."
            )
        if not self.ideal or not all(0 < gain < float("inf") for gain in self.ideal):
            raise InvalidInputError(
                f"ideal is {self.ideal!r}; it holds the gain, above 0, of everything relevant to the question."
            )
        object.__setattr__(self, "gains", gains)


class Gain(NamedTuple):
    """A mean difference of nDCG over questions, and the 99 % interval ``[low, high]`` of drawing groups again."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class FusionReport:
    """What ``fit_fusion`` found. ``fusion`` is what to use: ``best`` if it ``won``, else ``default``.

    ``best`` is the setting chosen by some of the questions; ``gain`` is its nDCG@``k`` minus the default's on the ``held_out`` others, and
    ``ndcg`` and ``before`` are the two means there. ``made_for`` says which model and analyzer the scores came from, "" where that was
    not told.
    """

    fusion: Fittable
    best: Fittable
    default: Fittable
    won: bool
    gain: Gain
    ndcg: float
    before: float
    questions: int
    held_out: int
    groups: int
    k: int
    made_for: str = ""

    @property
    def verdict(self) -> str:
        """One sentence."""
        found = f"{self.gain.mean:+.4f} nDCG@{self.k} [{self.gain.low:+.4f}, {self.gain.high:+.4f}] on questions held out"
        return f"{self.best} wins: {found}." if self.won else f"{self.default} is kept: {self.best} gains {found}."

    def to_json(self) -> str:
        """The report as JSON text, with a fingerprint of the settings; ``fusion_from_json`` reads it."""
        settings = {name: as_dict(getattr(self, name)) for name in ("fusion", "best", "default")}
        kept = {
            name: getattr(self, name) for name in ("won", "ndcg", "before", "questions", "held_out", "groups", "k", "made_for")
        }
        body = {"format": _FORMAT, **settings, **kept, "gain": self.gain._asdict()}
        return json.dumps(body | {"fingerprint": digest(canonical_json(body))}, indent=1, sort_keys=True) + "\n"


def fit_fusion(
    questions: Sequence[Judged],
    *,
    choices: Sequence[Fittable] = GRID,
    default: Fittable = DEFAULT_FUSION,
    k: int = 10,
    held_out: float = 0.5,
    seed: int = 0,
    made_for: str = "",
) -> FusionReport:
    """The best of ``choices`` by nDCG@``k``, or ``default`` unless a choice made without them gains on held-out questions.

    Groups are dealt into two parts: the first chooses, and ``held_out`` of them, who had no say, judge that one choice. The default
    stays unless the 99 % interval of the paired gain there, with groups drawn again, lies above 0. (Choosing and judging in turns
    would use all questions for both, and took noise for a gain in 9 of 100 trials.) Equal seeds give equal reports.

    Raises InvalidInputError for fewer than 20 questions, fewer than two groups, no choices, or numbers out of range.
    """
    if not isinstance(k, int) or isinstance(k, bool) or k < 1:
        raise InvalidInputError(f"k is {k!r}; it must be a whole number, at least 1.")
    if not choices:
        raise InvalidInputError("choices is empty; give at least one fusion to compare with the default.")
    settings = [default, *(choice for choice in choices if choice != default)]
    values = np.array([[ndcg(one, setting, k=k) for one in questions] for setting in settings])
    chosen = choose_apart(values, [one.group for one in questions], held_out=held_out, seed=seed)
    best = settings[chosen.setting]
    return FusionReport(
        fusion=best if chosen.won else default,
        best=best,
        default=default,
        won=chosen.won,
        gain=chosen.gain,
        ndcg=chosen.value,
        before=chosen.before,
        questions=len(questions),
        held_out=chosen.held_out,
        groups=chosen.groups,
        k=k,
        made_for=made_for,
    )


class Apart(NamedTuple):
    """The setting that some questions chose, by its row, and what the ``held_out`` others say of it.

    ``value`` and ``before`` are its mean there and the default's, ``gain`` the difference; it ``won`` when its interval lies above 0.
    """

    setting: int
    won: bool
    gain: Gain
    value: float
    before: float
    held_out: int
    groups: int


def choose_apart(values: Floats, groups: Sequence[str], *, held_out: float = 0.5, seed: int = 0) -> Apart:
    """Choose by some groups of questions, judge by the others: ``values`` are float ``(settings, questions)``, the default's first.

    A question whose group is "" is a group of its own. Raises InvalidInputError for fewer than 20 questions or two groups, or
    ``held_out`` out of range.
    """
    if not 0 < held_out < 1:
        raise InvalidInputError(f"held_out is {held_out!r}; it is the share of the groups that judge, above 0 and below 1.")
    names, owner = np.unique([one or f"\0{place}" for place, one in enumerate(groups)], return_inverse=True)
    if len(groups) < _LEAST or len(names) < 2:
        raise InvalidInputError(
            f"There are {len(groups)} judged questions in {len(names)} groups; settings are fitted to at least {_LEAST} in two groups."
        )
    judges = np.random.default_rng(seed).permutation(len(names))[owner] < max(
        1, min(len(names) - 1, round(held_out * len(names)))
    )
    chosen = _best(values[:, ~judges])
    held = values[:, judges]
    gain = _gain(held[chosen] - held[0], np.unique(owner[judges], return_inverse=True)[1])
    return Apart(
        setting=chosen,
        won=gain.low > 0 and chosen != 0,
        gain=gain,
        value=float(held[chosen].mean()),
        before=float(held[0].mean()),
        held_out=int(judges.sum()),
        groups=len(names),
    )


def ndcg(question: Judged, fusion: Fusion, *, k: int = 10) -> float:
    """nDCG@``k`` of the candidates under ``fusion``, in [0, 1]; 0 where there are none."""
    if not len(question.gains):
        return 0.0
    shares = fusion.fit(question.scored)(question.scored)
    found = question.gains[order(shares.dense + shares.bm25)[:k]]
    ideal = np.sort(np.array(question.ideal))[::-1][:k]
    return min(1.0, float(_discounted(found) / _discounted(ideal)))


def as_dict(fusion: Fittable) -> dict[str, Any]:
    """Settings ready for JSON."""
    return {"kind": type(fusion).__name__, **asdict(fusion)}


def fusion_from_json(text: str, *, made_for: str = "") -> Fittable:
    """The fusion to use out of ``FusionReport.to_json``.

    Raises InvalidInputError for text that is damaged or of another format, and, where ``made_for`` is given and the report
    says whose scores it was fitted to, for those of another model or analyzer.
    """
    try:
        body = json.loads(text)
        fingerprint = body.pop("fingerprint")
        settings = dict(body["fusion"])
        kind = _KINDS[settings.pop("kind")]
        intact = fingerprint == digest(canonical_json(body)) and body["format"] == _FORMAT
        known = set(settings) == {field.name for field in fields(kind)}
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise InvalidInputError(f"This is no fitted fusion: {error!r}. Use the text that FusionReport.to_json wrote.") from error
    if not intact or not known:
        raise InvalidInputError("The fitted fusion was changed or is of another version; fit it again.")
    if made_for and body["made_for"] not in ("", made_for):
        raise InvalidInputError(
            f"The fusion was fitted to {body['made_for']!r} and is to be used with {made_for!r}; scores of other models or words spread "
            "otherwise. Fit it again on this index."
        )
    return kind(**settings)


def _discounted(gains: Floats) -> float:
    return float((gains / np.log2(np.arange(2, len(gains) + 2))).sum())


def _best(values: Floats) -> int:
    """The row of the highest mean; differences within rounding go to the earlier one, so to the default."""
    return int(np.round(values.mean(axis=1), 9).argmax())


def _gain(difference: Floats, owner: NDArray[np.int64]) -> Gain:
    sums, counts = np.bincount(owner, difference), np.bincount(owner)
    drawn = np.random.default_rng(0).integers(0, len(counts), (_RESAMPLES, len(counts)))
    means = sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1)
    low, high = np.percentile(means, [0.5, 99.5])
    return Gain(float(difference.mean()), float(low), float(high))
