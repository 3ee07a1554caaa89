"""The picture of quality against bytes, alone as PNG, or on a page with the table. No network."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from ragkit.evaluate.codecs import CodecOutcome, CodecReport
from ragkit.evaluate.pages import html_table, new_figure, page, png_of, svg_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_FRONT, _REST = "#1f5fa8", "#8a8f98"


def codec_picture(report: CodecReport) -> bytes:
    """The picture as PNG. Raises MissingDependencyError without matplotlib (extra ``study``)."""
    return png_of(_figure(report))


def codec_page(report: CodecReport) -> str:
    """One HTML page: the Pareto set in words, the picture, the table."""
    svg = svg_of(_figure(report), "quality against bytes")
    said = "".join(f"<li>{escape(one)}</li>" for one in report.sentences())
    left = "".join(f"<li>{escape(one.name)}: {escape(one.left_out)}</li>" for one in report.outcomes if one.left_out)
    asked = "vectors asking for their neighbours" if report.made_queries else "questions"
    return page(
        f"Codecs: {report.source}",
        f"""<h1>Quality against bytes: {escape(report.source)}</h1>
<p>{report.rows:,} vectors of {report.dim} dimensions, {report.queries:,} {asked}, model {escape(report.model)}. Codecs that no other beats, the fewest
bytes in memory first:</p>
<ul>{said}</ul>
{svg}
{html_table(*report.table())}
<p>Differences are to float32, question by question, with 95 % bootstrap intervals. "error" is the squared length that is lost.</p>
{f"<h2>Not measured</h2><ul>{left}</ul>" if left else ""}""",
    )


def _figure(report: CodecReport) -> Figure:
    shown = [one for one in report.outcomes if not one.left_out]
    judged = any(one.ndcg is not None for one in shown)
    figure = new_figure(14 if judged else 9, 6, what="Pictures of codecs")
    from matplotlib.lines import Line2D

    axes = figure.subplots(1, 2 if judged else 1, squeeze=False)[0]
    ordered = sorted(shown, key=lambda one: (one.hot, one.cold, one.name))
    _panel(
        axes[0],
        report,
        [(one, 100 * one.overlap.mean if one.overlap else None) for one in ordered],
        f"same top {report.k} as float32, %",
    )
    if judged:
        _panel(axes[1], report, [(one, one.ndcg) for one in ordered], f"nDCG@{report.k}")
    figure.suptitle(f"{report.source}: {report.rows:,} vectors, {report.dim} dimensions", fontsize=11)
    # Names beside the points would cover each other; numbers do so less.
    key = [
        Line2D(
            [],
            [],
            linestyle="",
            marker="D" if one.cold else "o",
            color=_FRONT if one.pareto else _REST,
            label=f"{place}  {one.name}",
        )
        for place, one in enumerate(ordered, 1)
    ]
    figure.legend(
        handles=key, loc="outside right center", fontsize=8, frameon=False, title="blue: no other beats it", title_fontsize=8
    )
    return figure


def _panel(axes: Axes, report: CodecReport, points: list[tuple[CodecOutcome, float | None]], label: str) -> None:
    front = sorted((one.hot, value) for one, value in points if one.pareto and not one.cold and value is not None)
    axes.plot([x for x, _ in front], [y for _, y in front], color=_FRONT, linewidth=1, alpha=0.5, zorder=1)
    for place, (one, value) in enumerate(points, 1):
        if value is None:
            continue
        colour = _FRONT if one.pareto else _REST
        axes.scatter([one.hot], [value], color=colour, marker="D" if one.cold else "o", s=34, zorder=2)
        side = (5, 4) if place % 2 else (-5, 4)
        axes.annotate(
            str(place),
            (one.hot, value),
            xytext=side,
            textcoords="offset points",
            fontsize=8,
            color=colour,
            ha="left" if place % 2 else "right",
        )
    axes.set_xscale("log", base=2)
    ticks = [max(1, 4 * report.dim // 2**step) for step in range(6)]
    axes.set_xticks(ticks, [str(tick) for tick in ticks])
    axes.set_xlabel("bytes of a vector in memory (diamonds: more on disk)")
    axes.set_ylabel(label)
    axes.grid(alpha=0.25)
