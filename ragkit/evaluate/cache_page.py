"""Pairs measured for a cache, as one HTML page: precision against hit rate, the figures, the traps. No network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING

from ragkit.cache import PairReport, TrapReport
from ragkit.evaluate.pages import html_table, new_figure, page, svg_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_COLOURS = ("#1f5fa8", "#c2571a", "#2b7d3c", "#8e3fa5")


def pair_table(reports: Mapping[str, PairReport]) -> tuple[list[str], list[list[str]]]:
    """A header and one row per scorer."""
    header = ["scored by", "average precision", "best F1", "at cosine", "area of precision over hit rate"]
    header += [f"recall at precision {name}" for name in next(iter(reports.values())).recall_at]
    rows = []
    for name, report in reports.items():
        figures = [
            f"{one.value:.3f} [{one.low:.3f}, {one.high:.3f}]" for one in (report.average_precision, report.f1, report.area)
        ]
        rows.append(
            [name, *figures[:2], f"{report.f1_threshold:.3f}", figures[2], *(f"{one:.3f}" for one in report.recall_at.values())]
        )
    return header, rows


def trap_table(reports: Sequence[TrapReport]) -> tuple[list[str], list[list[str]]]:
    """A header and one row per share served, in percent, with a column for each cosine."""
    header = ["served, %", *(f"from {one.threshold:.2f}" for one in reports)]
    rows = [
        ["paraphrases", *(f"{100 * one.recall:.0f}" for one in reports)],
        ["all traps", *(f"{100 * one.served:.1f}" for one in reports)],
    ]
    rows += [[kind, *(f"{100 * one.by_kind[kind]:.0f}" for one in reports)] for kind in reports[0].by_kind]
    return header, rows


def cache_page(reports: Mapping[str, PairReport], traps: Sequence[TrapReport], *, model: str, source: str) -> str:
    """The page. Raises MissingDependencyError without matplotlib (extra ``study``)."""
    svg = svg_of(_figure(reports), "precision against hit rate")
    first = next(iter(reports.values()))
    last = list(reports.values())[-1]
    return page(
        f"Cache: {source}",
        f"""<h1>{escape(source)}: may an answer be given again?</h1>
<p>{first.pairs:,} labelled pairs, {first.positive:,} of the same meaning; model {escape(model)}. Brackets are 95 % bootstrap intervals.</p>
<p><strong>{escape(str(last.policy["policy"]))}</strong>: {escape(last.why)}.</p>
{svg}
{html_table(*pair_table(reports))}
<p>Recall counts pairs that a guard rejects as missed; a precision counts as reached with 20 hits or more. Figures of pairs are not yet figures of a
cache: its neighbours are nearer than pairs that somebody chose.</p>
<h2>The trap suite</h2>
{html_table(*trap_table(traps))}""",
    )


def _figure(reports: Mapping[str, PairReport]) -> Figure:
    figure = new_figure(12, 4.5, what="Pictures of a cache")
    precision, wrong = figure.subplots(1, 2)
    for colour, (name, report) in zip(_COLOURS, reports.items(), strict=False):
        curve = report.curve
        rates = [100 * rate for rate in curve.hit_rate]
        precision.plot(rates, [100 * one for one in curve.precision], color=colour, label=f"{name}, area {report.area.value:.3f}")
        wrong.plot(rates, curve.wrong_per_100, color=colour, label=name)
        served = report.policy.get("certified")
        if served is not None:
            place = min(range(len(rates)), key=lambda at: abs(curve.threshold[at] - served))
            for axes, values in ((precision, [100 * one for one in curve.precision]), (wrong, list(curve.wrong_per_100))):
                axes.scatter([rates[place]], [values[place]], color=colour, zorder=3)
                axes.annotate(
                    f"calibrated {served:.2f}",
                    (rates[place], values[place]),
                    xytext=(6, 6),
                    textcoords="offset points",
                    fontsize=8,
                )
    budget = _budget(reports)
    wrong.axhline(100 * budget, color="#8a8f98", linestyle="--", linewidth=1, label=f"budget of {100 * budget:g}")
    for axes, label in ((precision, "precision, %"), (wrong, "wrong answers per 100 pairs")):
        axes.set_xlabel("hit rate, %")
        axes.set_ylabel(label)
        axes.grid(alpha=0.25)
        axes.legend(fontsize=8, frameon=False)
    return figure


def _budget(reports: Mapping[str, PairReport]) -> float:
    """The share of wrong answers that was allowed."""
    return float(next(iter(reports.values())).policy["budget"])
