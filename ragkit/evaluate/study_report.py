"""What a study found: scores with intervals, differences with verdicts, costs, and what to do about it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple

import numpy as np

from ragkit.errors import InvalidInputError
from ragkit.evaluate.collections import Collection
from ragkit.evaluate.metrics import Estimate
from ragkit.evaluate.report import Score
from ragkit.evaluate.study_compare import Difference, Resamples, differences, estimates
from ragkit.evaluate.study_measure import Gold
from ragkit.evaluate.study_run import Outcome
from ragkit.evaluate.study_shelf import Settings
from ragkit.evaluate.study_verdict import Verdict, decide

_FEW = 50  # questions; with fewer the bootstrap's intervals are too narrow


class Asked(NamedTuple):
    """A question of the study."""

    id: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyReport:
    """Everything a study found, for people and for machines.

    ``outcomes`` are the recipes with their costs and their values per question, in the order of ``questions``; ``scores`` their means with
    95 % intervals; a score's ``mode`` is "<recipe>, <mode>". ``differences`` compare every recipe with its baseline and with the best recipe of that
    metric and mode. ``headline`` is the mode and metric that ``verdict`` is about. ``judged`` says what nDCG ranks: "spans",
    "passages" or "documents". ``embedder`` is code that makes the embedder, or "". ``planned`` may exceed the outcomes of a study that was stopped.
    """

    collection: str
    model: str
    embedder: str
    documents: int
    characters: int
    questions: tuple[Asked, ...]
    judged: str
    modes: tuple[str, ...]
    budgets: tuple[int, ...]
    k: int
    seed: int
    resamples: int
    planned: int
    notes: tuple[str, ...]
    headline: tuple[str, str]
    outcomes: tuple[Outcome, ...]
    estimates: Mapping[tuple[str, str, str], Estimate] = field(hash=False)
    differences: tuple[Difference, ...]
    verdict: Verdict

    def estimate(self, name: str, mode: str, metric: str) -> Estimate:
        """The mean of a recipe; KeyError when it was not measured."""
        return self.estimates[name, mode, metric]

    def outcome(self, name: str) -> Outcome:
        """The recipe of that name; KeyError when it is not there."""
        for one in self.outcomes:
            if one.name == name:
                return one
        raise KeyError(f"{name}; studied are {', '.join(one.name for one in self.outcomes)}")

    def difference(self, name: str, other: str, *, mode: str | None = None, metric: str | None = None) -> Difference | None:
        """``name`` against ``other`` in the headline's mode and metric, or those named; None where they were not compared."""
        wanted = (name, other, mode or self.headline[0], metric or self.headline[1])
        return next((one for one in self.differences if (one.name, one.other, one.mode, one.metric) == wanted), None)

    @property
    def metrics(self) -> tuple[str, ...]:
        """The metrics measured, in order."""
        return tuple(dict.fromkeys(metric for _, _, metric in self.estimates))

    @property
    def scores(self) -> tuple[Score, ...]:
        """Every estimate as a Score, its mode being "<recipe>, <mode>"."""
        return tuple(
            Score(mode=f"{name}, {mode}", metric=metric, mean=one.mean, low=one.low, high=one.high, n=one.n)
            for (name, mode, metric), one in self.estimates.items()
        )

    def to_dict(self) -> dict[str, Any]:
        """Everything, ready for JSON."""
        flat = {
            name: getattr(self, name)
            for name in ("collection", "model", "embedder", "documents", "characters", "judged", "modes", "budgets", "k", "seed", "resamples", "planned", "notes")
        }  # fmt: skip
        return {
            **flat,
            "headline": {"mode": self.headline[0], "metric": self.headline[1]},
            "verdict": asdict(self.verdict),
            "recipes": [one.to_dict() for one in self.outcomes],
            "scores": [
                {"name": name, "mode": mode, "metric": metric, **one._asdict()}
                for (name, mode, metric), one in self.estimates.items()
            ],
            "differences": [asdict(one) for one in self.differences],
            "questions": [one._asdict() for one in self.questions],
        }

    def table(self, mode: str | None = None) -> tuple[list[str], list[list[str]]]:
        """A header and one row per recipe, best first: quality with intervals in ``mode`` (None: the headline's), and costs."""
        shown, metric = mode or self.headline[0], self.headline[1]
        names = [f"recall@{budget}" for budget in self.budgets]
        names += [f"IoU@{self.budgets[0]}"] if f"IoU@{self.budgets[0]}" in self.metrics else []
        names.append(f"nDCG@{self.k}")
        ranked = sorted(self.outcomes, key=lambda one: -self.estimate(one.name, shown, metric).mean)
        rows = []
        for one in ranked:
            plain = self.difference(one.name, one.baseline, mode=shown) if one.baseline else None
            rows.append(
                [
                    one.name,
                    *(cell(self.estimate(one.name, shown, name), narrow=name != metric) for name in names),
                    "" if plain is None else f"{plain.mean:+.3f} {plain.verdict}",
                    f"{one.chunks:,}",
                    f"{one.embed_seconds:.1f}" + ("~" if one.timing == "sample" else ""),
                    f"{(one.vector_bytes + one.text_bytes) / 1e6:.1f}",
                ]
            )
        header = ["recipe", *names, "against plain", "chunks", "embed s", "MB"]
        if not any(row[-4] for row in rows):
            header, rows = [*header[:-4], *header[-3:]], [[*row[:-4], *row[-3:]] for row in rows]
        return header, rows


