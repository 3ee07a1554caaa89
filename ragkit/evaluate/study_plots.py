"""The pictures of a study as SVG that takes its colours from the page around it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from io import StringIO
from typing import TYPE_CHECKING, Any

from ragkit.errors import MissingDependencyError
from ragkit.evaluate.study_report import StudyReport

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SERIES = 8
_MANY = 24  # recipes; more labels than these cannot be read in one picture
# Stand-ins that the page's own colours replace.
_INK, _DIM, _LINE = "#010101", "#020202", "#030303"
_COLOURS = tuple(f"#0400{place:02x}" for place in range(SERIES))
_VARIABLES = {_INK: "--ink", _DIM: "--dim", _LINE: "--line"} | {one: f"--c{place}" for place, one in enumerate(_COLOURS)}
_FONT = "DejaVu Sans"  # comes with matplotlib: text is measured with it, and shown in the page's own
_MARKS = "osD^vPX*"
_STYLE: Any = {
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.sans-serif": [_FONT],
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": _LINE,
    "axes.labelcolor": _DIM,
    "axes.titlecolor": _INK,
    "axes.titlesize": 11,
    "axes.titlelocation": "left",
    "axes.grid": True,
    "grid.color": _LINE,
    "grid.linewidth": 0.6,
    "xtick.color": _DIM,
    "ytick.color": _DIM,
    "text.color": _INK,
    "legend.frameon": False,
    "legend.fontsize": 9,
}


def plots(report: StudyReport) -> list[tuple[str, str]]:
    """``(caption, svg)`` of each picture that these outcomes allow. Raises MissingDependencyError without matplotlib."""
    try:
        import matplotlib
    except ImportError as error:
        raise MissingDependencyError("Pictures of a study need matplotlib: install the extra 'study'.") from error
    by_size = "Quality by the size of a chunk, at each number of returned tokens."
    if not report.judged.startswith(("passage", "document")):
        by_size += f" nDCG@{report.k} looks at {report.k} chunks whatever their size, so it favours large ones: compare it within a size."
    made: list[tuple[str, str]] = []
    with matplotlib.rc_context(_STYLE):
        for place, (caption, draw) in enumerate(
            (
                ("Quality at equal returned tokens. Bands are 95 % intervals.", _against_tokens),
                (by_size, _against_size),
                ("Quality against what it costs: time to embed, and bytes of vectors and texts.", _against_cost),
                ("Question by question: how often, and by how much, one recipe finds more than another.", _by_question),
            )
        ):
            figure = draw(report)
            if figure is not None:
                made.append((caption, _svg(figure, f"p{place}")))
    return made


def _svg(figure: Figure, prefix: str) -> str:
    """Inline SVG: no addresses, ids of its own, colours by the page's variables."""
    out = StringIO()
    figure.savefig(out, format="svg", transparent=True, bbox_inches="tight", metadata={"Date": None})
    text = out.getvalue()
    text = re.sub(r"<metadata>.*?</metadata>", "", text[text.index("<svg") :], flags=re.DOTALL)
    text = re.sub(r'\s+xmlns(:\w+)?="[^"]*"', "", text).replace("xlink:href", "href")
    text = re.sub(r'\bid="([^"]+)"', rf'id="{prefix}-\1"', text)
    text = re.sub(r'(url\(#|href="#)', rf"\1{prefix}-", text)
    text = re.sub(r'<svg [^>]*?viewBox="([^"]+)"[^>]*>', r'<svg viewBox="\1" role="img">', text, count=1)
    text = text.replace(f"'{_FONT}'", "system-ui")
    for stand_in, variable in _VARIABLES.items():
        text = text.replace(stand_in, f"var({variable})")
    return text


def _figure(columns: int = 1, *, height: float = 3.6, width: float = 9.0, share_y: bool = True) -> tuple[Figure, Sequence[Axes]]:
    from matplotlib.figure import Figure as Made

    figure = Made(figsize=(width, height), layout="constrained")
    axes = figure.subplots(1, columns, squeeze=False, sharey=share_y)[0]
    return figure, list(axes)


def _shown(report: StudyReport) -> list[Any]:
    """The recipes to draw, best first; with very many only the best."""
    mode, metric = report.headline
    return sorted(report.outcomes, key=lambda one: -report.estimate(one.name, mode, metric).mean)[:_MANY]


def _against_tokens(report: StudyReport) -> Figure | None:
    if len(report.budgets) < 2 or "recall" not in report.metrics[1]:
        return None
    mode = report.headline[0]
    figure, (axes, *_) = _figure(height=4.2)
    best = _shown(report)[:SERIES]
    for place, one in enumerate(best):
        values = [report.estimate(one.name, mode, f"recall@{budget}") for budget in report.budgets]
        colour = _COLOURS[place]
        axes.plot(report.budgets, [v.mean for v in values], color=colour, marker=_MARKS[place], markersize=5, label=one.name)
        if place in (0, len(best) - 1):
            axes.fill_between(
                report.budgets, [v.low for v in values], [v.high for v in values], color=colour, alpha=0.13, linewidth=0
            )
    axes.set_xscale("log", base=2)
    axes.set_xticks(report.budgets, [f"{budget:,}" for budget in report.budgets])
    axes.minorticks_off()
    axes.set_xlabel("returned tokens")
    axes.set_ylabel(f"recall, {mode} search")
    left_out = len(report.outcomes) - len(best)
    axes.set_title(f"The best {len(best)}; {left_out} more in the table" if left_out else "All recipes")
    axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5))
    return figure


