"""What training found on held-out documents, as data and as a table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

from ragkit.embed.adapter import Adapter
from ragkit.errors import InvalidInputError
from ragkit.retrieve import DEFAULT_FUSION, Convex
from ragkit.retrieve.fit import as_dict
from ragkit.train.judge import Interval, JudgeMode

ArmName = Literal["mixed", "trained"]


class Part(Protocol):
    """What training made: an Adapter, or tuned weights."""

    def save(self, path: str | Path) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """nDCG@10 of an arm minus plain on questions of held-out documents, with its 95 % interval over documents.

    ``arm`` "mixed" is the untrained start (for an adapter shares and whitening, for weights the chunker's own mix), "trained"
    what was trained. ``subset`` is "all" or "needs
    context" (questions that name a word of the title which their answer's chunks lack). ``plain`` is plain's own mean.
    """

    arm: ArmName
    mode: JudgeMode
    subset: str
    plain: float
    gain: Interval


@dataclass(frozen=True, slots=True, kw_only=True)
class ContextReport:
    """What training made, and whether it earned its place.

    ``differences`` come from ``folds`` rounds that each train without some documents and ask their questions; ``made`` is
    trained on all documents, the same way. ``won`` when, in ``mode``, the trained arm's interval lies above 0 and its mean
    gain is at least ``min_gain``. The chunks are the same in every arm. ``training`` says how it was trained ("method" and
    the method's own settings and findings), JSON-like.
    """

    model: str
    chunker: str
    mode: JudgeMode
    documents: int
    chunks: int
    questions: int
    labels: str
    folds: int
    seed: int
    min_gain: float
    training: Mapping[str, Any]
    seconds: float
    differences: tuple[Difference, ...]
    made: Part = field(repr=False)

    @property
    def adapter(self) -> Adapter:
        """The adapter. Raises InvalidInputError where the model's own weights were trained."""
        if not isinstance(self.made, Adapter):
            raise InvalidInputError(
                f"This report is about method {self.training['method']!r}, which makes a model and no adapter."
            )
        return self.made

    @property
    def fusion(self) -> Convex:
        """The fusion it was judged with, for ``Index(..., fusion=...)``."""
        settings = dict(self.training.get("fusion", as_dict(DEFAULT_FUSION)))
        settings.pop("kind")
        return Convex(**settings)

    @property
    def name(self) -> str:
        """What was made, in words."""
        return "adapter" if isinstance(self.made, Adapter) else "tuned model"

    def difference(self, arm: ArmName, mode: JudgeMode, subset: str = "all") -> Difference:
        """That row; KeyError when it was not measured."""
        for row in self.differences:
            if (row.arm, row.mode, row.subset) == (arm, mode, subset):
                return row
        raise KeyError(f"{arm}, {mode}, {subset}")

    @property
    def won(self) -> bool:
        """Whether held-out documents say that the adapter is better than plain."""
        gain = self.difference("trained", self.mode).gain
        return gain.low > 0 and gain.mean >= self.min_gain

    @property
    def verdict(self) -> str:
        """One sentence with the figures."""
        gain = self.difference("trained", self.mode).gain
        figures = (
            f"{100 * gain.mean:+.1f} points of nDCG@10 ({self.mode}) on unseen documents, 95 % interval "
            f"[{100 * gain.low:+.1f}, {100 * gain.high:+.1f}], {gain.n} questions"
        )
        if self.won:
            return f"The {self.name} wins: {figures}."
        asked = f", and {100 * self.min_gain:.1f} points were asked for" if self.min_gain else ""
        return f"Keep the plain model: {figures}{asked}."

    def save(self, path: str | Path, *, force: bool = False) -> None:
        """Write the adapter's file or the model's folder. Raises InvalidInputError when it did not win, unless ``force``, or when it cannot be written."""
        if not self.won and not force:
            raise InvalidInputError(f"{self.verdict} Nothing was written to {path}; force writes it all the same.")
        self.made.save(path)

    def to_dict(self) -> dict[str, Any]:
        """Everything but the weights, ready for JSON."""
        found: dict[str, Any] = {
            name: getattr(self, name) for name in self.__dataclass_fields__ if name not in ("made", "differences", "training")
        }
        rows = [asdict(row) | {"gain": row.gain._asdict()} for row in self.differences]
        own = {"adapter": self.made.digest} if isinstance(self.made, Adapter) else {}
        return found | dict(self.training) | {"differences": rows, "won": self.won, "verdict": self.verdict} | own

    def table(self) -> tuple[list[str], list[list[str]]]:
        """A header and one row per mode, subset and arm."""
        rows = [
            [
                row.mode,
                row.subset,
                row.arm,
                str(row.gain.n),
                f"{row.plain:.3f}",
                f"{row.plain + row.gain.mean:.3f}",
                _points(row.gain),
            ]
            for row in self.differences
        ]
        return ["mode", "questions", "arm", "n", "plain", "nDCG@10", "gain in points [95 %]"], rows


def _points(gain: Interval) -> str:
    return f"{100 * gain.mean:+.1f} [{100 * gain.low:+.1f}, {100 * gain.high:+.1f}]"