def cell(value: Estimate, *, narrow: bool = False) -> str:
    """``mean [low, high]``, or ``mean ± half`` where there is less room."""
    if narrow:
        return f"{value.mean:.3f} ±{(value.high - value.low) / 2:.3f}"
    return f"{value.mean:.3f} [{value.low:.3f}, {value.high:.3f}]"


def make_report(
    outcomes: Sequence[Outcome],
    collection: Collection,
    gold: Gold,
    settings: Settings,
    *,
    model: str,
    embedder: str,
    planned: int,
    notes: Sequence[str],
    seed: int,
    resamples: int,
) -> StudyReport:
    """The report of these outcomes; raises InvalidInputError when there are none."""
    if not outcomes:
        raise InvalidInputError("No recipe was finished, so there is nothing to report.")
    modes = tuple(str(mode) for mode in settings.modes)
    metrics = list(outcomes[0].values[modes[0]])
    mode = "hybrid" if "hybrid" in modes else modes[0]
    budget = settings.budgets[len(settings.budgets) // 2]
    metric = f"recall@{budget}" if gold.spans else f"nDCG@{settings.k}"
    resampled = Resamples(len(gold.queries), seed=seed, resamples=resamples)
    names = [one.name for one in outcomes]
    plain = [(one.name, one.baseline) for one in outcomes if one.baseline is not None and one.baseline in names]
    scored: dict[tuple[str, str, str], Estimate] = {}
    found: list[Difference] = []
    for one in modes:
        for name in metrics:
            values = np.array([outcome.values[one][name] for outcome in outcomes], np.float64).T
            sampled = resampled.means(values)
            scored |= {(who, one, name): mean for who, mean in zip(names, estimates(values, sampled), strict=True)}
            best = names[int(values.mean(axis=0).argmax())]
            rest = [(who, best) for who in names if who != best]
            found += differences(values, sampled, names, plain, against="baseline", mode=one, metric=name)
            found += differences(values, sampled, names, rest, against="best", mode=one, metric=name)
    told = list(notes)
    if len(gold.queries) < _FEW:
        told.append(f"{len(gold.queries)} questions are few: intervals are rough, and small differences cannot be seen.")
    return StudyReport(
        collection=collection.name,
        model=model,
        embedder=embedder,
        documents=len(collection.documents),
        characters=sum(len(document.text) for document in collection.documents),
        questions=tuple(Asked(query.id, query.text) for query in gold.queries),
        judged="passages" if gold.units else "documents" if gold.documents else "spans",
        modes=modes,
        budgets=settings.budgets,
        k=settings.k,
        seed=seed,
        resamples=resamples,
        planned=planned,
        notes=tuple(told),
        headline=(mode, metric),
        outcomes=tuple(outcomes),
        estimates=scored,
        differences=tuple(found),
        verdict=decide(outcomes, {one.name: scored[one.name, mode, metric] for one in outcomes}, found, mode, metric),
    )