def _against_size(report: StudyReport) -> Figure | None:
    groups: dict[str, dict[int, str]] = {}
    for one in report.outcomes:
        if one.size:
            groups.setdefault(f"{one.kind} {one.context}", {})[one.size] = one.name
    groups = {name: dict(sorted(sizes.items())) for name, sizes in groups.items() if len(sizes) > 1}
    if not groups:
        return None
    mode = report.headline[0]
    metrics = [f"recall@{budget}" for budget in report.budgets] + [f"nDCG@{report.k}"]
    figure, axes = _figure(len(metrics), height=3.4, share_y=False)
    for metric, side in zip(metrics, axes, strict=True):
        for place, (name, sizes) in enumerate(list(groups.items())[:SERIES]):
            values = [report.estimate(recipe, mode, metric) for recipe in sizes.values()]
            bars = [[v.mean - v.low for v in values], [v.high - v.mean for v in values]]
            # Side by side, so that the intervals of several contexts can be seen.
            apart = 1.05 ** (place - (min(len(groups), SERIES) - 1) / 2)
            side.errorbar(
                [size * apart for size in sizes], [v.mean for v in values], yerr=bars, color=_COLOURS[place], marker=_MARKS[place], markersize=4,
                linewidth=1.3, elinewidth=0.8, label=name,
            )  # fmt: skip
        every = sorted({size for sizes in groups.values() for size in sizes})
        side.set_xscale("log", base=2)
        side.set_xticks(every, [str(size) for size in every])
        side.minorticks_off()
        side.set_title(metric)
        side.set_xlabel("tokens of a chunk")
    axes[0].set_ylabel(f"{mode} search")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=4)
    return figure


def _against_cost(report: StudyReport) -> Figure | None:
    if len(report.outcomes) < 2:
        return None
    mode, metric = report.headline
    figure, axes = _figure(2, height=4.0)
    contexts = list(dict.fromkeys(one.context for one in report.outcomes))
    several = len({one.kind for one in report.outcomes}) > 1
    for one in _shown(report):
        value, at = report.estimate(one.name, mode, metric), contexts.index(one.context)
        colour, mark = _COLOURS[at % SERIES], _MARKS[at % SERIES]
        label = f"{one.kind} {one.size}" if one.size and several else str(one.size or one.name)
        for cost, side in ((one.embed_seconds, axes[0]), ((one.vector_bytes + one.text_bytes) / 1e6, axes[1])):
            side.errorbar(
                [cost], [value.mean], yerr=[[value.mean - value.low], [value.high - value.mean]], color=colour, marker=mark,
                markersize=6, elinewidth=0.7, linestyle="none",
            )  # fmt: skip
            # Labels of neighbouring contexts go to different corners.
            corner, where = ((5, 4), "left") if at % 2 == 0 else ((-5, -10), "right")
            side.annotate(
                label, (cost, value.mean), xytext=corner, textcoords="offset points", ha=where, fontsize=7.5, color=_DIM
            )
    sampled = any(one.timing == "sample" for one in report.outcomes)
    axes[0].set_xlabel("seconds to embed" + (" (some reckoned from a sample)" if sampled else ""))
    axes[1].set_xlabel("MB of vectors and texts")
    for side in axes:
        side.margins(x=0.15)
        side.set_xlim(left=0)
    axes[0].set_ylabel(f"{metric}, {mode} search")
    for place, context in enumerate(contexts):
        axes[0].plot([], [], color=_COLOURS[place % SERIES], marker=_MARKS[place % SERIES], linestyle="none", label=context)
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=8)
    return figure


def contrast(report: StudyReport) -> tuple[str, str] | None:
    """Two recipes worth looking at question by question: the best, and its baseline or else the next best that differs at all."""
    mode, metric = report.headline
    best, *rest = sorted(report.outcomes, key=lambda one: -report.estimate(one.name, mode, metric).mean)
    rest.sort(key=lambda one: one.name != best.baseline)
    return next(((best.name, one.name) for one in rest if one.values[mode][metric] != best.values[mode][metric]), None)


def _by_question(report: StudyReport) -> Figure | None:
    pair = contrast(report)
    if pair is None:
        return None
    mode, metric = report.headline
    left, right = (report.outcome(name).values[mode][metric] for name in pair)
    apart = sorted((a - b for a, b in zip(left, right, strict=True)), reverse=True)
    more, less = sum(one > 1e-12 for one in apart), sum(one < -1e-12 for one in apart)
    figure, (axes, *_) = _figure(height=2.8)
    axes.fill_between(range(len(apart)), apart, step="mid", color=_COLOURS[0], alpha=0.75, linewidth=0)
    axes.axhline(0, color=_DIM, linewidth=0.8)
    axes.set_title(
        f"{pair[0]} minus {pair[1]}: more for {more}, the same for {len(apart) - more - less}, less for {less} questions"
    )
    axes.set_xlabel("questions, sorted by the difference")
    axes.set_ylabel(f"difference in {metric}")
    axes.margins(x=0)
    return figure
